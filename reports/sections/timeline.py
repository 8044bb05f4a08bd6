"""What clients saw: throughput, good ratio and latency of the whole run, and the outage close up, with their tables."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from drills.history import History
from drills.words import percent_text
from reports.data import ReportData
from reports.figures import Frame, Label, grouped, timeline, to_svg
from reports.series import Buckets, buckets, width_for

NAMES = {
    "T1": "T1 detected",
    "T2": "T2 T3 new lease",
    "T4": "T4 first good",
    "T5": "T5 sustained good",
    "T7": "T7 redundancy back",
}
TABLE_ROWS = 120


def context(data: ReportData) -> dict[str, Any]:
    """Two figures with their tables; none without a witness."""
    history = data.history
    if history is None or not len(history) or history.end_ns is None:
        return {"figures": [], "why": "There is no readable witness, so there is nothing to draw: no data."}
    start, end = int(history.intended[0]), history.end_ns + 1
    figures = [_figure(data, history, (start, end), "whole", "The whole run", most=450)]
    close = _close_up(data, start, end)
    if close is not None:
        figures.append(_figure(data, history, close, "close", "The outage, close up", most=200))
    return {"figures": figures, "why": ""}


def _close_up(data: ReportData, start: int, end: int) -> tuple[int, int] | None:
    """From one second before the fault to a while after service was back; None where that is most of the run anyway."""
    t0 = data.verdict.run.t0_ns
    t5 = data.verdict.rto.value_s
    if t0 is None or t5 is None:
        return None
    after = max(1.0, 0.6 * t5)
    span = (max(start, t0 - 1_000_000_000), min(end, t0 + round((t5 + after) * 1e9)))
    return span if span[1] - span[0] < 0.6 * (end - start) else None


def labels_of(data: ReportData) -> list[Label]:
    """The marks that were reached, with their seconds from T0."""
    marks = data.verdict.marks
    found = [Label(0.0, "T0 fault")] if marks.get("T0_low") is not None else []
    for name, words in NAMES.items():
        at = marks.get(name)
        if at is not None:
            found.append(Label(at, f"{words} {at:.2f} s"))
    return found


def band_of(data: ReportData) -> tuple[float, float] | None:
    """From T0 until the last of its faults was undone (or the end of the run), in seconds."""
    if data.verdict.run.t0_ns is None:
        return None
    undone = [data.seconds(record.undone_ns) for record in data.line.faults.values() if record.undone_ns is not None]
    known = [value for value in undone if value is not None]
    return 0.0, max(known) if known else 1e9


def _figure(
    data: ReportData, history: History, span: tuple[int, int], name: str, title: str, *, most: int
) -> dict[str, Any]:
    assert data.is_good is not None
    width = width_for((span[1] - span[0]) / 1e9, most)
    series = buckets(history, data.is_good, span[0], span[1], data.origin_ns, width)
    domain = ((span[0] - data.origin_ns) / 1e9, (span[1] - data.origin_ns) / 1e9)
    faulted = data.verdict.run.t0_ns is not None
    frame = Frame(
        domain=domain,
        labels=grouped(
            [label for label in labels_of(data) if domain[0] <= label.at <= domain[1]], domain[1] - domain[0]
        ),
        band=band_of(data),
        title="seconds from the fault (T0)" if faulted else "seconds from the start of the load",
    )
    limits = [(kind, float(limit)) for kind, limit in data.plan.limits_ms.items() if kind in history.kinds]
    limits = [
        (f"{', '.join(k for k, v in limits if v == limit)}", limit) for limit in dict.fromkeys(v for _, v in limits)
    ]
    svg = to_svg(timeline(series, frame, limits, data.plan.theta), name, f"{title}: throughput, good ratio, latency")
    extremes = ", shaded from the lowest to the highest 0.1 s inside" if width > 0.1 else ""
    caption = f"{title}, in buckets of {width:g} s{extremes}. Grey ground: the fault is in effect. "
    caption += "Operations stand at their intended time, answers in the first panel at the time they came; "
    caption += "the good ratio is that of all flows; a dot is the slowest answer of its bucket."
    return {"svg": Markup(svg), "caption": caption, "title": title, "rows": _table(series)}


def _table(series: Buckets) -> list[dict[str, str]]:
    """The buckets of a figure as rows; where there are more than TABLE_ROWS, the worst of each group of them."""
    group = max(1, -(-len(series.start_s) // TABLE_ROWS))
    return [_row(series, slice(at, at + group)) for at in range(0, len(series.start_s), group)]


def _row(series: Buckets, rows: slice) -> dict[str, str]:
    def worst(values: Any, pick: Any, digits: int = 1) -> str:  # noqa: ANN401 - numpy arrays and reductions
        known = values[rows][~np.isnan(values[rows])]
        return f"{float(pick(known)):,.{digits}f}" if len(known) else "no data"

    known = series.good_low[rows][~np.isnan(series.good_low[rows])]
    return {
        "t": f"{float(series.start_s[rows][0]):.2f}",
        "offered": f"{float(series.offered[rows].mean()):,.0f}",
        "answered": f"{float(series.answered[rows].mean()):,.0f}",
        "good": percent_text(float(known.min())) if len(known) else "no data",
        "p50": worst(series.p50_ms, np.max),
        "p99": worst(series.p99_ms, np.max),
        "max": worst(series.max_ms, np.max),
        "unanswered": f"{int(series.unanswered[rows].sum()):,}",
    }
