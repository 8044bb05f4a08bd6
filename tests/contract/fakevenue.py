"""A tiny venue that speaks the client API: it checks what it is sent, executes it, and can be told to misbehave."""

from __future__ import annotations

import asyncio
import hmac
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal, Self

import orjson
from aiohttp import WSMsgType, web

MASTER = b"not really a secret"
KINDS = {"order.create": "place", "order.cancel": "cancel", "order.amend": "amend"}
Mode = Literal["ok", "silent", "unavailable", "execute-silently"]


def sign(key: bytes, text: str) -> str:
    """Hex HMAC-SHA256, written down once more on the other side of the wire."""
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def secret(account: str) -> bytes:
    return sign(MASTER, account).encode()


HANG_UP_S = 0.1
"""Who hangs up waits no longer for the other side, which may be what a test keeps busy in the same thread."""


class FakeVenue:
    """One gateway and `engines` engines on 127.0.0.1, in a thread of its own; use as a context manager."""

    def __init__(self, folder: Path, engines: int = 1, gateways: int = 1) -> None:
        self.mode: Mode = "ok"
        self.role = ["primary", *["standby"] * (engines - 1)]
        self.journals: list[list[dict[str, Any]]] = [[] for _ in range(engines)]
        self.fills: list[list[dict[str, Any]]] = [[] for _ in range(engines)]
        self.hashes: list[dict[str, str]] = [{} for _ in range(engines)]
        self.problems: list[str] = []
        self.sign_ins: list[str] = []
        self.attempts = self.pings = 0
        self._folder, self._counts = folder, (gateways, engines)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake venue", daemon=True)
        self._sockets: list[set[web.WebSocketResponse]] = [set() for _ in range(gateways)]
        self._runners: list[web.AppRunner] = []
        self.ports: list[int] = []

    def __enter__(self) -> Self:
        self._thread.start()
        gateways, engines = self._counts
        for number in range(gateways):
            self._call(self._serve(self._gateway(number)))
        for number in range(engines):
            self._call(self._serve(self._engine(number)))
        (self._folder / "secret").write_bytes(MASTER + b"\n")
        return self

    def __exit__(self, *exc: object) -> None:
        for runner in self._runners:
            self._call(runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def venue(self) -> dict[str, Any]:
        """What `describe` of a sandbox says under `venue`."""
        gateways, _ = self._counts
        urls = [f"127.0.0.1:{port}" for port in self.ports]
        return {
            "type": "sandbox",
            "rest": [f"http://{url}" for url in urls[:gateways]],
            "ws": [f"ws://{url}/v5/trade" for url in urls[:gateways]],
            "audit": [f"http://{url}" for url in urls[gateways:]],
            "secret_file": str(self._folder / "secret"),
        }

    def hang_up(self, gateway: int = 0) -> None:
        """Close every connection of a gateway."""

        async def close() -> None:
            await asyncio.gather(*(socket.close() for socket in list(self._sockets[gateway])))

        self._call(close())

    def connections(self, gateway: int = 0) -> int:
        return len(self._sockets[gateway])

    def executed(self) -> list[str]:
        """Op ids in the order they were executed."""
        return [row["op_id"] for row in self.journals[0]]

    def execute(self, account: str, op_id: str, kind: str, args: dict[str, Any], outcome: str = "ok") -> int:
        """Append one command to the journal of every engine; returns its sequence number."""
        seq = len(self.journals[0]) + 1
        price, qty = args.get("price"), args.get("qty", "0")
        row = {
            "seq": seq,
            "epoch": 1,
            "t_ns": time.monotonic_ns(),
            "account": account,
            "op_id": op_id,
            "kind": kind,
            "symbol": args.get("symbol", ""),
            "side": args.get("side", "Buy"),
            "type": args.get("orderType", "Limit"),
            "tif": args.get("timeInForce", "GTC"),
            "price": price,
            "qty": qty,
            "client_id": args.get("orderLinkId", "") if kind == "place" else "",
            "parent": None if kind == "place" else args.get("orderLinkId"),
            "code": 0 if outcome == "ok" else 110072,
            "outcome": outcome,
            "status": "Cancelled" if kind == "cancel" else "New",
            "notional": str(float(price) * float(qty)) if price else "0",
        }
        for journal in self.journals:
            journal.append(dict(row))
        return seq

    def _call(self, work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _serve(self, app: web.Application) -> None:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._runners.append(runner)
        self.ports.append(runner.addresses[0][1])

    def _gateway(self, number: int) -> web.Application:
        app = web.Application()

        async def trade(request: web.Request) -> web.WebSocketResponse:
            return await self._trade(request, number)

        app.router.add_get("/v5/trade", trade)
        app.router.add_post("/v5/order/{act}", self._order)
        return app

    def _engine(self, number: int) -> web.Application:
        app = web.Application()
        app.router.add_get("/audit/watermark", self._answering(lambda query: self._mark(number)))
        app.router.add_get("/audit/hashes", self._answering(lambda query: {"every": 2, "hashes": self.hashes[number]}))
        app.router.add_get("/audit/journal", self._answering(lambda query: self._cut(self.journals[number], query)))
        app.router.add_get("/audit/fills", self._answering(lambda query: self._cut(self.fills[number], query)))
        return app

    def _mark(self, number: int) -> dict[str, Any]:
        name = f"engine-{number}"
        return {
            "instance": name,
            "role": self.role[number],
            "epoch": 1,
            "seq": len(self.journals[number]),
            "hash": "00",
        }

    @staticmethod
    def _cut(rows: list[dict[str, Any]], query: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a multidict
        return [row for row in rows if int(query["from"]) <= row["seq"] <= int(query["to"])]

    @staticmethod
    def _answering(make: Callable[[Any], Any]) -> Callable[[web.Request], Coroutine[Any, Any, web.Response]]:
        async def handler(request: web.Request) -> web.Response:
            value = make(request.query)
            lines = value if isinstance(value, list) else [value]
            return web.Response(body=b"".join(orjson.dumps(line) + b"\n" for line in lines))

        return handler

    async def _order(self, request: web.Request) -> web.Response:
        body = await request.text()
        head = request.headers
        account = head["X-BAPI-API-KEY"]
        text = head["X-BAPI-TIMESTAMP"] + account + head["X-BAPI-RECV-WINDOW"] + body
        if head["X-BAPI-SIGN"] != sign(secret(account), text):
            return web.json_response({"retCode": 10004})
        if self.mode == "unavailable":
            return web.json_response({"retCode": 10016})
        args = orjson.loads(body)
        act = {"create": "place"}.get(request.match_info["act"], request.match_info["act"])
        seq = self.execute(account, args.get("reqId", args["orderLinkId"]), act, args)
        return web.json_response({"retCode": 0, "data": {"seq": seq}})

    async def _trade(self, request: web.Request, gateway: int) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(timeout=HANG_UP_S)
        await socket.prepare(request)
        self._sockets[gateway].add(socket)
        account: str | None = None
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    break
                raw = orjson.loads(message.data)
                if raw["op"] == "auth":
                    account = self._sign_in(raw)
                    await socket.send_json({"op": "auth", "reqId": raw["reqId"], "retCode": 0 if account else 10004})
                elif raw["op"] == "ping":
                    self.pings += 1
                    await socket.send_json({"op": "pong"})
                else:
                    answer = self._handle(account, raw)
                    if answer is not None:
                        await socket.send_json({"reqId": raw["reqId"], "op": raw["op"], **answer})
        finally:
            self._sockets[gateway].discard(socket)
        return socket

    def _sign_in(self, raw: dict[str, Any]) -> str | None:
        account, expires, signature = raw["args"]
        if expires < time.time() * 1000 or signature != sign(secret(account), f"GET/realtime{expires}"):
            self.problems.append(f"bad sign-in of {account}")
            return None
        self.sign_ins.append(account)
        return str(account)

    def _handle(self, account: str | None, raw: dict[str, Any]) -> dict[str, Any] | None:
        if account is None:
            self.problems.append("a request before the sign-in")
        if abs(float(raw["header"]["X-BAPI-TIMESTAMP"]) - time.time() * 1000) > 2000:
            self.problems.append("a stale timestamp")
        args = raw["args"][0]
        if raw["op"] == "order.status":
            wanted = args.get("orderLinkId") or args["reqId"]
            row = next((row for row in self.journals[0] if row["op_id"] == wanted), None)
            return {
                "retCode": 0,
                "data": {"found": False} if row is None else {"found": True, "code": 0, "seq": row["seq"], "epoch": 1},
            }
        self.attempts += 1
        if self.mode == "silent":
            return None
        if self.mode == "unavailable":
            return {"retCode": 10016, "data": {}}
        kind = KINDS[raw["op"]]
        op_id = args["orderLinkId"] if kind == "place" else raw["reqId"]
        if op_id in self.executed():
            return {"retCode": 110072, "data": {}}
        seq = self.execute(str(account), op_id, kind, args)
        return None if self.mode == "execute-silently" else {"retCode": 0, "data": {"seq": seq, "epoch": 1}}
