"""A small engine without a log for tests of the gateway: it speaks the wire and applies commands to a real market."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from sandbox.exchange.commands import Command
from sandbox.exchange.market import Market
from sandbox.exchange.wire import Lines, encode


class FakeEngine:
    """Serves gateways on a port of its own; set `leader`, `epoch`, `silent` and call `announce`."""

    def __init__(self, name: str = "engine-0", leader: bool = True, epoch: int = 1) -> None:
        self.name, self.leader, self.epoch = name, leader, epoch
        self.silent = False
        self.market = Market()
        self.port = 0
        self.received: list[list[Any]] = []
        self.connections: list[_Connection] = []
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        """Listen on `port` (0: any)."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut every connection and close the port."""
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()
            self._server = None

    def cut(self) -> None:
        """Cut every connection."""
        for connection in list(self.connections):
            connection.transport.abort()

    def announce(self) -> None:
        """Tell the status to every gateway."""
        for connection in self.connections:
            connection.announce()

    def raw(self, data: bytes) -> None:
        """Send bytes as they are to every gateway."""
        for connection in self.connections:
            connection.transport.write(data)

    def answer(self, rid: int, code: int) -> None:
        """Answer a command by hand."""
        self.raw(encode({"r": [[rid, code, 9, self.epoch, "O9", "New", 0]]}))


class _Connection(asyncio.Protocol):
    def __init__(self, engine: FakeEngine) -> None:
        self._engine, self._lines = engine, Lines()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._engine.connections.append(self)
        self.announce()

    def connection_lost(self, exc: Exception | None) -> None:
        self._engine.connections.remove(self)

    def announce(self) -> None:
        engine = self._engine
        status = {"instance": engine.name, "leader": engine.leader, "epoch": engine.epoch, "applied": engine.market.seq}
        self.transport.write(encode({"s": status}))

    def data_received(self, data: bytes) -> None:
        for message in self._lines.feed(data):
            self._commands(message.get("c", []))
            self._queries(message.get("q", []))

    def _commands(self, rows: list[list[Any]]) -> None:
        engine = self._engine
        engine.received += rows
        if engine.silent or not rows:
            return
        results = [[rid, *engine.market.apply(engine.epoch, Command(*row)).to_row()] for rid, *row in rows]
        self.transport.write(encode({"r": results}))

    def _queries(self, rows: list[list[Any]]) -> None:
        if rows and not self._engine.silent:
            answers = [[rid, self._engine.market.status_of(*question)] for rid, *question in rows]
            self.transport.write(encode({"a": answers}))
