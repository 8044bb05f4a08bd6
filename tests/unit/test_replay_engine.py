"""The engine without sockets and without time: what is sent when, and what each answer makes of an operation."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from loadgen import schedule
from loadgen.builder import Row, build
from loadgen.config import Outage
from loadgen.engine.core import HORIZON_NS, MS, Engine, State
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


MODES: list[Outage] = ["drop", "queue", "retry-idempotent"]


@pytest.mark.parametrize("outage", MODES)
def test_an_operation_leaves_at_its_time_whatever_became_of_the_one_before(outage: Outage) -> None:
    bench = Bench([place(0, "x"), place(3, "y", 1), cancel(7, "x")], outage)
    bench.run(10)
    assert bench.sent() == [(0, "order.create", "run-0"), (3, "order.create", "run-1"), (7, "order.cancel", "run-2")]
    messages = [message for _, _, message in bench.transport.log]
    assert messages[0]["args"] == [
        {
            "orderLinkId": "run-0",
            "symbol": "BTCUSDT",
            "side": "Buy",
            "orderType": "Limit",
            "timeInForce": "GTC",
            "price": "0.000005",
            "qty": "0.000003",
        }
    ]
    assert messages[2]["args"] == [{"orderLinkId": "run-0", "symbol": "BTCUSDT"}]
    assert messages[0]["header"] == {"X-BAPI-TIMESTAMP": "1700000000000", "X-BAPI-RECV-WINDOW": "5000"}


def test_an_answer_decides_with_its_sequence_and_epoch() -> None:
    bench = Bench([place(0, "x")], "drop")
    bench.run(2)
    bench.answer("run-0", seq=17, epoch=3)
    bench.run(3)
    d = bench.engine.decided
    assert (d.n, d.seq, d.epoch, d.outcome) == ([0], [17], [3], [0])
    assert (d.intended_ns, d.sent_ns, d.answered_ns) == ([START], [START], [START + 3 * MS])
    assert bench.engine.state is State.DONE


def test_a_business_reject_is_a_decision() -> None:
    bench = Bench([place(0, "x"), cancel(1, "x")], "retry-idempotent")
    bench.run(2)
    bench.answer("run-1", 110001, seq=5, epoch=1)
    bench.run(3)
    assert bench.decided() == [(1, "reject", "110001", 1)]


def test_the_cursor_moves_before_the_bytes_leave() -> None:
    bench = Bench([place(0, "x"), place(0, "y"), place(5, "z")], "drop")
    seen: list[int] = []
    send = bench.transport.send

    def spy(session: int, payloads: Sequence[bytes]) -> None:
        seen.append(bench.cursor)
        send(session, payloads)

    bench.transport.send = spy  # type: ignore[method-assign]
    bench.run(6)
    assert seen == [2, 3]


def test_one_write_a_session_and_tick() -> None:
    bench = Bench([place(0, "a"), place(0.2, "b", 1), place(0.4, "c"), place(0.6, "d"), place(90, "e")], "drop")
    calls: list[tuple[int, int]] = []
    bench.transport.send = lambda session, payloads: calls.append((session, len(payloads)))  # type: ignore[method-assign]
    bench.run(1)
    assert calls == [(0, 1), (1, 1), (0, 2)]


def test_the_lag_is_measured_from_the_intended_time() -> None:
    bench = Bench([place(0, "a"), place(0.4, "b"), place(3, "c"), place(90, "d")], "drop")
    bench.run(5)
    assert bench.engine.lags_ns == [0, 600_000, 0]


def test_drop_without_a_connection_is_not_sent() -> None:
    bench = Bench([place(0, "x"), place(1, "y")], "drop")
    bench.drop()
    bench.run(0)
    bench.connect()
    bench.run(1)
    assert bench.sent() == [(1, "order.create", "run-1")]
    assert bench.decided() == [(0, "unknown", "unsent", 0)]
    assert bench.engine.decided.sent_ns == [-1]


def test_drop_takes_unavailable_for_an_answer() -> None:
    bench = Bench([place(0, "x")], "drop")
    bench.run(1)
    bench.answer("run-0", 10016)
    bench.run(2000)
    assert bench.decided() == [(0, "reject", "10016", 1)]
    assert len(bench.sent()) == 1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"found": True, "code": 0, "seq": 9, "epoch": 2}, (0, "ok", None, 1)),
        ({"found": True, "code": 110301, "seq": 9, "epoch": 2}, (0, "reject", "110301", 1)),
        ({"found": False}, (0, "unknown", "timeout", 1)),
    ],
)
@pytest.mark.parametrize("outage", ["drop", "queue"])
def test_without_an_answer_the_status_is_asked_for(
    outage: Outage, data: dict[str, Any], expected: tuple[int, str, str | None, int]
) -> None:
    bench = Bench([place(0, "x")], outage)
    bench.run(2001)
    assert bench.sent()[1:] == [(2000, "order.status", "qrun-0")]
    assert bench.transport.log[1][2]["args"] == [{"orderLinkId": "run-0"}]
    bench.answer("qrun-0", **data)
    bench.run(2003)
    assert bench.decided() == [expected]
    assert (bench.engine.decided.answered_ns == [-1]) == (expected[1] == "unknown")


def test_a_cancel_is_asked_for_by_its_request_id() -> None:
    bench = Bench([place(0, "x"), cancel(0, "x")], "drop")
    bench.run(1)
    bench.answer("run-0")
    bench.answer("run-1", 10000)
    bench.run(3)
    assert bench.transport.log[-1][2]["args"] == [{"reqId": "run-1"}]


def test_a_lost_connection_leaves_the_outcome_open_and_status_resolves_it() -> None:
    bench = Bench([place(0, "x")], "drop")
    bench.run(1)
    bench.drop()
    bench.run(100)
    assert len(bench.sent()) == 1
    bench.connect()
    bench.run(200)
    assert bench.sent()[1][1:] == ("order.status", "qrun-0")
    bench.answer("qrun-0", found=False)
    bench.run(210)
    assert bench.decided() == [(0, "unknown", "disconnected", 1)]


def test_a_question_that_nobody_answers_ends_unresolved() -> None:
    bench = Bench([place(0, "x")], "drop")
    bench.run(2000)
    bench.run(14_500)
    assert bench.decided() == [(0, "unknown", "unresolved", 1)]
    assert len(bench.sent()) > 3


def test_unavailable_is_tried_again_with_the_same_ids_and_growing_pauses() -> None:
    bench = Bench([place(0, "x")], "retry-idempotent")
    times: list[float] = []
    for _ in range(6):
        while len(bench.sent()) == len(times):
            bench.run((bench.now - START) / MS + 1)
        times.append(bench.sent()[-1][0])
        bench.answer("run-0", 10016)
    assert {request_id for _, _, request_id in bench.sent()} == {"run-0"}
    pauses = [b - a for a, b in itertools.pairwise(times)]
    for pause, step in zip(pauses, (50, 100, 200, 400, 400), strict=True):
        assert step * 0.75 <= pause <= step * 1.25 + 3


def test_an_answer_to_a_second_attempt_decides_the_one_intent() -> None:
    bench = Bench([place(0, "x")], "retry-idempotent")
    bench.run(1)
    bench.answer("run-0", 10016)
    bench.run(100)
    bench.answer("run-0", seq=4, epoch=2)
    bench.run(101)
    assert bench.decided() == [(0, "ok", None, 2)]
    assert bench.engine.decided.sent_ns == [START]
    assert bench.engine.sent == [1, 0, 0]


def test_a_duplicate_id_is_resolved_and_never_a_reject() -> None:
    bench = Bench([place(0, "x")], "retry-idempotent")
    bench.run(1)
    bench.drop()
    bench.connect()
    bench.run(100)
    bench.answer("run-0", 110072, seq=8, epoch=2)
    bench.run(102)
    assert bench.sent()[-1][1:] == ("order.status", "qrun-0")
    bench.answer("qrun-0", found=True, code=0, seq=3, epoch=1)
    bench.run(104)
    assert bench.decided() == [(0, "ok", None, 2)]
    assert (bench.engine.decided.seq, bench.engine.decided.epoch) == ([3], [1])


def test_surely_never_executed_is_a_reject_when_time_is_up() -> None:
    bench = Bench([place(0, "x")], "retry-idempotent")
    answered = 0
    while bench.engine.state is not State.DONE:
        bench.run((bench.now - START) / MS + 1)
        if len(bench.sent()) > answered:
            answered = len(bench.sent())
            bench.answer("run-0", 10016)
    assert [entry[:3] for entry in bench.decided()] == [(0, "reject", "10016")]
    assert HORIZON_NS <= bench.now - START <= HORIZON_NS + 500 * MS


def test_one_attempt_in_doubt_leaves_the_outcome_in_doubt() -> None:
    bench = Bench([place(0, "x")], "retry-idempotent")
    bench.run(1)
    bench.drop()
    bench.connect()
    while not any(op == "order.status" for _, op, _ in bench.sent()):
        before = len(bench.sent())
        bench.run((bench.now - START) / MS + 1)
        if len(bench.sent()) > before:
            bench.answer("run-0", 10016)
    bench.answer("qrun-0", found=False)
    bench.run((bench.now - START) / MS + 5)
    assert [entry[:3] for entry in bench.decided()] == [(0, "unknown", "10016")]


def test_a_code_that_nobody_knows_is_a_doubt() -> None:
    bench = Bench([place(0, "x")], "drop")
    bench.run(1)
    bench.answer("run-0", 99999)
    bench.run(2)
    assert bench.sent()[-1][1] == "order.status"


def test_retry_without_a_connection_waits_for_one_and_is_no_lag() -> None:
    bench = Bench([place(0, "x")], "retry-idempotent")
    bench.drop()
    bench.run(300)
    assert bench.sent() == []
    bench.connect()
    bench.run(301)
    assert [entry[1:] for entry in bench.sent()] == [("order.create", "run-0")]
    assert bench.engine.lags_ns == [0]


def test_never_sent_within_the_horizon_is_unsent() -> None:
    bench = Bench([place(0, "x")], "retry-idempotent")
    bench.drop()
    bench.run(10_001)
    assert bench.decided() == [(0, "unknown", "unsent", 0)]


def test_queue_holds_until_a_connection_is_back_and_never_tries_twice() -> None:
    bench = Bench([place(0, "x"), place(60, "y")], "queue")
    bench.drop()
    bench.run(15_000)
    bench.connect()
    bench.run(15_010)
    assert [entry[1:] for entry in bench.sent()] == [("order.create", "run-0"), ("order.create", "run-1")]
    bench.answer("run-0", 10016)
    bench.answer("run-1", seq=1, epoch=1)
    bench.run(15_020)
    assert sorted(bench.decided()) == [(0, "reject", "10016", 1), (1, "ok", None, 1)]


def test_what_waits_on_the_same_order_goes_first() -> None:
    bench = Bench([place(0, "x"), amend(1, "x"), cancel(10, "x"), place(10, "y")], "retry-idempotent")
    bench.run(2)
    bench.answer("run-0", 10016)
    bench.answer("run-1", 10016)
    bench.run(12)
    assert [entry[1:] for entry in bench.sent()[2:]] == [
        ("order.create", "run-0"),
        ("order.amend", "run-1"),
        ("order.cancel", "run-2"),
        ("order.create", "run-3"),
    ]


def test_an_order_in_flight_does_not_hold_its_cancel_up() -> None:
    bench = Bench([place(0, "x"), cancel(5, "x")], "retry-idempotent")
    bench.run(6)
    assert bench.sent()[-1] == (5, "order.cancel", "run-1")


def test_second_attempts_are_paced() -> None:
    rows = [place(0, f"x{n}") for n in range(1000)]
    bench = Bench(rows, "retry-idempotent")
    bench.run(0)
    assert len(bench.sent()) == 1000
    bench.drop()
    bench.connect()
    bench.run(200)
    assert 250 < len(bench.sent()) - 1000 <= 450  # 2,000 a second


def test_stop_sends_nothing_more_and_waits_one_timeout_at_most() -> None:
    bench = Bench([place(0, "x"), place(1, "y"), place(50, "z")], "retry-idempotent")
    bench.run(2)
    bench.answer("run-0", 10016)
    bench.run(10)
    bench.engine.stop()
    bench.run(1_500)
    assert bench.decided() == [(0, "reject", "10016", 1)]
    bench.run(2_011)
    assert bench.engine.state is State.DONE
    assert {request_id for _, _, request_id in bench.sent()} <= {"run-0", "run-1", "qrun-1"}
    assert sorted(bench.decided()) == [(0, "reject", "10016", 1), (1, "unknown", "unresolved", 1)]
    assert bench.engine.next == 2


def test_stop_keeps_the_schedule_up_to_its_instant() -> None:
    bench = Bench([place(0, "x"), place(1.5, "y"), place(5, "z")], "drop")
    bench.run(1)
    bench.now += MS * 3 // 4
    bench.engine.stop()
    assert bench.engine.next == 2


def test_a_drained_engine_is_done_at_once() -> None:
    bench = Bench([place(0, "x")], "drop")
    bench.run(1)
    bench.answer("run-0")
    bench.run(2)
    bench.run(200)
    assert bench.engine.state is State.DONE
    bench.engine.stop()
    assert bench.decided() == [(0, "ok", None, 1)]


def test_answers_of_others_and_late_ones_are_ignored() -> None:
    bench = Bench([place(0, "x")], "drop")
    bench.run(1)
    bench.transport.events.append(Answer(0, {"op": "pong"}))
    bench.answer("auth")
    bench.answer("other-5")
    bench.answer("run-77")
    bench.answer("qrun-0", found=True)
    bench.run(2)
    assert bench.decided() == []
    bench.answer("run-0", seq=1)
    bench.answer("run-0", 110001)
    bench.run(3)
    assert bench.decided() == [(0, "ok", None, 1)]


def test_a_repeated_trace_gives_fresh_ids_to_orders_and_their_cancels() -> None:
    bench = Bench([place(0, "x"), cancel(5, "x")], "drop", duration_s=0.02)
    bench.run(20)
    creates = [m["args"][0]["orderLinkId"] for _, _, m in bench.transport.log if m["op"] == "order.create"]
    cancels = [m["args"][0]["orderLinkId"] for _, _, m in bench.transport.log if m["op"] == "order.cancel"]
    assert creates == cancels == ["run-0", "run-2"]
