"""Where the time went: detect, decide, act, recover as one bar; every mark in a table; each flow on its own line."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from drills.marks import MEANING
from reports.data import ReportData
from reports.figures import to_svg, where_time_went

STEPS = (("detect", "T0 → T1"), ("decide", "T1 → T2"), ("act", "T2 → T3"), ("recover", "T3 → T5"))


def context(data: ReportData) -> dict[str, Any]:
    """The bar (where the outage ended), the marks, and the flows; nothing where no fault was injected."""
    verdict = data.verdict
    if verdict.run.t0_ns is None:
        return {}
    durations = verdict.durations
    known = [(name, durations.get(f"{name}_s")) for name, _ in STEPS]
    parts = [(name, value) for name, value in known if value is not None]
    whole = verdict.rto.value_s is not None and parts and parts[-1][0] == "recover"
    svg = to_svg(where_time_went(parts), "bar", "where the time of the outage went") if whole else ""
    return {
        "svg": Markup(svg),
        "steps": [{"name": name, "span": span, "value": durations.get(f"{name}_s")} for name, span in STEPS],
        "mttr": durations.get("mttr_s"),
        "marks": [_mark(data, name) for name in MEANING],
        "flows": verdict.rto.flows,
        "critical": verdict.rto.critical_flows,
        "rto": verdict.rto,
        "absent": verdict.absent,
    }


def _mark(data: ReportData, name: str) -> dict[str, Any]:
    verdict = data.verdict
    value = verdict.marks.get(name)
    wall = ""
    if value is not None and verdict.run.t0_wall is not None:
        moment = datetime.fromisoformat(verdict.run.t0_wall) + timedelta(seconds=value)
        wall = moment.strftime("%H:%M:%S.%f")[:-3]
    return {
        "name": name.replace("_low", "−").replace("_high", "+"),
        "meaning": MEANING[name],
        "value": value,
        "wall": wall,
        "note": verdict.mark_sources.get(name) or verdict.absent.get(f"marks.{name}", ""),
    }
