"""What the event log says about a run, in one object: the faults, who noticed, who led, how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from drills.events import Event, Kind
from drills.ledger import Book
from drills.plan import Plan


@dataclass(slots=True)
class FaultRecord:
    """A fault as it went; instants in CLOCK_MONOTONIC nanoseconds, None for what did not happen."""

    fault_id: str
    fault: str = ""
    issued_ns: int | None = None
    effect_ns: int | None = None
    undone_ns: int | None = None
    witnesses: tuple[str, ...] = ()
    not_witnessed: str | None = None
    orphaned: tuple[str, ...] | None = None
    open: bool | None = None  # by the ledger: something of it may still be in the system


@dataclass(frozen=True, slots=True)
class Lead:
    """A lease seen: who leads with which epoch, since when."""

    t_ns: int
    epoch: int
    instance: str


@dataclass(slots=True)
class Timeline:
    """The fold of an event log; fields are None or empty where there was no such event."""

    started: Mapping[str, Any] | None = None
    started_wall: str | None = None
    started_ns: int | None = None
    ended_ns: int | None = None
    wall_at: tuple[int, str] | None = None
    versions: dict[str, str] = field(default_factory=dict)
    instances: int | None = None
    load_started_ns: int | None = None
    baseline: Mapping[str, Any] | None = None
    faults: dict[str, FaultRecord] = field(default_factory=dict)
    detected: list[tuple[int, str, bool]] = field(default_factory=list)  # t_ns, by whom, whether it was an alert
    leaders: list[Lead] = field(default_factory=list)
    restored_ns: int | None = None
    failed_back_ns: int | None = None
    phases: list[tuple[str, int, int | None, str, str]] = field(default_factory=list)  # phase, start, end, result, text
    stop: tuple[int, str, str] | None = None  # t_ns, by whom, reason
    load_ended: Mapping[str, Any] | None = None
    audit_ns: int | None = None
    audit: Mapping[str, Any] | None = None
    cleanup: Mapping[str, Any] | None = None
    held: bool = False

    @property
    def first_issue_ns(self) -> int | None:
        """The instant of the first fault of the run: before it lies the baseline; None where there was none."""
        return min((r.issued_ns for r in self.faults.values() if r.issued_ns is not None), default=None)

    def t0(self, plan: Plan) -> tuple[int, int | None] | None:
        """The fault window (T0-, T0+): first command issued, last effect witnessed; None before any command.

        T0 is that of the last inject phase before the first detect, decide or recover phase: what is injected before it
        only prepares the ground. An experiment has no phases; there it is its first fault.
        """
        ids = t0_faults(plan) or tuple(self.faults)[:1]
        records = [self.faults[key] for key in ids if key in self.faults]
        issued = [record.issued_ns for record in records if record.issued_ns is not None]
        if not issued:
            return None
        effects = [record.effect_ns for record in records if record.effect_ns is not None]
        return min(issued), (max(effects) if len(effects) == len(ids) else None)


def t0_faults(plan: Plan) -> tuple[str, ...]:
    """The ids of the faults whose window is T0; empty for an experiment."""
    ids: tuple[str, ...] = ()
    for phase in plan.phases:
        if phase.inject is not None:
            ids = phase.inject.ids
        elif ids and phase.kind in ("detect", "decide", "recover"):
            break
    return ids


def fold(events: Iterable[Event]) -> Timeline:
    """Read an event stream into a Timeline; kinds that it does not know are ignored."""
    line = Timeline()
    for event in events:
        if line.started_ns is None:
            line.started_ns = event.t_ns
        if event.kind not in _AFTER:
            line.ended_ns = event.t_ns
        line.wall_at = line.wall_at or (event.t_ns, event.wall)
        _RUN.get(event.kind, _ignore)(line, event)
        if event.kind.startswith("fault."):
            _fault(line, event)
    return line


_AFTER = (Kind.NOTE, Kind.VERDICT, Kind.RUN_ENDED)
"""What may still be written when the run has been judged: it must not change what the judge says next time."""


def _ignore(line: Timeline, event: Event) -> None:
    return None


def _started(line: Timeline, event: Event) -> None:
    line.started, line.started_wall = event.data, event.wall


def _sandbox(line: Timeline, event: Event) -> None:
    line.versions.update({str(k): str(v) for k, v in (event.data.get("versions") or {}).items()})
    instances = event.data.get("instances")
    line.instances = len(instances) if isinstance(instances, list) else instances


def _load_started(line: Timeline, event: Event) -> None:
    line.load_started_ns = event.data.get("start_ns") or event.t_ns


def _baseline(line: Timeline, event: Event) -> None:
    line.baseline = event.data


def _phase_started(line: Timeline, event: Event) -> None:
    line.phases.append((str(event.data.get("phase")), event.t_ns, None, "", ""))


def _phase_ended(line: Timeline, event: Event) -> None:
    name, result = str(event.data.get("phase")), str(event.data.get("result", ""))
    for i in range(len(line.phases) - 1, -1, -1):
        phase, start, end, _, _ = line.phases[i]
        if phase == name and end is None:
            line.phases[i] = (phase, start, event.t_ns, result, str(event.data.get("text") or ""))
            break
    if name == "restore" and result == "ok":
        line.restored_ns = event.t_ns
    if name == "failback" and result == "ok":
        line.failed_back_ns = event.t_ns


def _detected(line: Timeline, event: Event) -> None:
    alert = event.data.get("alert")
    by = f"alert {alert}" if alert else str(event.data.get("probe") or event.data.get("text") or "probe")
    line.detected.append((int(event.data.get("t_ns") or event.t_ns), by, bool(alert)))


def _leader(line: Timeline, event: Event) -> None:
    if event.data.get("epoch") is not None:
        t_ns = int(event.data.get("t_ns") or event.t_ns)
        line.leaders.append(Lead(t_ns, int(event.data["epoch"]), str(event.data.get("instance") or "")))


def _stopped(line: Timeline, event: Event) -> None:
    by = event.data.get("by") or event.data.get("guard") or "unknown"
    line.held = line.held or event.data.get("action") == "hold"
    if line.stop is None:  # the first one is the cause; what follows is its consequence
        line.stop = (event.t_ns, str(by), str(event.data.get("reason") or ""))


def _load_ended(line: Timeline, event: Event) -> None:
    line.load_ended = event.data


def _audit(line: Timeline, event: Event) -> None:
    line.audit_ns, line.audit = event.t_ns, event.data


def _cleanup(line: Timeline, event: Event) -> None:
    line.cleanup = event.data


_RUN = {
    Kind.RUN_STARTED: _started,
    Kind.SANDBOX: _sandbox,
    Kind.LOAD_STARTED: _load_started,
    Kind.BASELINE: _baseline,
    Kind.PHASE_STARTED: _phase_started,
    Kind.PHASE_ENDED: _phase_ended,
    Kind.DETECTED: _detected,
    Kind.LEADER: _leader,
    Kind.GUARD_TRIPPED: _stopped,
    Kind.ABORT: _stopped,
    Kind.LOAD_ENDED: _load_ended,
    Kind.AUDIT: _audit,
    Kind.CLEANUP: _cleanup,
}


def _fault(line: Timeline, event: Event) -> None:
    data, key = event.data, str(event.data.get("fault_id"))
    record = line.faults.setdefault(key, FaultRecord(key))
    match event.kind:
        case Kind.FAULT_INTENT:
            record.fault = str(data.get("fault") or "")
        case Kind.FAULT_APPLIED:
            record.issued_ns = data.get("issued_ns") or event.t_ns
        case Kind.FAULT_IN_EFFECT:
            record.issued_ns = data.get("issued_ns") or record.issued_ns
            record.effect_ns = data.get("effect_ns") or event.t_ns
            record.witnesses = tuple(str(text) for text in data.get("witnesses") or ())
        case Kind.FAULT_NOT_WITNESSED:
            record.not_witnessed = str(data.get("reason") or "no witness")
        case Kind.FAULT_VERIFIED:
            record.undone_ns, record.orphaned = data.get("undone_ns") or event.t_ns, None
        case Kind.FAULT_ORPHANED:
            by_hand = data.get("by_hand") or ()
            record.orphaned = (by_hand,) if isinstance(by_hand, str) else tuple(by_hand)
        case _:
            pass


def merge_ledger(line: Timeline, book: Book) -> None:
    """Add what the guardian wrote and the event log does not hold (its writer may have died): instants and states."""
    for entry in book.entries:
        record = line.faults.setdefault(entry.fault_id, FaultRecord(entry.fault_id, entry.fault))
        record.issued_ns = record.issued_ns if record.issued_ns is not None else entry.issued_ns
        record.effect_ns = record.effect_ns if record.effect_ns is not None else entry.effect_ns
        record.undone_ns = record.undone_ns if record.undone_ns is not None else entry.undone_ns
        record.open = entry.open
        if entry.open and entry.by_hand:
            record.orphaned = entry.by_hand
