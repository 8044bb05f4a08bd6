"""A gateway without clients: sends commands to the leading engine at a steady rate and keeps every answer."""

import asyncio
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import orjson


@dataclass(slots=True)
class Op:
    """One command: times are seconds of CLOCK_MONOTONIC, `code` is None while unanswered."""

    op_id: str
    sent: float
    engine: str
    answered: float = 0.0
    code: int | None = None
    seq: int = 0
    epoch: int = 0


class _Wire(asyncio.Protocol):
    def __init__(self, traffic: "Traffic", name: str) -> None:
        self.traffic, self.name, self.epoch, self.rest = traffic, name, 0, b""
        self.transport: Any = None
        self.waiting: dict[int, Op] = {}
        self.closed = asyncio.Event()
        self.statuses: dict[int, Any] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(b'{"hello":"test"}\n')

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport, self.epoch = None, 0
        self.waiting.clear()
        self.closed.set()

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            message = orjson.loads(line)
            if "s" in message:
                self.epoch = message["s"]["epoch"] if message["s"]["leader"] else 0
            for rid, code, seq, epoch, *_ in message.get("r", ()):
                op = self.waiting.pop(rid, None)
                if op is not None:
                    op.answered, op.code, op.seq, op.epoch = now, code, seq, epoch
            for rid, status in message.get("a", ()):
                self.statuses[rid] = status


class Traffic:
    """Runs in its own thread; `ops` holds everything sent, in order. Prices walk so that some orders trade."""

    def __init__(
        self, orders: dict[str, int], rate: float, prefix: str = "t", hosts: dict[str, str] | None = None
    ) -> None:
        """`orders` holds each engine's port for gateways; `hosts` where the engines are, if not on 127.0.0.1."""
        self._hosts = hosts or {}
        self.ops: list[Op] = []
        self.unsent = 0
        self._orders, self._rate, self._prefix = orders, rate, prefix
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Send nothing more, and wait up to two seconds for what is still to be answered."""
        self._stop.set()
        self._thread.join(30)

    def ok(self) -> list[Op]:
        return [op for op in self.ops if op.code == 0]

    async def _main(self) -> None:
        wires = {name: _Wire(self, name) for name in self._orders}
        keepers = [asyncio.create_task(self._keep(wire)) for wire in wires.values()]
        start, n = time.monotonic(), 0
        while not self._stop.is_set():
            due = int((time.monotonic() - start) * self._rate)
            self._send(list(wires.values()), n, due)
            n = max(n, due)
            await asyncio.sleep(0.001)
        deadline = time.monotonic() + 2
        while any(wire.waiting for wire in wires.values()) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)

    def _send(self, wires: list[_Wire], first: int, last: int) -> None:
        leader = max(wires, key=lambda wire: wire.epoch)
        if leader.epoch == 0 or leader.transport is None:
            self.unsent += max(0, last - first)
            return
        rows = []
        for n in range(first, last):
            op_id = f"{self._prefix}-{n}"
            op = Op(op_id, time.monotonic(), leader.name)
            self.ops.append(op)
            leader.waiting[n] = op
            side = "Buy" if n % 2 else "Sell"
            price8 = (5_000_000 + (n * 7919) % 200 + (0 if n % 2 else 60)) * 10**6
            row: list[Any] = [n, time.monotonic_ns(), "place", f"acct-{n % 50}", op_id, "BTCUSDT", side, "Limit", "GTC"]
            rows.append([*row, price8, 10**6 * (1 + n % 9), op_id, None])
        if rows:
            leader.transport.write(orjson.dumps({"c": rows}) + b"\n")

    async def _keep(self, wire: _Wire) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    wire.closed.clear()
                    await loop.create_connection(
                        lambda: wire, self._hosts.get(wire.name, "127.0.0.1"), self._orders[wire.name]
                    )
                    await wire.closed.wait()
                except OSError:
                    pass
                await asyncio.sleep(0.02)
        finally:
            if wire.transport is not None:
                wire.transport.abort()
