"""Each objective against what was measured: passed, failed, inconclusive, or aborted before it could be measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from drills.conclusive import Gate
from drills.facts import Facts
from drills.history import NEVER
from drills.model import (
    InvariantObjective,
    MttdObjective,
    MttrObjective,
    Objective,
    RpoObjective,
    RtoObjective,
    SloObjective,
)
from drills.rto import Recovery, downtime
from drills.verdict import ObjectiveResult, Word
from drills.words import duration_text, percent_text, seconds_text

MONTH_S = 30 * 86_400
"""The period of an error budget."""
_SHORT = {"duplicated": "dup", "executed_reject": "executed rejects", "lost_observed": "lost as observed"}


def judge_objectives(facts: Facts, gates: Sequence[Gate]) -> list[ObjectiveResult]:
    """The result of every objective, in the order of the plan."""
    return [_judge(facts, objective, gates) for objective in facts.plan.objectives]


def _judge(facts: Facts, objective: Objective, gates: Sequence[Gate]) -> ObjectiveResult:
    match objective:
        case RtoObjective():
            return _rto(facts, objective, _blocked(gates, timing=True))
        case RpoObjective():
            return _rpo(facts, objective, _blocked(gates, timing=False))
        case InvariantObjective():
            return _invariant(facts, objective, _blocked([g for g in gates if not g.zero], timing=False))
        case SloObjective():
            return _slo(facts, objective, _blocked(gates, timing=True))
        case MttdObjective():
            return _mttd(facts, objective, _blocked(gates, timing=True))
        case MttrObjective():
            return _mttr(facts, objective, _blocked(gates, timing=True))


def _blocked(gates: Sequence[Gate], *, timing: bool) -> str | None:
    """Why no objective of that kind can be proven; None when nothing stands in the way."""
    return next((g.cause.text for g in gates if (g.timing if timing else g.counting)), None)


def _stopped(facts: Facts) -> Word:
    """What an objective is that was not measured: aborted when the run was, else inconclusive."""
    return "aborted" if facts.line.stop is not None else "inconclusive"


def _result(objective: Objective, kind: str, **fields: Any) -> ObjectiveResult:  # noqa: ANN401 - fields of the model
    blank: dict[str, Any] = {"limit": None, "value": None, "error": None, "reason": None}
    return ObjectiveResult(name=objective.id, kind=kind, **(blank | fields))  # type: ignore[arg-type]


def _within(value: float, error: float, limit: float) -> tuple[Word, str | None]:
    if value + error <= limit:
        return "passed", None
    if value - error > limit:
        return "failed", None
    return "inconclusive", "the limit lies within the error of the measurement; replay at a higher rate, or repeat"


def _rto(facts: Facts, objective: RtoObjective, blocked: str | None) -> ObjectiveResult:
    found, t0 = facts.flows.get(objective.flow), facts.window
    value = (found.t5_ns - t0[0]) / 1e9 if found and t0 and found.t5_ns is not None else None
    error = facts.error_s(found)
    result, reason = _rto_word(facts, objective, found, value, error)
    if blocked is not None and result in ("passed", "failed"):
        result, reason = "inconclusive", blocked
    return _result(
        objective, "rto", flow=objective.flow, limit=objective.rto, value=value, error=error, unit="s", result=result,
        shown=seconds_text(value, error), limit_shown=f"≤ {duration_text(objective.rto)}", reason=reason,
    )  # fmt: skip


def _rto_word(
    facts: Facts, objective: RtoObjective, found: Recovery | None, value: float | None, error: float | None
) -> tuple[Word, str | None]:
    if found is None:
        return _stopped(
            facts
        ), "no fault was injected" if facts.window is None else "there is no witness of the traffic"
    if value is not None:
        return _within(value, error or 0.0, objective.rto)
    if _beyond(facts, found, objective.rto):
        return "failed", found.reason
    seen, needed = facts.observed_s or 0.0, objective.rto + facts.rules.sustain_s
    more = f"to say so, observe {needed:.0f} s after the fault instead of {seen:.1f} s (a longer verify phase)"
    return _stopped(facts), f"{found.reason}; {more}"


def _beyond(facts: Facts, found: Recovery, limit: float) -> bool:
    """Whether a recovery that was never reached surely took longer than the limit."""
    seen = facts.observed_s or 0.0
    return seen >= limit + facts.rules.sustain_s or (found.t4_ns is None and found.gap_s is None and seen > limit)


def _rpo(facts: Facts, objective: RpoObjective, blocked: str | None) -> ObjectiveResult:
    limits = objective.rpo.limits
    counts = {name: facts.rpo.counts.get(name) if facts.rpo else None for name in limits}
    known = {name: count for name, count in counts.items() if count is not None}
    over = [name for name, count in known.items() if count > limits[name]]
    missing = [name for name in limits if name not in known]
    reasons = facts.rpo.reasons if facts.rpo else {}
    result: Word
    if over:
        result, reason = "failed", None
    elif missing:
        why = blocked or reasons.get(missing[0], "not counted")
        result, reason = _stopped(facts) if facts.window is None else "inconclusive", f"{missing[0]}: {why}"
    elif blocked is not None:
        result, reason = "inconclusive", blocked
    else:
        result, reason = "passed", None
    shown = ", ".join(f"{known[name]:,} {_SHORT.get(name, name)}" for name in limits if name in known) or "not counted"
    allowed = sorted(set(limits.values()))
    limit_shown = (
        f"{allowed[0]}" if len(allowed) == 1 else ", ".join(f"{v} {_SHORT.get(k, k)}" for k, v in limits.items())
    )
    return _result(
        objective, "rpo", limit=float(sum(limits.values())), value=None if missing else float(sum(known.values())),
        unit="operations", result=result, shown=shown, limit_shown=limit_shown, reason=reason,
    )  # fmt: skip


def _invariant(facts: Facts, objective: InvariantObjective, blocked: str | None) -> ObjectiveResult:
    check = facts.checks.get(objective.invariant.replace("-", "_"))
    count = check.count if check else None
    result: Word
    if count:
        result, reason = "failed", "; ".join(check.notes) if check else None
    elif count is None or blocked is not None:
        why = check.error if check and check.error else "no checker ran for it"
        result, reason = "inconclusive", blocked or why
    else:
        result, reason = "passed", None
    shown = "not checked" if count is None else "held" if count == 0 else f"broken {count:,} times"
    return _result(
        objective, "invariant", limit=0.0, value=None if count is None else float(count), unit="violations",
        result=result, shown=shown, limit_shown="holds", reason=reason,
    )  # fmt: skip


def _slo(facts: Facts, objective: SloObjective, blocked: str | None) -> ObjectiveResult:
    flow = objective.slo.removeprefix("order-").removesuffix("-p99")
    if facts.history is None or facts.is_good is None or facts.window is None or not facts.history.of(flow).any():
        why = blocked or f"there is no operation of {flow} after a fault"
        return _result(objective, "slo", flow=flow, unit="", result=_stopped(facts), shown="no data",
                       limit_shown="", reason=why)  # fmt: skip
    if objective.spend is not None:
        fields = _slo_spend(facts, flow, objective.spend)
    elif objective.slo.endswith("-p99"):
        fields = _slo_p99(facts, flow)
    else:
        fields = _slo_share(facts, flow)
    if blocked is not None:
        fields |= {"result": "inconclusive", "reason": blocked}
    return _result(objective, "slo", flow=flow, **fields)


def _slo_share(facts: Facts, flow: str) -> dict[str, Any]:
    """The good share of the flow from T0 to the end of the schedule against θ."""
    assert facts.history is not None
    assert facts.is_good is not None
    assert facts.window is not None
    rows = facts.history.of(flow) & (facts.history.intended >= facts.window[0])
    share, theta = float(facts.is_good[rows].mean()) if rows.any() else 0.0, facts.rules.theta
    return {
        "limit": theta, "value": share, "unit": "share", "result": "passed" if share >= theta else "failed",
        "shown": f"{percent_text(share)} good", "limit_shown": f"≥ {percent_text(theta, 1)}",
    }  # fmt: skip


def _slo_p99(facts: Facts, flow: str) -> dict[str, Any]:
    """p99 from the intended time, unanswered operations counting as never, against the limit of the flow."""
    assert facts.history is not None
    assert facts.window is not None
    rows = facts.history.of(flow) & (facts.history.intended >= facts.window[0])
    answered = facts.history.answered[rows]
    late = np.sort(np.where(answered == NEVER, np.inf, (answered - facts.history.intended[rows]) / 1e6))
    p99 = float(late[min(len(late) - 1, int(np.ceil(0.99 * len(late))) - 1)]) if len(late) else float("inf")
    limit = facts.rules.limit_ns(flow) / 1e6
    return {
        "limit": limit, "value": None if np.isinf(p99) else p99, "unit": "ms",
        "result": "passed" if p99 <= limit else "failed", "shown": "never" if np.isinf(p99) else f"p99 {p99:.1f} ms",
        "limit_shown": f"≤ {limit:g} ms",
    }  # fmt: skip


def _slo_spend(facts: Facts, flow: str, spend: float) -> dict[str, Any]:
    """The weighted downtime of the flow as a share of a month's error budget, (1 - θ) x 30 days."""
    assert facts.history is not None
    assert facts.is_good is not None
    assert facts.window is not None
    down = downtime(facts.history, flow, facts.is_good, facts.window[0])
    share = (down.seconds if down else 0.0) / (MONTH_S * (1 - facts.rules.theta))
    return {
        "limit": spend, "value": share, "unit": "share", "result": "passed" if share <= spend else "failed",
        "shown": f"{percent_text(share)} of the budget", "limit_shown": f"≤ {percent_text(spend, 0)}",
    }  # fmt: skip


def _mttd(facts: Facts, objective: MttdObjective, blocked: str | None) -> ObjectiveResult:
    value = facts.marks.get("T1")
    result: Word
    reason: str | None
    if objective.alert is not None and not facts.marks.T1_is_alert:
        result, reason, value = (
            _stopped(facts),
            "no source of alerts took part: a drill's own probe is not an alert",
            None,
        )
    elif value is None:
        result = "failed" if (facts.observed_s or 0.0) > objective.mttd else _stopped(facts)
        reason = facts.marks.reasons.get("T1")
    else:
        result, reason = _within(value, facts.fault_window_s or 0.0, objective.mttd)
    if blocked is not None and result in ("passed", "failed"):
        result, reason = "inconclusive", blocked
    return _result(
        objective, "mttd", limit=objective.mttd, value=value, error=facts.fault_window_s, unit="s", result=result,
        shown=seconds_text(value), limit_shown=f"≤ {duration_text(objective.mttd)}", reason=reason,
    )  # fmt: skip


def _mttr(facts: Facts, objective: MttrObjective, blocked: str | None) -> ObjectiveResult:
    t1, t5 = facts.marks.get("T1"), facts.marks.get("T5")
    value = max(0.0, t5 - t1) if t1 is not None and t5 is not None else None
    result: Word
    reason: str | None
    if value is None:
        over = t1 is not None and (facts.observed_s or 0.0) - t1 >= objective.mttr + facts.rules.sustain_s
        result = "failed" if over else _stopped(facts)
        reason = facts.marks.reasons.get("T1") or facts.marks.reasons.get("T5")
    else:
        result, reason = _within(value, facts.error_s(facts.overall) or 0.0, objective.mttr)
    if blocked is not None and result in ("passed", "failed"):
        result, reason = "inconclusive", blocked
    return _result(
        objective, "mttr", limit=objective.mttr, value=value, unit="s", result=result, shown=seconds_text(value),
        limit_shown=f"≤ {duration_text(objective.mttr)}", reason=reason,
    )  # fmt: skip
