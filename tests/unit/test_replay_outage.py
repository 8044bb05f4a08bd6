"""What the engine does in an outage: drop, queue, retry with the same ids, and ask for what is in doubt."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from loadgen.config import Outage
from loadgen.engine.core import State
from loadgen.engine.watch import HORIZON_NS, MS
from tests.unit.replaybench import START, Bench, amend, cancel, place


def test_drop_without_a_connection_is_not_sent() -> None:
    bench = Bench([place(0, "x"), place(1, "y")], "drop")
    bench.drop()
    bench.run(0)
    bench.connect()
    bench.run(1)
    assert bench.sent() == [(1, "order.create", "run-1")]
    assert bench.decided() == [(0, "unknown", "unsent", 0)]
    assert bench.columns().sent_ns.tolist() == [-1]


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
    assert bench.transport.log[1][2]["args"] == [{"orderLinkId": "run-0000000000"}]
    bench.answer("qrun-0", **data)
    bench.run(2003)
    assert bench.decided() == [expected]
    assert (bench.columns().answered_ns.tolist() == [-1]) == (expected[1] == "unknown")


def test_a_cancel_is_asked_for_by_its_request_id() -> None:
    bench = Bench([place(0, "x"), cancel(0, "x")], "drop")
    bench.run(1)
    bench.answer("run-0")
    bench.answer("run-1", 10000)
    bench.run(3)
    assert bench.transport.log[-1][2]["args"] == [{"reqId": "run-0000000001"}]


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
    assert bench.columns().sent_ns.tolist() == [START]
    assert bench.engine.sent.tolist()[:3] == [1, 0, 0]


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
    assert (bench.columns().seq.tolist(), bench.columns().epoch.tolist()) == ([3], [1])


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
    assert bench.engine.take_lags().tolist() == [0]


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


def test_what_is_decided_before_it_leaves_again_stays_here() -> None:
    bench = Bench([place(0, "x"), cancel(10, "x")], "retry-idempotent")
    bench.run(8)
    bench.drop()
    bench.connect()
    bench.run(9)  # lost with its connection, it waits to be sent again; its cancel would take it along
    bench.answer("run-0", 0)
    bench.run(11)
    assert bench.sent() == [(0, "order.create", "run-0"), (10, "order.cancel", "run-1")]
    assert bench.decided() == [(0, "ok", None, 1)]


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
