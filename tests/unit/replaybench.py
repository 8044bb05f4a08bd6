"""An engine without sockets and without time, and the strings to pull."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from loadgen import schedule
from loadgen.builder import Row, build
from loadgen.config import Outage, Unanswered
from loadgen.engine.core import Engine
from loadgen.engine.ops import OUTCOMES, Decided
from loadgen.engine.signals import Down, Event, Heard, Up
from loadgen.engine.watch import MS, Terms
from loadgen.venues import ws
from loadgen.venues.bybit_ws import Reader, TradeWire
from loadgen.venues.wire import Answer, Meaning

START = 1_000_000 * MS
TIMEOUT = 2_000 * MS
WALL = 1_700_000_000.0


def short(request_id: str) -> str:
    """`run-7` of `run-0000000007`: what the tests call an operation."""
    return re.sub(r"-0*(\d)", r"-\1", request_id)


def whole(request_id: str) -> str:
    """`run-0000000007` of `run-7`."""
    return re.sub(r"-(\d+)$", lambda found: f"-{int(found[1]):010d}", request_id)


def unframed(data: bytes) -> Iterator[bytes]:
    """Payloads of a client's masked frames."""
    at = 0
    while at < len(data):
        size, start = data[at + 1] & 0x7F, at + 2
        if size == 126:
            size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        mask, start = data[start : start + 4], start + 4
        yield bytes(byte ^ mask[k % 4] for k, byte in enumerate(data[start : start + size]))
        at = start + size


class Transport:
    """Two sessions whose connections the test plays with."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.up = {0: True, 1: True}
        self.events: list[Event] = []
        self.answers: list[Answer] = []
        self.log: list[tuple[int, int, dict[str, Any]]] = []  # t_ns, session, message
        self.calls: list[tuple[int, int, int]] = []  # session, messages of one write, cursor at that moment

    def poll(self, now_ns: int) -> tuple[Heard, Sequence[Event]]:
        events, self.events = self.events, []
        answers, self.answers = self.answers, []
        return Heard(answers=[(now_ns, answer) for answer in answers]), events

    def ready(self, session: int) -> bool:
        return self.up[session]

    def write(self, session: int, data: memoryview) -> None:
        self._sent(session, list(unframed(bytes(data))))

    def send(self, session: int, numbers: Sequence[int], payloads: Sequence[bytes]) -> None:
        assert len(numbers) == len(payloads)
        rng = random.Random(1)
        self._sent(session, list(unframed(b"".join(ws.frame(payload, rng) for payload in payloads))))

    def _sent(self, session: int, payloads: Sequence[bytes]) -> None:
        assert self.up[session]
        self.calls.append((session, len(payloads), self.bench.cursor))
        self.log += [(self.bench.now, session, orjson.loads(payload)) for payload in payloads]


class Bench:
    """An engine on a schedule of the given rows, and the strings to pull."""

    def __init__(
        self,
        rows: list[Row],
        outage: Outage,
        duration_s: float = 0.1,
        unanswered: Unanswered = "hold",
        **wire: object,
    ) -> None:
        self.now = START - 5 * MS
        self.cursor = 0
        self.transport = Transport(self)
        recorded = build("t", rows, {})
        self.wire = TradeWire(recorded, "run", [], lambda session: ("", b""), wall=lambda: WALL)
        for name, value in wire.items():
            setattr(self.wire, name, value)
        self._reader = Reader("run-")
        self._decided: list[Decided] = []
        self.engine = Engine(
            schedule.build(recorded, duration_s=duration_s),
            START,
            self.transport,
            self.wire,
            lambda: self.now,
            Terms(outage, TIMEOUT, unanswered),
            wall=lambda: WALL + (self.now - START) / 1e9,
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
        return [((t - START) / MS, m["op"], short(m["reqId"])) for t, _, m in self.transport.log]

    def answer(self, request_id: str, ret_code: int = 0, **data: object) -> None:
        found = self._reader.answer({"reqId": whole(request_id), "retCode": ret_code, "data": data})
        if found is not None:
            self.transport.answers.append(found)

    def tells(self, number: int, meaning: Meaning = Meaning.OK, server_id: bytes | None = None) -> None:
        """An answer that carries the venue's own id of an order."""
        self.transport.answers.append(Answer(number, meaning, "1", server_id=server_id))

    def drop(self, session: int = 0) -> None:
        self.transport.up[session] = False
        self.transport.events.append(Down(session, "test"))

    def connect(self, session: int = 0) -> None:
        self.transport.up[session] = True
        self.transport.events.append(Up(session))

    def columns(self) -> Decided:
        """Everything decided so far."""
        news = self.engine.take()
        if news is not None:
            self._decided.append(news)
        return Decided.join(self._decided)

    def decided(self) -> list[tuple[int, str, str | None, int]]:
        """(n, outcome, error, attempts) in the order of decision."""
        news = self.engine.take()
        if news is not None:
            self._decided.append(news)
        return [
            (n, OUTCOMES[outcome], d.errors[error] or None, attempts)
            for d in self._decided
            for n, outcome, error, attempts in zip(
                d.n.tolist(), d.outcome.tolist(), d.error.tolist(), d.attempts.tolist(), strict=True
            )
        ]


def place(at_ms: float, name: str, session: int = 0) -> Row:
    return Row(round(at_ms * MS), session, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 500, 300, name)


def cancel(at_ms: float, name: str, session: int = 0) -> Row:
    return Row(round(at_ms * MS), session, "a", "cancel", "BTCUSDT", parent=name)


def amend(at_ms: float, name: str) -> Row:
    return Row(round(at_ms * MS), 0, "a", "amend", "BTCUSDT", parent=name, price8=500, qty8=600)
