"""Connections of a gateway to its engines, what waits for their answers, and who leads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from sandbox.exchange.codes import RetCode
from sandbox.exchange.commands import Command
from sandbox.exchange.gateway_metrics import GatewayMetrics
from sandbox.exchange.gateway_outbox import Asked, Outbox
from sandbox.exchange.gateway_requests import Query, Reply, executed
from sandbox.exchange.wire import Lines, WireError, encode

TIMEOUT_S = 2.0
SWEEP_S = 0.02
FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.2
CONNECT_S = 1.0
MAX_PENDING = 20_000

log = logging.getLogger("gateway")
Finish = Callable[[Any], Reply]


@dataclass(slots=True)
class _Pending:
    asked: Asked
    finish: Finish | None


class EngineLink(asyncio.Protocol):
    """One engine, reached again and again until `close`; one write per tick.

    `epoch` is the epoch under which the engine last said that it leads, 0 when it does not or is not connected.
    """

    def __init__(self, name: str, host: str, port: int, router: Router) -> None:
        self.name, self._host, self._port, self._router = name, host, port, router
        self.epoch = 0
        self.pending: dict[int, _Pending] = {}
        self._due: deque[tuple[float, int]] = deque()
        self._transport: asyncio.Transport | None = None
        self._lines = Lines()
        self._commands: list[list[Any]] = []
        self._queries: list[list[Any]] = []
        self._lost = asyncio.Event()

    async def run(self) -> None:
        """Keep connecting; ends only by cancellation."""
        loop, pause = asyncio.get_running_loop(), FIRST_PAUSE_S
        while True:
            self._lost.clear()
            began = loop.time()
            try:
                async with asyncio.timeout(CONNECT_S):
                    await loop.create_connection(lambda: self, self._host, self._port)
                await self._lost.wait()
            except (OSError, TimeoutError):
                pass
            if loop.time() - began > 1.0:
                pause = FIRST_PAUSE_S
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce this gateway."""
        self._transport, self._lines = cast(asyncio.Transport, transport), Lines()
        self._transport.write(encode({"hello": self._router.instance}))
        self._router.metrics.links.labels(self.name).set(1)

    def connection_lost(self, exc: Exception | None) -> None:
        """Everything that waits has an unknown outcome now, save what was not written."""
        self._transport = None
        unsent = {row[0] for row in self._commands} | {row[0] for row in self._queries}
        self._commands, self._queries = [], []
        waiting, self.pending = self.pending, {}
        self._due.clear()
        for rid, entry in waiting.items():
            code = RetCode.UNAVAILABLE if rid in unsent else RetCode.TIMEOUT
            self._router.outbox.put(entry.asked, Reply(code, {}))
        self._router.metrics.links.labels(self.name).set(0)
        self._say(0)
        self._lost.set()

    def data_received(self, data: bytes) -> None:
        """Answers and statuses of the engine."""
        try:
            for message in self._lines.feed(data):
                self._take(message)
        except (WireError, TypeError, ValueError, KeyError, AttributeError) as error:
            log.error("%s: %s: dropping the connection: %s", self.name, type(error).__name__, error)
            self.drop()

    def _take(self, message: dict[str, Any]) -> None:
        for rid, *result in message.get("r", ()):
            self._answer(rid, result)
        for rid, answer in message.get("a", ()):
            self._answer(rid, answer)
        for rid in message.get("x", ()):
            self._refused(rid)
        status = message.get("s")
        if status is not None:
            self._say(int(status["epoch"]) if status["leader"] else 0)

    def _answer(self, rid: int, answer: Any) -> None:  # noqa: ANN401  (a result row or a status object)
        entry = self.pending.get(rid)
        if entry is None:
            self._router.metrics.late.inc()
            return
        reply = executed(entry.asked.link_id, answer) if entry.finish is None else entry.finish(answer)
        del self.pending[rid]  # not before: an answer that makes no sense leaves the request waiting
        self._router.outbox.put(entry.asked, reply)

    def _refused(self, rid: int) -> None:
        """A query that an engine does not answer because it does not lead: ask again."""
        entry = self.pending.pop(rid, None)
        if entry is not None:
            self._router.outbox.put(entry.asked, Reply(RetCode.UNAVAILABLE, {}))

    def _say(self, epoch: int) -> None:
        if epoch != self.epoch:
            self.epoch = epoch
            self._router.elect()

    def send(self, rid: int, asked: Asked, row: list[Any], finish: Finish | None) -> None:
        """Write `row` (a command, or a query when there is a `finish`) at the end of this tick."""
        if not self._commands and not self._queries:
            asyncio.get_running_loop().call_soon(self._flush)
        (self._commands if finish is None else self._queries).append(row)
        self.pending[rid] = _Pending(asked, finish)
        self._due.append((time.monotonic() + TIMEOUT_S, rid))

    def _flush(self) -> None:
        if self._transport is None:
            return
        block = b""
        if self._commands:
            block = encode({"c": self._commands})
            self._commands = []
        if self._queries:
            block += encode({"q": self._queries})
            self._queries = []
        if block:
            self._transport.write(block)

    def sweep(self, now: float) -> None:
        """Answer what has waited for the whole time-out: its outcome is unknown."""
        due = self._due
        while due and due[0][0] <= now:
            entry = self.pending.pop(due.popleft()[1], None)
            if entry is not None:
                self._router.outbox.put(entry.asked, Reply(RetCode.TIMEOUT, {}))

    def drop(self) -> None:
        """End the connection at once; `run` makes a new one."""
        if self._transport is not None:
            self._transport.abort()


class Router:
    """Sends commands and queries to whoever leads: the connected engine that says so with the highest epoch."""

    def __init__(
        self, instance: str, engines: dict[str, tuple[str, int]], outbox: Outbox, metrics: GatewayMetrics
    ) -> None:
        self.instance, self.outbox, self.metrics = instance, outbox, metrics
        self.links = [EngineLink(name, host, port, self) for name, (host, port) in engines.items()]
        self._leader: EngineLink | None = None
        self._epoch = 0
        self._rid = 0

    @property
    def leader(self) -> str | None:
        """Name of the engine that leads as far as is known here."""
        return None if self._leader is None else self._leader.name

    @property
    def epoch(self) -> int:
        """Epoch of that leader, 0 without."""
        return 0 if self._leader is None else self._leader.epoch

    @property
    def pending(self) -> int:
        """Requests without an answer."""
        return sum(len(link.pending) for link in self.links)

    def elect(self) -> None:
        """Decide again who leads."""
        before = (self.leader, self._epoch)
        best = max(self.links, key=lambda link: link.epoch, default=None)
        self._leader = best if best is not None and best.epoch > 0 else None
        self._epoch = self.epoch
        if before != (self.leader, self._epoch):
            self.metrics.epoch.set(self._epoch)
            log.info("leader %s epoch %d", self.leader, self._epoch)

    def submit(self, asked: Asked, command: Command) -> None:
        """Send a command to the leader; without one it is surely not executed."""
        self._send(asked, command.to_row(), None)

    def ask(self, asked: Asked, query: Query, finish: Finish) -> None:
        """Put a question to the leader; `finish` makes the reply of its answer (an object or None)."""
        self._send(asked, [query.account, query.what, query.ident], finish)

    def _send(self, asked: Asked, row: list[Any], finish: Finish | None) -> None:
        link = self._leader
        if link is None or len(link.pending) >= MAX_PENDING:
            self.outbox.put(asked, Reply(RetCode.UNAVAILABLE, {}))
            return
        self._rid += 1
        link.send(self._rid, asked, [self._rid, *row], finish)

    async def run(self) -> None:
        """Keep all links and time out what waits too long; ends only by cancellation."""
        async with asyncio.TaskGroup() as group:
            for link in self.links:
                group.create_task(link.run())
            while True:
                await asyncio.sleep(SWEEP_S)
                now = time.monotonic()
                for link in self.links:
                    link.sweep(now)
                self.metrics.pending.set(self.pending)
