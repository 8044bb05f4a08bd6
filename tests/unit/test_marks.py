"""Marks from events, readings and recovery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from chaoslib_ext.judge import gather
from drills.events import Event, Kind
from drills.evidence import SAMPLES, RunDir
from drills.history import history
from drills.ledger import fold as fold_ledger
from drills.marks import compute_marks, leases, readings
from drills.plan import Plan
from drills.timeline import Lead, fold, merge_ledger, t0_faults
from tests.runs import MS, NS, Spec, build, make_plan
from tests.tables import operation, witness_table


def event(kind: Kind, at_ns: int, /, **data: Any) -> Event:  # noqa: ANN401 - JSON
    return Event(0, at_ns, "2026-11-21T08:15:02.000000Z", kind, data, "", "")


def samples(*rows: tuple[int, str, float | None]) -> pa.Table:
    columns = [
        {"t_ns": t * MS, "probe": probe, "target": None, "value": value, "unit": "u", "text": "engine-1", "error": None}
        for t, probe, value in rows
    ]
    return pa.Table.from_pylist(columns, SAMPLES)


FAULT = [
    event(Kind.FAULT_APPLIED, 10 * NS, fault_id="engine-dies", issued_ns=10 * NS),
    event(
        Kind.FAULT_IN_EFFECT, 10 * NS + 3 * MS, fault_id="engine-dies", issued_ns=10 * NS, effect_ns=10 * NS + 3 * MS
    ),
]


def plan_with(phases: list[dict[str, Any]]) -> Plan:
    plan = make_plan(Spec()).model_dump(mode="json")
    return Plan.model_validate(plan | {"phases": phases})


def test_every_mark_of_a_whole_run(tmp_path: Path) -> None:
    marks = gather(RunDir(build(tmp_path, Spec()))).marks
    got = {name: round(value, 2) for name, value in marks.at.items() if value is not None}
    assert got == {
        "T0_low": 0.0, "T0_high": 0.0, "T1": 1.1, "T2": 1.98, "T3": 1.98, "T4": 2.0, "T5": 2.0, "T6": 16.0, "T7": 13.0,
    }  # fmt: skip
    assert marks.lead == Lead(marks.lead.t_ns if marks.lead else 0, 2, "engine-1")


def test_t0_is_that_of_the_last_inject_before_something_is_awaited() -> None:
    both = plan_with(
        [
            {"baseline": {"for": "5s"}},
            {"inject": {"fault": "answers-slow"}},
            {"inject": {"faults": ["gateway-dies", "engine-dies"]}},
            {"detect": {"probe": "engine-leader", "within": "10s"}},
            {"inject": {"fault": "late"}},
        ]
    )
    assert t0_faults(both) == ("gateway-dies", "engine-dies")
    line = fold(
        [
            event(Kind.FAULT_IN_EFFECT, 0, fault_id="answers-slow", issued_ns=1, effect_ns=2),
            event(Kind.FAULT_IN_EFFECT, 0, fault_id="gateway-dies", issued_ns=10, effect_ns=40),
            event(Kind.FAULT_IN_EFFECT, 0, fault_id="engine-dies", issued_ns=20, effect_ns=30),
        ]
    )
    assert line.t0(both) == (10, 40)
    assert line.first_issue_ns == 1


def test_the_window_is_open_while_one_fault_is_not_witnessed() -> None:
    plan = plan_with([{"inject": {"faults": ["a", "b"]}}])
    line = fold(
        [
            event(Kind.FAULT_IN_EFFECT, 0, fault_id="a", issued_ns=10, effect_ns=40),
            event(Kind.FAULT_APPLIED, 0, fault_id="b", issued_ns=20),
        ]
    )
    assert line.t0(plan) == (10, None)


def test_no_fault_no_marks_each_with_a_reason() -> None:
    marks = compute_marks(fold([]), make_plan(Spec()), None, None, [])
    assert set(marks.at.values()) == {None}
    assert set(marks.reasons.values()) == {"no fault was injected"}


def test_an_alert_beats_the_drills_own_probe() -> None:
    line = fold(
        [
            *FAULT,
            event(Kind.DETECTED, 0, probe="engine-leader", t_ns=11 * NS),
            event(Kind.DETECTED, 0, alert="MatchingEngineDown", t_ns=12 * NS),
        ]
    )
    marks = compute_marks(line, make_plan(Spec()), None, None, [])
    assert (marks.get("T1"), marks.T1_source, marks.T1_is_alert) == (2.0, "alert MatchingEngineDown", True)


def test_what_was_seen_before_the_fault_detects_nothing() -> None:
    line = fold([*FAULT, event(Kind.DETECTED, 0, probe="engine-leader", t_ns=9 * NS)])
    assert compute_marks(line, make_plan(Spec()), None, None, []).get("T1") is None


def test_a_new_lease_is_seen_by_event_reading_or_answer_whichever_came_first() -> None:
    line = fold([event(Kind.LEADER, 0, instance="engine-1", epoch=2, t_ns=900 * MS)])
    table = samples((100, "engine-leader", 1.0), (800, "engine-leader", 2.0), (850, "engine-leader", None))
    h = history(witness_table([operation(0, 700 * MS, epoch=2), operation(1, 950 * MS, epoch=3)]))
    found = leases(line, table, h)
    assert [(lead.epoch, lead.t_ns // MS, lead.instance) for lead in found] == [
        (1, 100, "engine-1"), (2, 701, "engine-1"), (3, 951, ""),
    ]  # fmt: skip


def test_redundancy_is_back_after_the_last_reading_below() -> None:
    line = fold(FAULT)
    name = "engine-redundancy"
    flapping = samples(
        (9000, name, 2.0), (10_100, name, 1.0), (11_000, name, 2.0), (12_000, name, 1.0), (13_000, name, 2.0)
    )
    assert compute_marks(line, make_plan(Spec()), None, flapping, []).get("T7") == pytest.approx(3.0)
    never = compute_marks(line, make_plan(Spec()), None, samples((9000, name, 2.0), (11_000, name, 1.0)), [])
    assert never.reasons["T7"] == "redundancy was still 1 of 2 at the last reading"
    silent = compute_marks(line, make_plan(Spec()), None, samples((9000, name, 2.0), (11_000, name, None)), [])
    assert silent.reasons["T7"] == "redundancy was not seen reduced"


def test_no_data_is_not_zero() -> None:
    found = readings(samples((1, "p", None), (3, "p", 0.0)), "p")
    assert found is not None
    assert found.period_s == pytest.approx(0.002)
    assert [value != value for value in found.value] == [True, False]
    assert readings(samples(), "p") is None


def test_the_ledger_completes_an_event_log_whose_writer_died() -> None:
    book = fold_ledger(
        [
            b'{"e":"start","run_id":"r"}',
            b'{"e":"intent","fault_id":"engine-dies","fault":"process.kill","targets":["engine-0"],"recipes":[]}',
            b'{"e":"state","fault_id":"engine-dies","state":"APPLIED","issued_ns":10}',
            b'{"e":"state","fault_id":"engine-dies","state":"IN_EFFECT","effect_ns":12}',
        ]
    )
    line = fold([])
    merge_ledger(line, book)
    assert line.t0(make_plan(Spec())) == (10, 12)
    assert line.faults["engine-dies"].open
