"""Whatever a venue does, every operation ends exactly once, and the counts agree with what left and what came."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.builder import Row
from loadgen.config import Outage
from loadgen.engine.core import State
from loadgen.engine.ops import OUTCOMES
from loadgen.engine.watch import MS
from tests.unit.replaybench import START, Bench, amend, cancel, place, short

OUTAGES: list[Outage] = ["drop", "queue", "retry-idempotent"]
CODES = (0, 0, 0, 110001, 110072, 10016, 10000, 99999)


WHEN = st.integers(0, 40).map(lambda half: half / 2)
"""Milliseconds, half by half: a trace of two rows a nanosecond apart repeats itself a million times in a short run."""


@st.composite
def flows(draw: st.DrawFn) -> list[Row]:
    rows = []
    for number in range(draw(st.integers(1, 8))):
        at, session, name = draw(WHEN), draw(st.integers(0, 1)), f"x{number}"
        rows.append(place(at, name, session))
        if draw(st.booleans()):
            rows.append(cancel(at + draw(WHEN), name, session))
        elif session == 0 and draw(st.booleans()):
            rows.append(amend(at + draw(WHEN), name))
    return rows


def answer(bench: Bench, message: dict[str, Any], code: int) -> None:
    request_id = short(message["reqId"])
    if message["op"] == "order.status":
        bench.answer(request_id, 0 if code in (0, 110001) else code, found=code == 0, code=0, seq=1, epoch=1)
    else:
        bench.answer(request_id, code, seq=1, epoch=1)


@settings(max_examples=150, deadline=None)
@given(flows(), st.sampled_from(OUTAGES), st.data())
def test_every_operation_ends_once_and_the_counts_agree(rows: list[Row], outage: Outage, data: st.DataObject) -> None:
    bench = Bench(rows, outage, duration_s=0.06)
    for _ in range(data.draw(st.integers(1, 40))):
        bench.run((bench.now - START) / MS + 1)
        act = data.draw(st.sampled_from(("nothing", "answer", "answer", "drop", "connect", "foreign", "stall")))
        if act == "answer" and bench.transport.log:
            _, _, message = data.draw(st.sampled_from(bench.transport.log))  # an old one too: answered twice
            answer(bench, message, data.draw(st.sampled_from(CODES)))
        elif act == "drop":
            bench.drop(data.draw(st.integers(0, 1)))
        elif act == "connect":
            bench.connect(data.draw(st.integers(0, 1)))
        elif act == "foreign":
            bench.answer(f"run-{data.draw(st.integers(0, 99))}", 0)
        elif act == "stall":
            bench.now += data.draw(st.integers(0, 2_500)) * MS
    bench.connect(0)
    bench.connect(1)
    served = 0
    while bench.engine.state is not State.DONE:
        bench.run((bench.now - START) / MS + 7)
        for _, _, message in bench.transport.log[served:]:
            answer(bench, message, 0)
        served = len(bench.transport.log)
        assert bench.now < START + 120_000 * MS
    _agree(bench, outage)


def _agree(bench: Bench, outage: Outage) -> None:
    engine, decided = bench.engine, bench.decided()
    assert engine.undecided == 0
    assert sorted(n for n, *_ in decided) == list(range(engine.next))
    assert engine.next == bench.cursor == int(engine.scheduled.sum())
    columns = bench.columns()
    left = columns.sent_ns >= 0
    assert int(engine.sent.sum()) == int(left.sum())
    assert ((columns.attempts >= 1) == left).all()
    answered = columns.answered_ns >= 0
    assert (columns.answered_ns[answered] >= columns.sent_ns[answered]).all()
    assert (columns.sent_ns[left] >= columns.intended_ns[left]).all()
    assert {OUTCOMES[code] for code in columns.outcome[~left].tolist()} <= {"unknown"}
    attempts = Counter(message["reqId"] for _, _, message in bench.transport.log if message["op"] != "order.status")
    for n, attempted in zip(columns.n.tolist(), columns.attempts.tolist(), strict=True):
        assert attempts[f"run-{n:010d}"] == attempted
    if outage != "retry-idempotent":
        assert max(attempts.values(), default=0) <= 1
