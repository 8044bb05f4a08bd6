"""What the engine sends when, and what an answer makes of an operation."""

from __future__ import annotations

import pytest

from loadgen.config import Outage
from loadgen.engine.core import State
from loadgen.engine.watch import MS
from tests.unit.replaybench import START, Bench, cancel, place

MODES: list[Outage] = ["drop", "queue", "retry-idempotent"]


@pytest.mark.parametrize("outage", MODES)
def test_an_operation_leaves_at_its_time_whatever_became_of_the_one_before(outage: Outage) -> None:
    bench = Bench([place(0, "x"), place(3, "y", 1), cancel(7, "x")], outage)
    bench.run(10)
    assert bench.sent() == [(0, "order.create", "run-0"), (3, "order.create", "run-1"), (7, "order.cancel", "run-2")]
    messages = [message for _, _, message in bench.transport.log]
    assert messages[0]["args"] == [
        {
            "orderLinkId": "run-0000000000",
            "symbol": "BTCUSDT",
            "side": "Buy",
            "orderType": "Limit",
            "timeInForce": "GTC",
            "price": "0.000005",
            "qty": "0.000003",
        }
    ]
    assert messages[2]["args"] == [{"orderLinkId": "run-0000000000", "symbol": "BTCUSDT"}]
    assert messages[0]["header"] == {"X-BAPI-TIMESTAMP": "1700000000000", "X-BAPI-RECV-WINDOW": "5000"}


def test_an_answer_decides_with_its_sequence_and_epoch() -> None:
    bench = Bench([place(0, "x")], "drop")
    bench.run(2)
    bench.answer("run-0", seq=17, epoch=3)
    bench.run(3)
    d = bench.columns()
    assert [column.tolist() for column in (d.n, d.seq, d.epoch, d.outcome)] == [[0], [17], [3], [0]]
    assert [d.intended_ns[0], d.sent_ns[0], d.answered_ns[0]] == [START, START, START + 3 * MS]
    assert bench.engine.state is State.DONE


def test_a_business_reject_is_a_decision() -> None:
    bench = Bench([place(0, "x"), cancel(1, "x")], "retry-idempotent")
    bench.run(2)
    bench.answer("run-1", 110001, seq=5, epoch=1)
    bench.run(3)
    assert bench.decided() == [(1, "reject", "110001", 1)]


def test_the_cursor_moves_before_the_bytes_leave() -> None:
    bench = Bench([place(0, "x"), place(0, "y"), place(5, "z")], "drop")
    bench.run(6)
    assert [(count, cursor) for _, count, cursor in bench.transport.calls] == [(2, 2), (1, 3)]


def test_one_write_a_session_and_tick() -> None:
    bench = Bench([place(0, "a"), place(0.2, "b", 1), place(0.4, "c"), place(0.6, "d"), place(90, "e")], "drop")
    bench.run(1)
    assert [(session, count) for session, count, _ in bench.transport.calls] == [(0, 1), (0, 2), (1, 1)]


def test_the_lag_is_measured_from_the_intended_time() -> None:
    bench = Bench([place(0, "a"), place(0.4, "b"), place(3, "c"), place(90, "d")], "drop")
    bench.run(5)
    assert bench.engine.take_lags().tolist() == [0, 600_000, 0]


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
    assert creates == cancels == ["run-0000000000", "run-0000000002"]
