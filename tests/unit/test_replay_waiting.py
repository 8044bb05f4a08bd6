"""What the engine makes of operations that had to wait for a free connection, or never got one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.config import Outage
from loadgen.engine.core import State
from loadgen.engine.ops import OUTCOMES
from loadgen.engine.signals import Event, Lost, Written
from loadgen.engine.watch import MS
from tests.unit.replaybench import START, Bench, place


class Engines(Bench):
    """An engine whose connections the test speaks for."""

    def columns_of(self, n: int) -> tuple[int, list[int]]:
        """When operation n was sent, and which are decided."""
        done = [entry[0] for entry in self.decided()]
        return int(self.engine.progress.sent_ns[n]), done


def told(made: Engines, *events: Event) -> None:
    made.transport.events += events
    made.run((made.now - START) / MS + 1)


@pytest.mark.parametrize("outage", ["drop", "queue", "retry-idempotent"])
def test_what_waited_for_a_connection_counts_from_when_it_left(outage: Outage) -> None:
    made = Engines([place(0, "x"), place(50, "z", 1)], outage)
    made.run(1500)
    told(made, Written(0, made.now + MS))
    assert made.columns_of(0) == (START + 1501 * MS, [])
    made.run(3400)
    made.answer("run-0", seq=4, epoch=1)
    made.run(3401)
    assert made.decided()[-1] == (0, "ok", None, 1)
    assert made.columns_of(0) == (START + 1501 * MS, [0])


def test_its_timeout_begins_when_it_has_left() -> None:
    made = Engines([place(0, "x")], "drop")
    made.run(1500)
    told(made, Written(0, made.now + MS))
    made.run(3500)
    assert len(made.sent()) == 1
    made.run(3502)
    assert made.sent()[1][1:] == ("order.status", "qrun-0")


@pytest.mark.parametrize(("outage", "attempts"), [("drop", 0), ("retry-idempotent", 1), ("queue", 1)])
def test_what_never_left_is_no_attempt(outage: Outage, attempts: int) -> None:
    made = Engines([place(0, "x")], outage)
    made.run(100)
    assert made.engine.sent.tolist()[0] == 1
    told(made, Lost([0], "no-connection", unsent=True))
    if outage == "drop":
        assert made.decided() == [(0, "unknown", "no-connection", 0)]
        assert made.columns_of(0) == (0, [0])
    assert made.engine.sent.tolist()[0] == 0
    made.run(300)
    assert len(made.sent()) == 1 + attempts
    made.answer("run-0", seq=4, epoch=1)
    made.run(302)
    assert made.engine.sent.tolist()[0] == attempts
    assert [entry[3] for entry in made.decided()] == [attempts]
    assert made.engine.take_lags().tolist() == [0], "a venue without a free connection is not the generator's lag"


def test_nothing_is_in_doubt_that_never_left() -> None:
    made = Engines([place(0, "x")], "retry-idempotent")
    made.run(0)
    while made.engine.state is not State.DONE:
        told(made, Lost([0], "no-connection", unsent=True))
    assert made.decided() == [(0, "unknown", "no-connection", 0)]
    assert not [op for _, op, _ in made.sent() if op == "order.status"]


def test_a_question_that_had_to_wait_has_its_whole_timeout() -> None:
    made = Engines([place(0, "x")], "drop")
    made.run(2000)
    assert made.sent()[-1][1] == "order.status"
    made.run(3500)
    told(made, Written(0, made.now + MS))
    made.run(5500)
    assert len(made.sent()) == 2
    made.run(5600)
    assert len(made.sent()) == 3, "asked again"


def test_a_second_attempt_that_had_to_wait_keeps_the_time_of_the_first() -> None:
    made = Engines([place(0, "x")], "retry-idempotent")
    made.run(10)
    made.answer("run-0", 10016)
    made.run(100)
    assert len(made.sent()) == 2
    told(made, Written(0, made.now + MS))
    assert made.columns_of(0)[0] == START


def test_many_that_are_cut_off_at_once_and_what_they_had_in_flight() -> None:
    rows = [place(k / 10, f"x{k}", k % 2) for k in range(100)]
    made = Engines(rows, "drop", 0.0099)
    made.run(20)
    made.drop(0)
    made.drop(1)
    made.run(21)
    assert made.engine.undecided == len(made.engine.kinds) == 99
    made.connect(0)
    made.connect(1)
    made.run(100)
    asked = [request for _, op, request in made.sent() if op == "order.status"]
    assert sorted(asked) == sorted(f"qrun-{n}" for n in range(99))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["drop", "queue", "retry-idempotent"]), st.data())
def test_whatever_becomes_of_what_waits_it_ends_once_and_the_counts_agree(outage: Outage, data: st.DataObject) -> None:
    made = Engines([place(k, f"x{k}", k % 2) for k in range(6)], outage, 0.0059)
    acts = ("written", "unsent", "lost", "ok", "unavailable", "stall", "nothing")
    for act in data.draw(st.lists(st.sampled_from(acts), max_size=40)):
        n = data.draw(st.integers(0, 5))
        flying = made.engine.next > n and n not in made.columns_of(n)[1]
        if act == "stall":
            made.now += data.draw(st.integers(0, 2500)) * MS
        elif act in ("ok", "unavailable"):
            made.answer(f"run-{n}", 0 if act == "ok" else 10016, seq=1, epoch=1)
        elif act != "nothing" and flying:
            at = made.now + MS
            made.transport.events += [Written(n, at) if act == "written" else Lost([n], "gone", unsent=act == "unsent")]
        made.run((made.now - START) / MS + 1)
    while made.engine.state is not State.DONE:
        for n in range(6):
            made.answer(f"run-{n}", 0, seq=1, epoch=1)
            made.answer(f"qrun-{n}", 0, found=True, code=0, seq=1, epoch=1)
        made.run((made.now - START) / MS + 20)
        assert made.now < START + 60_000 * MS
    assert sorted(entry[0] for entry in made.decided()) == list(range(6))
    columns = made.columns()
    left = columns.sent_ns >= 0
    assert made.engine.undecided == 0
    assert int(made.engine.sent.sum()) == int(left.sum())
    assert ((columns.attempts > 0) == left).all()
    assert (columns.sent_ns[left] >= columns.intended_ns[left]).all()
    assert {OUTCOMES[code] for code in columns.outcome[~left].tolist()} <= {"unknown"}
    assert len(made.engine.take_lags()) == 6
