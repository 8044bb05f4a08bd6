"""What one gateway costs and adds: order flow over WebSocket at 1,000 and 2,000 op/s, answered at once by a stand-in.

The stand-in engine and the clients live in this process, the gateway in its own; the round trip includes all three.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson
import psutil
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.bench_market import flow
from benchmarks.results import Figure, write
from sandbox.exchange.commands import text8
from sandbox.exchange.signing import account_secret, sign
from tests.sandbox.fake_engine import FakeEngine

MASTER = b"benchmark"
SESSIONS = 64
SECONDS = 5.0
TICK_S = 0.001


class Client(WSListener):
    """Times every answer by its reqId."""

    def __init__(self, sent: dict[str, float], took: list[float]) -> None:
        super().__init__()
        self.sent, self.took = sent, took

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One answer."""
        if frame.msg_type != WSMsgType.TEXT:
            return  # the farewell of a gateway that stops
        answer = orjson.loads(frame.get_payload_as_bytes())
        began = self.sent.pop(answer["reqId"], None)
        if began is not None:
            self.took.append(time.perf_counter() - began)


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def requests(count: int) -> list[tuple[int, str, str, dict[str, str]]]:
    """(session, op_id, op, args) of the benchmark flow."""
    out = []
    for command in flow(count):
        args = {"symbol": command.symbol, "side": command.side, "orderLinkId": command.parent or command.client_id}
        if command.kind == "place":
            args["orderType"] = "Limit"
        if command.price8 is not None:
            args["price"] = text8(command.price8)
        if command.qty8:
            args["qty"] = text8(command.qty8)
        op = {"place": "order.create", "cancel": "order.cancel", "amend": "order.amend"}[command.kind]
        out.append((int(command.account.removeprefix("acct-")), command.op_id, op, args))
    return out


async def connect(port: int, sent: dict[str, float], took: list[float]) -> list[WSTransport]:
    """Logged-in sessions acct-0 .. acct-63."""
    sessions = []
    for n in range(SESSIONS):
        transport, _ = await ws_connect(lambda: Client(sent, took), f"ws://127.0.0.1:{port}/v5/trade")
        expires = time.time_ns() // 1_000_000 + 10_000
        signature = sign(account_secret(MASTER, f"acct-{n}"), f"GET/realtime{expires}")
        login = {"reqId": "login", "op": "auth", "args": [f"acct-{n}", expires, signature]}
        transport.send(WSMsgType.TEXT, orjson.dumps(login))
        sessions.append(transport)
    return sessions


async def offer(sessions: list[WSTransport], rate: int, sent: dict[str, float]) -> None:
    """Send the flow at `rate` a second, in ticks of 1 ms."""
    flow_rows = requests(int(rate * SECONDS))
    start, n = time.perf_counter(), 0
    while n < len(flow_rows):
        due = min(len(flow_rows), int((time.perf_counter() - start) * rate))
        stamp = str(time.time_ns() // 1_000_000)
        for session, op_id, op, args in flow_rows[n:due]:
            sent[op_id] = time.perf_counter()
            header = {"X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": "5000"}
            request = {"reqId": op_id, "header": header, "op": op, "args": [args]}
            sessions[session].send(WSMsgType.TEXT, orjson.dumps(request))
        n = due
        await asyncio.sleep(TICK_S)
    deadline = time.perf_counter() + 2
    while sent and time.perf_counter() < deadline:
        await asyncio.sleep(0.01)


async def measure(rate: int, folder: Path) -> list[Figure]:
    """One gateway at `rate`."""
    engine, rest, ws = FakeEngine(), free_port(), free_port()
    await engine.start()
    (folder / "secret").write_bytes(MASTER)
    env = {
        "MUSTER_INSTANCE": "gateway-0",
        "MUSTER_ZONE": "tyo-a",
        "MUSTER_REST_PORT": str(rest),
        "MUSTER_WS_PORT": str(ws),
        "MUSTER_ENGINES": f"engine-0=127.0.0.1:{engine.port}",
        "MUSTER_SECRET_FILE": str(folder / "secret"),
        "MUSTER_TRUTH": str(folder / f"truth-{rate}.ndjson"),
    }
    argv = [*os.environ.get("GATEWAY_ARGV", f"{sys.executable} -m sandbox.exchange.gateway").split()]
    gateway = subprocess.Popen(argv, env={**os.environ, **env}, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not engine.connections or socket.socket().connect_ex(("127.0.0.1", ws)):
            if time.monotonic() > deadline:
                raise SystemExit("gateway: did not start in 10 s")
            await asyncio.sleep(0.05)
        sent: dict[str, float] = {}
        took: list[float] = []
        sessions = await connect(ws, sent, took)
        process = psutil.Process(gateway.pid)
        before, began = process.cpu_times(), time.perf_counter()
        await offer(sessions, rate, sent)
        after, seconds = process.cpu_times(), time.perf_counter() - began
        cpu = after.user + after.system - before.user - before.system
        took.sort()
        if sent:
            raise SystemExit(f"gateway: {len(sent)} requests without an answer")
        return [
            Figure(f"gateway-{rate}-p50-ms", took[len(took) // 2] * 1e3, "ms"),
            Figure(f"gateway-{rate}-p99-ms", took[len(took) * 99 // 100] * 1e3, "ms"),
            Figure(f"gateway-{rate}-cpu-share", cpu / seconds, "cores"),
            Figure(f"gateway-{rate}-cpu-us-per-op", cpu / len(took) * 1e6, "us"),
        ]
    finally:
        gateway.terminate()
        gateway.wait(10)
        await engine.stop()


async def run() -> None:
    """Measure and write benchmarks/out/gateway.json."""
    with tempfile.TemporaryDirectory() as folder:
        write("gateway", [figure for rate in (1000, 2000) for figure in await measure(rate, Path(folder))])


if __name__ == "__main__":
    uvloop.run(run())
