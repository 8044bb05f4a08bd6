"""Figures as Vega-Lite specifications, rendered to SVG without a browser and without a network."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import altair
import numpy as np
import vl_convert

from reports.series import F64, FINE_NS, Buckets, gaps

alt: Any = altair  # its types ask for more literals than a figure has words
Chart = Any
Spec = dict[str, Any]
"""A Vega-Lite specification."""

INK, GREY, ACCENT, PALE, BAND, BAD = "#1b1f24", "#79818a", "#1f5fa8", "#dfe3e8", "#f2f3f5", "#b3261e"
WIDTH = 860
FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', 'DejaVu Sans', sans-serif"
_CHARACTER = 5.9  # average width of a character at 11 px, to lay labels out
_ROW = 15
SERIES = "series"


@dataclass(frozen=True)
class Label:
    """A mark on a time plot: seconds from the origin, and its words."""

    at: float
    text: str


@dataclass(frozen=True)
class Frame:
    """What every panel of a figure shares: its time axis, the fault band, the marks."""

    domain: tuple[float, float]
    labels: Sequence[Label] = ()
    band: tuple[float, float] | None = None
    title: str = "seconds from the fault"
    last: bool = False  # only the last panel prints the figures of its axis
    bare: bool = False  # no axis at all

    def x(self, name: str = "t") -> Chart:
        """The time channel."""
        axis = alt.Axis(labels=self.last, ticks=self.last, grid=False, domainColor=GREY, tickCount=14, format="~g")
        scale = alt.Scale(domain=list(self.domain), nice=False)
        title = self.title if self.last else None
        return alt.X(f"{name}:Q", scale=scale, title=title, axis=None if self.bare else axis)


def to_svg(spec: Spec, prefix: str, label: str) -> str:
    """SVG text to embed in a page; ids get a prefix, so that several figures on one page do not meet."""
    svg = str(vl_convert.vegalite_to_svg(spec))
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label, quote=True)}" ', 1)


def to_png(spec: Spec, scale: float = 2.0) -> bytes:
    """The same figure as PNG."""
    return bytes(vl_convert.vegalite_to_png(spec, scale=scale))


def timeline(series: Buckets, frame: Frame, limits_ms: Sequence[tuple[str, float]], theta: float) -> Spec:
    """Throughput, good ratio and latency over one time axis, with the fault band and the marks on each."""
    panels = [
        _label_strip(replace(frame, bare=True)),
        _throughput(series, frame),
        _good(series, frame, theta),
        _latency(series, replace(frame, last=True), limits_ms),
    ]
    spec = _configured(alt.vconcat(*[panel for panel in panels if panel is not None], spacing=9))
    return spec | {"datasets": {**spec.get("datasets", {}), SERIES: _rows(series)}}


def where_time_went(parts: Sequence[tuple[str, float]]) -> Spec:
    """One bar of the outage: each step by its seconds, labelled where it fits."""
    total = sum(seconds for _, seconds in parts) or 1.0
    shades = [GREY, "#b9bec5", PALE, ACCENT]
    rows: list[dict[str, Any]] = []
    start = 0.0
    for n, (name, seconds) in enumerate(parts):
        shown = f"{name} {seconds:.2f} s" if seconds / total * WIDTH > 8 * (len(name) + 7) else ""
        ink = "white" if n % 4 in (0, 3) else INK
        row = {"a": start, "b": start + seconds, "middle": start + seconds / 2}
        rows.append(row | {"words": shown, "color": shades[n % 4], "ink": ink})
        start += seconds
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("a:Q", scale=alt.Scale(domain=[0, total], nice=False), title="seconds from the fault",
                axis=alt.Axis(grid=False, tickCount=10, domainColor=GREY, format="~g"))
    )  # fmt: skip
    bars = base.mark_bar(height=26, stroke="white").encode(x2="b:Q", color=alt.Color("color:N", scale=None))
    words = base.mark_text(fontSize=11).encode(x="middle:Q", text="words:N", color=alt.Color("ink:N", scale=None))
    return _configured(alt.layer(bars, words).properties(width=WIDTH, height=32))


def grouped(labels: Sequence[Label], span: float, near: float = 0.012) -> list[Label]:
    """Labels that stand closer than `near` of the span become one: `T2 T4 T5 1.03 s`.

    The names are the first words of the texts.
    """
    groups: list[list[Label]] = []
    for label in sorted(labels, key=lambda label: label.at):
        if groups and label.at - groups[-1][0].at < near * span:
            groups[-1].append(label)
        else:
            groups.append([label])
    return [group[0] if len(group) == 1 else _joined(group) for group in groups]


def _joined(group: Sequence[Label]) -> Label:
    names = " ".join(dict.fromkeys(label.text.split()[0] for label in group))
    first, last = f"{group[0].at:.2f}", f"{group[-1].at:.2f}"
    return Label(group[0].at, f"{names}  {first} s" if first == last else f"{names}  {first}–{last} s")


def _configured(chart: Chart) -> Spec:
    styled = (
        chart.configure(font=FONT, background="white", padding=4)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK, titleColor=GREY, titleFontWeight="normal", titleFontSize=11, labelFontSize=11,
            gridColor="#eceef1", tickColor=GREY, domain=True, domainColor=PALE,
        )
        .configure_axisY(minExtent=58, maxExtent=58, domain=False, ticks=False, titleAnchor="middle")
    )  # fmt: skip
    spec: Spec = styled.to_dict(validate=False)
    return spec


def _data(rows: list[dict[str, Any]]) -> Chart:
    return alt.Data(values=rows)


def _background(frame: Frame) -> list[Chart]:
    """The fault band and the rules of the marks."""
    layers: list[Chart] = []
    if frame.band is not None:
        start, end = max(frame.band[0], frame.domain[0]), min(frame.band[1], frame.domain[1])
        if end > start:
            band = alt.Chart(_data([{"t": start, "t2": end}])).mark_rect(color=BAND)
            layers.append(band.encode(x=frame.x(), x2="t2:Q"))
    if frame.labels:
        marks = alt.Chart(_data([{"t": label.at} for label in frame.labels]))
        layers.append(marks.mark_rule(color=INK, strokeWidth=0.7, strokeDash=[2, 2]).encode(x=frame.x()))
    return layers


def _rows(series: Buckets) -> list[dict[str, Any]]:
    """The rows that all lines share, at the middle of each bucket; NaN becomes null, which breaks a line."""
    columns = {
        "t": series.start_s + series.width_s / 2,
        "offered": series.offered,
        "answered": series.answered,
        "answered_low": series.answered_low,
        "answered_high": series.answered_high,
        "good": series.good,
        "good_low": series.good_low,
        "p50": series.p50_ms,
        "p99": series.p99_ms,
        "slowest": series.max_ms,
    }
    lists = [[None if v != v else round(v, 5) for v in column.tolist()] for column in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]


def _words(frame: Frame, y: Chart, at: float, height: float, text: str, color: str, **place: Any) -> Chart:  # noqa: ANN401 - properties of a mark
    """A direct label; one layer each, because its place is a property of the mark."""
    mark = {"align": "left", "dx": 4, "baseline": "middle", "fontSize": 11} | place
    layer = alt.Chart(_data([{"t": at, "y": height, "words": text}])).mark_text(color=color, **mark)
    return layer.encode(x=frame.x(), y=y, text="words:N")


def _named(y: Chart, name: str) -> Chart:
    """The same vertical channel for another column of the series."""
    channel = y.copy()
    channel.shorthand = f"{name}:Q"
    return channel


def _series() -> Chart:
    return alt.Chart(alt.NamedData(SERIES))


def _line(name: str, frame: Frame, y: Chart, color: str, width: float) -> Chart:
    mark = _series().mark_line(color=color, strokeWidth=width, strokeJoin="round")
    return mark.encode(x=frame.x(), y=_named(y, name))


def _spread(series: Buckets, frame: Frame, y: Chart, low: str, high: str) -> list[Chart]:
    """The ground between the lowest and the highest of the fine buckets; nothing where buckets are fine themselves."""
    if round(series.width_s * 1e9) <= FINE_NS:
        return []
    return [_series().mark_area(color=ACCENT, opacity=0.18).encode(x=frame.x(), y=_named(y, low), y2=f"{high}:Q")]


def _alone(values: F64, name: str, frame: Frame, y: Chart, color: str) -> list[Chart]:
    """A dot for every bucket with data between two without: a line would not show it."""
    here = ~np.isnan(values)
    before, after = np.concatenate([[False], here[:-1]]), np.concatenate([here[1:], [False]])
    if not (here & ~before & ~after).any():
        return []
    return [_series().mark_circle(color=color, size=12, opacity=1).encode(x=frame.x(), y=_named(y, name))]


def _no_data(series: Buckets, values: F64, frame: Frame, y: Chart, middle: float) -> list[Chart]:
    """Gaps drawn as gaps, with the words where they fit."""
    layers: list[Chart] = []
    wide = (frame.domain[1] - frame.domain[0]) * 0.05
    for start, end in gaps(values, series.start_s, series.width_s):
        rect = alt.Chart(_data([{"t": start, "t2": end}])).mark_rect(color=PALE, opacity=0.8)
        layers.append(rect.encode(x=frame.x(), x2="t2:Q"))
        if end - start >= wide:
            layers.append(_words(frame, y, (start + end) / 2, middle, "no data", GREY, align="center", dx=0))
    return layers


def _throughput(series: Buckets, frame: Frame) -> Chart:
    top = float(max(np.nanmax(series.offered), np.nanmax(series.answered_high), 1)) * 1.15
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, top], nice=False), title="operations / s",
              axis=alt.Axis(tickCount=4, format=",.0f"))  # fmt: skip
    layers = [*_background(frame), *_spread(series, frame, y, "answered_low", "answered_high")]
    layers += [_line("offered", frame, y, GREY, 1.1), _line("answered", frame, y, ACCENT, 1.3)]
    start = frame.domain[0]
    layers += [
        _words(frame, y, start, top * 0.95, "offered", GREY, fontWeight=600),
        _words(frame, y, start, top * 0.95, "answered", ACCENT, fontWeight=600, dx=54),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=120)


def _good(series: Buckets, frame: Frame, theta: float) -> Chart:
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, 1.08], nice=False), title="good",
              axis=alt.Axis(values=[0, 0.5, 1], format=".0%"))  # fmt: skip
    layers = [*_background(frame), *_no_data(series, series.good, frame, y, 0.5)]
    layers += _spread(series, frame, y, "good_low", "good")
    rule = alt.Chart(_data([{"y": theta}])).mark_rule(color=GREY, strokeWidth=0.7)
    layers += [rule.encode(y=y), _line("good", frame, y, ACCENT, 1.3)]
    layers += _alone(series.good, "good", frame, y, ACCENT)
    text = f"good, of what was scheduled (limit {theta:.1%})"
    # on the side where the line is not down there too
    quarter = series.good[-max(1, len(series.good) // 4) :]
    right = bool(np.nanmin(quarter) > 0.4) if (~np.isnan(quarter)).any() else False
    place = {"align": "right", "dx": -4} if right else {}
    layers.append(_words(frame, y, frame.domain[int(right)], 0.12, text, ACCENT, fontWeight=600, **place))
    return alt.layer(*layers).properties(width=WIDTH, height=80)


def _latency(series: Buckets, frame: Frame, limits_ms: Sequence[tuple[str, float]]) -> Chart:
    known = series.max_ms[~np.isnan(series.max_ms)]
    floor = series.p50_ms[~np.isnan(series.p50_ms)]
    low = max(0.05, float(floor.min()) / 2) if len(floor) else 0.1
    high = max([limit * 2 for _, limit in limits_ms] + ([float(known.max()) * 1.4] if len(known) else [10.0]))
    y = alt.Y("y:Q", scale=alt.Scale(type="log", domain=[low, high], nice=False), title="answer after, ms (log)",
              axis=alt.Axis(values=[0.1, 1, 10, 100, 1000, 10_000], format=",~g"))  # fmt: skip
    layers = [*_background(frame), *_no_data(series, series.p50_ms, frame, y, float(np.sqrt(low * high)))]
    for name, limit in limits_ms:
        rule = alt.Chart(_data([{"y": limit}])).mark_rule(color=GREY, strokeWidth=0.7, strokeDash=[4, 3])
        layers.append(rule.encode(y=y))
        layers.append(
            _words(frame, y, frame.domain[1], limit, f"limit {name} {limit:g} ms", GREY, align="right", dy=-6, dx=-2)
        )
    layers.append(_series().mark_circle(color=INK, size=5, opacity=0.55).encode(x=frame.x(), y=_named(y, "slowest")))
    layers += [_line("p99", frame, y, ACCENT, 1.2), _line("p50", frame, y, GREY, 1.2)]
    layers += _alone(series.p99_ms, "p99", frame, y, ACCENT) + _alone(series.p50_ms, "p50", frame, y, GREY)
    start, place = frame.domain[0], {"fontWeight": 600, "dy": -2}
    layers += [
        _words(frame, y, start, high / 1.3, "p50", GREY, **place),
        _words(frame, y, start, high / 1.3, "p99", ACCENT, **place | {"dx": 32}),
        _words(frame, y, start, high / 1.3, "• slowest", INK, **place | {"dx": 60}),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=150)


def _label_strip(frame: Frame) -> Chart | None:
    """The words of the marks above the panels, in as many rows as they need, each on the rule it belongs to."""
    if not frame.labels:
        return None
    placed = _place(frame)
    count = 1 + max(row for _, row, _ in placed)
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, count], nice=False), axis=None)
    layers: list[Chart] = []
    for label, row, align in placed:
        height = count - row - 0.5
        rule = alt.Chart(_data([{"t": label.at, "y": 0.0, "y2": height}]))
        layers.append(rule.mark_rule(color=INK, strokeWidth=0.7, strokeDash=[2, 2]).encode(x=frame.x(), y=y, y2="y2:Q"))
        side = 3 if align == "left" else -3
        layers.append(_words(frame, y, label.at, height, label.text, INK, align=align, dx=side))
    return alt.layer(*layers).properties(width=WIDTH, height=_ROW * count)


def _place(frame: Frame) -> list[tuple[Label, int, str]]:
    """A row and a side for each label, so that none meets another; the earliest mark gets the lowest row it fits in."""
    span = frame.domain[1] - frame.domain[0]
    ends: list[list[tuple[float, float]]] = []
    placed = []
    for label in sorted(frame.labels, key=lambda label: -label.at):
        x = (label.at - frame.domain[0]) / span * WIDTH
        wide = len(label.text) * _CHARACTER + 8
        align = "left" if x + wide <= WIDTH else "right"
        a, b = (x, x + wide) if align == "left" else (x - wide, x)
        for row in range(len(ends) + 1):
            if row == len(ends):
                ends.append([])
            # a label may not cross the rule of a mark that stands in a higher row either
            if all(b <= low or a >= high for taken in ends[row:] for low, high in taken):
                ends[row].append((a, b))
                placed.append((label, row, align))
                break
    rows = len(ends)
    return [(label, rows - 1 - row, align) for label, row, align in placed]
