"""An engine without sockets and without time, and the strings to pull."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from loadgen import schedule
from loadgen.builder import Row, build
from loadgen.config import Outage
from loadgen.engine.core import MS, Engine
from loadgen.engine.ops import OUTCOMES
from loadgen.engine.pool import Answer, Down, Event, Up
from loadgen.venues.bybit_v5 import Wire

START = 1_000_000 * MS
TIMEOUT = 2_000 * MS


class Transport:
    """Two sessions whose connections the test plays with."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.up = {0: True, 1: True}
        self.events: list[Event] = []
        self.log: list[tuple[int, int, dict[str, Any]]] = []  # t_ns, session, message

    def poll(self, now_ns: int) -> list[Event]:
        events, self.events = self.events, []
        return events

    def ready(self, session: int) -> bool:
        return self.up[session]

    def send(self, session: int, payloads: Sequence[bytes]) -> None:
        assert self.up[session]
        self.log += [(self.bench.now, session, orjson.loads(payload)) for payload in payloads]


class Bench:
    """An engine on a schedule of the given rows, and the strings to pull."""

    def __init__(self, rows: list[Row], outage: Outage, duration_s: float = 0.1) -> None:
        self.now = START - 5 * MS
        self.cursor = 0
        self.transport = Transport(self)
        recorded = build("t", rows, {})
        self.engine = Engine(
            schedule.build(recorded, duration_s=duration_s),
            START,
            self.transport,
            Wire(recorded, "run", b"master", lambda: 1_700_000_000.0),
            lambda: self.now,
            outage=outage,
            timeout_ns=TIMEOUT,
            cursor=self._move,
        )

    def _move(self, count: int) -> None:
        self.cursor = count

    def run(self, until_ms: float) -> None:
        """Tick each millisecond up to `until_ms` after the start."""
        while self.now < START + until_ms * MS:
            self.now += MS
            self.engine.tick()

    def sent(self) -> list[tuple[float, str, str]]:
        """(ms after the start, op, reqId) of everything that left."""
        return [((t - START) / MS, m["op"], m["reqId"]) for t, _, m in self.transport.log]

    def answer(self, request_id: str, ret_code: int = 0, **data: Any) -> None:  # noqa: ANN401
        self.transport.events.append(Answer(0, {"reqId": request_id, "retCode": ret_code, "data": data}))

    def drop(self, session: int = 0) -> None:
        self.transport.up[session] = False
        self.transport.events.append(Down(session, "test"))

    def connect(self, session: int = 0) -> None:
        self.transport.up[session] = True
        self.transport.events.append(Up(session))

    def decided(self) -> list[tuple[int, str, str | None, int]]:
        """(n, outcome, error, attempts) in the order of decision."""
        d = self.engine.decided
        return [
            (n, OUTCOMES[outcome], error, attempts)
            for n, outcome, error, attempts in zip(d.n, d.outcome, d.error, d.attempts, strict=True)
        ]


def place(at_ms: float, name: str, session: int = 0) -> Row:
    return Row(round(at_ms * MS), session, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 500, 300, name)


def cancel(at_ms: float, name: str, session: int = 0) -> Row:
    return Row(round(at_ms * MS), session, "a", "cancel", "BTCUSDT", parent=name)


def amend(at_ms: float, name: str) -> Row:
    return Row(round(at_ms * MS), 0, "a", "amend", "BTCUSDT", parent=name, price8=500, qty8=600)
