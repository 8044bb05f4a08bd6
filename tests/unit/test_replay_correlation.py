"""Cancels and amends where the venue wants its own id of the order: held, skipped or sent anyway, and never stuck."""

from __future__ import annotations

from loadgen.config import Unanswered
from loadgen.engine.core import State
from loadgen.venues.wire import Meaning
from tests.unit.replaybench import Bench, cancel, place


def bench(unanswered: Unanswered) -> Bench:
    return Bench(
        [place(0, "x"), cancel(5, "x"), place(20, "y", 1)],
        "drop",
        0.025,
        unanswered=unanswered,
        prerendered=False,
        needs_server_id=True,
    )


def ops(made: Bench) -> list[tuple[float, str, str]]:
    return made.sent()


def test_a_cancel_waits_for_the_id_of_its_order_and_then_goes_at_once() -> None:
    made = bench("hold")
    made.run(10)
    assert ops(made) == [(0, "order.create", "run-0")]
    made.tells(0, server_id=b"S-1")
    made.run(12)
    assert ops(made)[1:] == [(11, "order.cancel", "run-1")]
    assert made.engine.watch.correlation.held == 1
    assert made.engine.take_lags().tolist() == [0]  # the cancel's delay is not the generator's


def test_a_cancel_behind_the_answer_is_not_held() -> None:
    made = bench("hold")
    made.run(1)
    made.tells(0, server_id=b"S-1")
    made.run(6)
    assert ops(made)[1:] == [(5, "order.cancel", "run-1")]
    assert made.engine.watch.correlation.held == 0


def test_skip_leaves_the_cancel_out_and_counts_it() -> None:
    made = bench("skip")
    made.run(10)
    assert ops(made) == [(0, "order.create", "run-0")]
    assert made.decided() == [(1, "unknown", "no-order-id", 0)]
    assert made.engine.watch.correlation.skipped == 1


def test_send_anyway_sends_without_the_id_and_counts_it() -> None:
    made = bench("send-anyway")
    made.run(10)
    assert ops(made)[1:] == [(5, "order.cancel", "run-1")]
    assert made.engine.watch.correlation.sent_anyway == 1


def test_an_order_that_was_refused_lets_go_of_its_cancel() -> None:
    made = bench("hold")
    made.run(10)
    made.tells(0, Meaning.REJECT)
    made.run(30)
    made.tells(2, server_id=b"S-2")
    made.run(40)
    assert sorted(made.decided()) == [
        (0, "reject", "1", 1),
        (1, "unknown", "no-order-id", 0),
        (2, "ok", None, 1),
    ]
    assert made.engine.state is State.DONE


def test_an_order_that_is_never_answered_does_not_keep_its_cancel_for_ever() -> None:
    made = bench("hold")
    made.run(30)
    made.tells(2, server_id=b"S-2")
    made.run(14_500)
    assert sorted(made.decided()) == [
        (0, "unknown", "unresolved", 1),
        (1, "unknown", "no-order-id", 0),
        (2, "ok", None, 1),
    ]
    assert made.engine.undecided == 0
