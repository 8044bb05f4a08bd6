"""A real gateway process in front of fake engines, and a client for it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from sandbox.exchange.signing import account_secret, sign
from tests.sandbox.fake_engine import FakeEngine

MASTER = b"test-master"
ORDER = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "1", "price": "100", "timeInForce": "GTC"}


def now_ms() -> int:
    """Wall time in ms."""
    return time.time_ns() // 1_000_000


def header() -> dict[str, str]:
    """The header of a WebSocket request."""
    return {"X-BAPI-TIMESTAMP": str(now_ms()), "X-BAPI-RECV-WINDOW": "5000"}


async def until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Poll `condition`; raises AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        await asyncio.sleep(0.01)


def free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class GatewayBox:
    """One gateway and its engines; an async context."""

    def __init__(self, folder: Path, engines: int = 1) -> None:
        self.folder = folder
        self.engines = [FakeEngine(f"engine-{n}", leader=n == 0, epoch=1) for n in range(engines)]
        self.rest_port, self.ws_port = free_ports(2)
        self.truth_file = folder / "truth" / "gateway-0.ndjson"
        self.process: subprocess.Popen[bytes]
        self.http: aiohttp.ClientSession
        self._sessions: list[Session] = []

    @property
    def env(self) -> dict[str, str]:
        """The environment of the gateway."""
        return {
            "MUSTER_INSTANCE": "gateway-0",
            "MUSTER_ZONE": "tyo-a",
            "MUSTER_HTTP_PORT": str(self.rest_port),
            "MUSTER_REST_PORT": str(self.rest_port),
            "MUSTER_WS_PORT": str(self.ws_port),
            "MUSTER_ENGINES": ",".join(f"{engine.name}=127.0.0.1:{engine.port}" for engine in self.engines),
            "MUSTER_SECRET_FILE": str(self.folder / "secret"),
            "MUSTER_TRUTH": str(self.truth_file),
            "MUSTER_PLANT": "",
        }

    async def __aenter__(self) -> Self:
        for engine in self.engines:
            await engine.start()
        (self.folder / "secret").write_bytes(MASTER)
        with (self.folder / "gateway.log").open("ab") as log:
            argv = [sys.executable, "-m", "sandbox.exchange.gateway"]
            self.process = subprocess.Popen(argv, env={**os.environ, **self.env}, stderr=log)
        self.http = aiohttp.ClientSession()
        await self.healthy(200)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for session in self._sessions:
            await session.ws.close()
        await self.http.close()
        for engine in self.engines:
            await engine.stop()

    async def healthy(self, status: int) -> None:
        """Wait until /healthz answers `status`."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "gateway.log").read_text()
            try:
                async with self.http.get(f"{self.rest}/healthz") as response:
                    if response.status == status:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)
        raise AssertionError(f"healthz did not become {status}")

    @property
    def rest(self) -> str:
        """Base of the REST interface."""
        return f"http://127.0.0.1:{self.rest_port}"

    async def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        await until(lambda: self.process.poll() is not None, "gateway ends after SIGTERM")
        return self.process.wait()

    def truth(self) -> list[list[Any]]:
        """Every recorded reply."""
        lines = self.truth_file.read_bytes().splitlines()
        return [row for line in lines for row in orjson.loads(line)["r"]]

    async def page(self, path: str) -> Any:  # noqa: ANN401
        """A public page as JSON."""
        async with self.http.get(self.rest + path) as response:
            return orjson.loads(await response.read())

    async def call(self, path: str, body: object = None, *, account: str = "acct-1", **change: str) -> dict[str, Any]:
        """A signed REST request: POST when there is a body; `change` overrides headers (`sign`, `timestamp`, ...)."""
        stamp = change.get("timestamp", str(now_ms()))
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        payload = path.partition("?")[2] if body is None else data.decode(errors="replace")
        text = f"{stamp}{account}5000{payload}"
        headers = {
            "X-BAPI-API-KEY": account,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": "5000",
            "X-BAPI-SIGN": change.get("sign", sign(account_secret(MASTER, account), text)),
        }
        method = "GET" if body is None else "POST"
        async with self.http.request(method, self.rest + path, data=data, headers=headers) as response:
            assert response.status == 200
            answer: dict[str, Any] = orjson.loads(await response.read())
            return answer

    async def connect(self) -> Session:
        """A WebSocket session that is not logged in."""
        session = Session(await self.http.ws_connect(f"ws://127.0.0.1:{self.ws_port}/v5/trade"))
        self._sessions.append(session)
        return session

    async def session(self, account: str = "acct-1") -> Session:
        """A logged-in WebSocket session."""
        session = await self.connect()
        expires = now_ms() + 5000
        signature = sign(account_secret(MASTER, account), f"GET/realtime{expires}")
        answer = await session.ask({"reqId": "auth", "op": "auth", "args": [account, expires, signature]})
        assert answer["retCode"] == 0
        return session


class Session:
    """A WebSocket client."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def answer(self) -> dict[str, Any]:
        """The next answer."""
        message = await self.ws.receive(timeout=5)
        assert message.type == aiohttp.WSMsgType.TEXT, message
        answer: dict[str, Any] = orjson.loads(message.data)
        return answer

    async def ask(self, request: object) -> dict[str, Any]:
        """Send a request (bytes as they are) and read the next answer."""
        await self.ws.send_str(request.decode() if isinstance(request, bytes) else orjson.dumps(request).decode())
        return await self.answer()

    async def send(self, op: str, ident: str, **args: str) -> None:
        """Send an order request with the id `ident`."""
        order = ({**ORDER, "orderLinkId": ident} if op == "order.create" else {"symbol": "BTCUSDT"}) | args
        await self.ws.send_bytes(orjson.dumps({"reqId": ident, "header": header(), "op": op, "args": [order]}))

    async def order(self, op: str, ident: str, **args: str) -> dict[str, Any]:
        """An order request and its answer."""
        await self.send(op, ident, **args)
        answer = await self.answer()
        assert answer["reqId"] == ident
        return answer
