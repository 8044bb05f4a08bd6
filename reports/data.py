"""What a report is made from: the files of one run, read once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drills.errors import DefinitionError, MusterError
from drills.events import Event, Kind, read_events
from drills.evidence import RunDir
from drills.history import History, Mask, history, read_table
from drills.plan import Plan, read_plan
from drills.rto import Rules, baseline_rejects, good
from drills.timeline import Timeline, fold
from drills.verdict import Verdict, read_verdict


@dataclass(frozen=True)
class ReportData:
    """One run; `history` and `is_good` are None where there is no readable witness."""

    run: RunDir
    plan: Plan
    verdict: Verdict
    events: tuple[Event, ...]
    line: Timeline
    history: History | None
    is_good: Mask | None

    @property
    def origin_ns(self) -> int:
        """The zero of every time axis: T0, else the start of the load."""
        if self.verdict.run.t0_ns is not None:
            return self.verdict.run.t0_ns
        if self.history is not None and len(self.history):
            return int(self.history.intended[0])
        return self.line.started_ns or 0

    def seconds(self, t_ns: int | None) -> float | None:
        """An instant in seconds from the origin."""
        return None if t_ns is None else (t_ns - self.origin_ns) / 1e9


def load(run_dir: Path) -> ReportData:
    """Read a run that was judged; raises DefinitionError when its plan or its verdict is unreadable."""
    run = RunDir(run_dir)
    plan, verdict = read_plan(run.plan), read_verdict(run.verdict)
    events = _events(run.events)
    line = fold(events)
    try:
        witness = history(read_table(run.witness))
    except MusterError:
        witness = None  # the verdict names it; the report is written all the same
    rules = Rules(plan.sustain_s, plan.theta, plan.limits_ms, plan.client_timeout_ms)
    is_good = good(witness, rules, baseline_rejects(witness, line.first_issue_ns)) if witness is not None else None
    return ReportData(run, plan, verdict, events, line, witness, is_good)


def _events(path: Path) -> tuple[Event, ...]:
    """The events as far as their chain holds; the verdict says where it breaks."""
    found: list[Event] = []
    try:
        for event in read_events(path):
            found.append(event)
    except (DefinitionError, OSError):
        pass
    return tuple(found)


__all__ = ["Kind", "ReportData", "load"]
