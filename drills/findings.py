"""Weaknesses that the evidence shows: class, component, severity, evidence, owner. Nothing is guessed beyond it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drills.facts import Facts
from drills.timeline import t0_faults
from drills.verdict import Finding, ObjectiveResult, Severity

ACKNOWLEDGER = "matching-engine"
"""The service that decides and acknowledges an operation: the component of every wrong count."""

REPLICATOR = "order-bus"
"""The service that carries what was acknowledged to another region."""

ASYNCHRONOUS = "asynchronous-replication-window"

_SEVERITY: dict[str, Severity] = {
    "lost": "critical",
    "zombie": "critical",
    "duplicated": "critical",
    "phantom": "critical",
    "executed_reject": "critical",
    "single_writer": "critical",
    "reordered": "high",
}
_WORDS = {
    "lost": "acknowledged operations are absent from the audit",
    "zombie": "operations were acknowledged by a primary already replaced, and are absent from the audit",
    "duplicated": "executions beyond the first of an operation",
    "phantom": "executed commands that nobody sent",
    "executed_reject": "operations were answered with a reject and executed all the same",
    "single_writer": "sequence numbers show more than one writer",
    "reordered": "operations were sequenced before one that had been answered before they were sent",
}


def find_weaknesses(facts: Facts, objectives: Sequence[ObjectiveResult]) -> list[Finding]:
    """Every finding, the worst first; one of a class and component."""
    found: dict[str, Finding] = {}
    for finding in [
        *_counted(facts, objectives),
        *_diverged(facts),
        *_slow(facts, objectives),
        *_unnoticed(facts),
        *_single(facts),
    ]:
        found.setdefault(finding.id, finding)
    order = ("critical", "high", "medium", "low")
    return sorted(found.values(), key=lambda finding: order.index(finding.severity))


def _finding(facts: Facts, class_: str, component: str, severity: Severity, evidence: str) -> Finding:
    owner = facts.plan.owner or "unassigned"
    return Finding(id=f"{class_}/{component}", **{"class": class_}, component=component, severity=severity,
                   evidence=evidence, owner=owner)  # fmt: skip


def drilled(facts: Facts) -> str:
    """The service under drill: that of the fault, else the first of the plan."""
    ids = t0_faults(facts.plan)
    for fault in facts.plan.faults:
        if not ids or fault.id in ids:
            for target in fault.targets:
                if target.service and (not facts.plan.services or target.service in facts.plan.services):
                    return target.service
    return facts.plan.services[0] if facts.plan.services else ACKNOWLEDGER


def _counted(facts: Facts, objectives: Sequence[ObjectiveResult]) -> Iterator[Finding]:
    zombies = facts.checks["zombie"].count if "zombie" in facts.checks else 0
    for name, severity in _SEVERITY.items():
        check = facts.checks.get(name)
        if check is None or not check.count:
            continue
        if name == "lost" and zombies == check.count:
            continue  # every loss is a zombie's: one weakness, told once
        if check.kind == "sequence-given-again" and facts.checks["lost"].count:
            continue  # the loss set those numbers free: one weakness, told once
        evidence = f"{check.count:,} {_WORDS[name]}"
        evidence += f"; {'; '.join(check.notes)}" if check.notes else ""
        evidence += f"; for example {', '.join(check.op_ids[:3])}" if check.op_ids else ""
        component = ACKNOWLEDGER
        if check.kind == ASYNCHRONOUS:  # what the design gives up; how bad that is, an objective says
            component = REPLICATOR
            severity = "high" if any(o.kind == "rpo" and o.result == "failed" for o in objectives) else "medium"
        yield _finding(facts, check.kind or name, component, severity, evidence)


def _diverged(facts: Facts) -> Iterator[Finding]:
    at = (facts.audit or {}).get("diverged_at")
    if at is not None:
        evidence = f"two engines hold different records from sequence {at} on"
        yield _finding(facts, "replicas-diverged", ACKNOWLEDGER, "critical", evidence)


def _slow(facts: Facts, objectives: Sequence[ObjectiveResult]) -> Iterator[Finding]:
    late = [o for o in objectives if o.kind == "rto" and o.result == "failed"]
    if late:
        evidence = "; ".join(f"{o.name}: {o.shown}, limit {o.limit_shown}" for o in late)
        yield _finding(facts, "slow-recovery", drilled(facts), "high", evidence)


def _unnoticed(facts: Facts) -> Iterator[Finding]:
    wanted = any(phase.kind == "detect" for phase in facts.plan.phases)
    if wanted and facts.window and facts.marks.get("T1") is None and facts.line.stop is None:
        evidence = "neither an alert nor the drill's own probe saw the fault"
        yield _finding(facts, "fault-not-noticed", "monitoring", "medium", evidence)


def _single(facts: Facts) -> Iterator[Finding]:
    wanted = any(phase.restore is not None and phase.restore.until == "redundancy" for phase in facts.plan.phases)
    reason = facts.marks.reasons.get("T7", "")
    if wanted and facts.line.stop is None and reason.startswith("redundancy was still"):
        yield _finding(facts, "redundancy-not-restored", drilled(facts), "high", reason)
