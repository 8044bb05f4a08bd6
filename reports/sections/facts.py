"""The run: what ran where, on which traffic, with which versions; and how to recompute all of it."""

from __future__ import annotations

from typing import Any

from drills.words import percent_text
from reports.data import ReportData


def context(data: ReportData) -> dict[str, Any]:
    """Pairs of name and value."""
    plan, verdict = data.plan, data.verdict
    trace = plan.trace
    facts = [
        ("Run", verdict.run.id),
        ("Drill" if plan.kind == "drill" else "Experiment", f"{plan.name}, {plan.definition_path}"),
        ("Hypothesis", plan.hypothesis),
        ("Owner", plan.owner or "–"),
        ("Environment", f"{plan.environment.name} ({plan.environment.kind})"),
        ("Started", f"{verdict.run.started or '–'} (wall clock, UTC)"),
        ("Fault (T0)", f"{verdict.run.t0_wall or '–'} (wall clock, UTC); times are measured by CLOCK_MONOTONIC"),
        ("Plan", verdict.run.plan_hash),
    ]
    if trace is not None:
        facts.append(
            ("Traffic", f"{trace.name}, {trace.rows:,} operations in {trace.seconds:g} s, sha256 {trace.sha256}")
        )
    else:
        facts.append(("Traffic", plan.load.trace))
    facts.append(
        ("Replay", f"speed ×{plan.load.speed:g}, amplified ×{plan.load.amplify}, in an outage: {plan.load.outage}")
    )
    facts += _load(data)
    facts.append(
        (
            "Rule of recovery",
            f"{percent_text(verdict.rto.theta, 1)} good over {verdict.rto.sustain_s:g} s, per critical flow "
            f"({', '.join(verdict.rto.critical_flows) or 'every flow'}); limits "
            + ", ".join(f"{kind} {limit} ms" for kind, limit in plan.limits_ms.items()),
        )
    )
    facts.append(("Versions", ", ".join(f"{name} {version}" for name, version in sorted(verdict.versions.items()))))
    facts.append(("Recompute", f"muster judge {data.run.path}"))
    return {"facts": facts, "absent": sorted(verdict.absent.items())}


def _load(data: ReportData) -> list[tuple[str, str]]:
    load, facts = data.verdict.load, []
    if load.scheduled is not None:
        rate = f", {load.rate:,.0f} / s" if load.rate is not None else ""
        offered = percent_text((load.offered or 0) / load.scheduled) if load.scheduled else "–"
        text = f"{load.scheduled:,} scheduled{rate}; {load.offered or 0:,} sent ({offered})"
        facts.append(("Load", f"{text}; {load.answered or 0:,} answered"))
    lag = f"lag p99 {load.lag_p99_ms:.1f} ms" if load.lag_p99_ms is not None else "lag not known"
    state = "not known" if load.valid is None else "valid" if load.valid else "invalid"
    return [*facts, ("Generator", f"{state}, {lag}" + (f"; {load.reason}" if load.reason else ""))]
