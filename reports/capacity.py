"""The figure of a capacity search: latency, good share, and what each component used, over the offered rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reports.figures import ACCENT, BAD, BAND, GREY, INK, WIDTH, Chart, Spec, _configured, alt, to_svg

Data = dict[str, Any]
"""The content of capacity.json."""

_SHADES = (ACCENT, BAD, "#3f7d4e", "#8a6d1c", "#6b4f9a")
_COMPONENTS = len(_SHADES)
_SHAPES = {"held": "circle", "broke": "cross", "generator": "triangle-up"}
_WORDS = {"held": "● held", "broke": "✚ broke", "generator": "▲ the generator gave out"}
_MARGIN = 1.06


@dataclass(frozen=True)
class _Plane:
    """What the panels share: the steps by rate, the axis of rates, and whether this panel prints its figures."""

    data: Data
    steps: Sequence[Data]
    domain: tuple[float, float]
    last: bool = False

    def x(self, name: str = "x") -> Chart:
        """The channel of rates."""
        axis = alt.Axis(labels=self.last, ticks=self.last, grid=False, domainColor=GREY, tickCount=10, format=",.0f")
        scale = alt.Scale(type="log", domain=list(self.domain), nice=False)
        title = "offered operations / s (log)" if self.last else None
        return alt.X(f"{name}:Q", scale=scale, title=title, axis=axis)


def svg(data: Data) -> str:
    """The figure of a finished search as SVG text."""
    name = f"{data['trace']['name']} on {data['environment']}"
    return to_svg(figure(data), "capacity", f"Latency, good share and use of {name} over the offered rate")


def figure(data: Data) -> Spec:
    """The figure as a specification; there must be at least one step."""
    steps = sorted(data["steps"], key=lambda step: step["offered"])
    rates = [step["offered"] for step in steps]
    plane = _Plane(data, steps, (rates[0] / _MARGIN, rates[-1] * _MARGIN))
    used = _names(data)
    panels = [_latency(plane), _good(replace(plane, last=not used))]
    if used:
        panels.append(_usage(replace(plane, last=True), used))
    spec: Spec = _configured(alt.vconcat(*panels, spacing=12))
    return spec


def _names(data: Data) -> list[str]:
    """The components that used most, the greediest first."""
    most: dict[str, float] = {}
    for step in data["steps"]:
        for name, part in step["usage"]["components"].items():
            most[name] = max(most.get(name, 0.0), part["cores"])
    return sorted(most, key=lambda name: -most[name])[:_COMPONENTS]


def _rows(rows: Iterable[Data]) -> Chart:
    return alt.Chart(alt.Data(values=list(rows)))


def _knee(plane: _Plane) -> list[Chart]:
    """The interval as a band, the knee as a rule."""
    knee = plane.data["knee"]
    if knee is None:
        return []
    low, high = max(knee["low"], plane.domain[0]), min(knee["high"], plane.domain[1])
    band = _rows([{"x": low, "x2": high}]).mark_rect(color=BAND).encode(x=plane.x(), x2="x2:Q")
    rule = _rows([{"x": knee["rate"]}]).mark_rule(color=INK, strokeWidth=0.9, strokeDash=[2, 2])
    return [band, rule.encode(x=plane.x())]


def _text(plane: _Plane, y: Chart, at: tuple[float, float], words: str, color: str, **place: Any) -> Chart:  # noqa: ANN401 - properties of a mark
    mark = {"align": "left", "dx": 4, "baseline": "middle", "fontSize": 11} | place
    row = {"x": at[0], "y": at[1], "words": words}
    return _rows([row]).mark_text(color=color, **mark).encode(x=plane.x(), y=y, text="words:N")


def _limit(plane: _Plane, y: Chart, value: float, words: str, **place: Any) -> list[Chart]:  # noqa: ANN401 - properties of a mark
    rule = _rows([{"y": value}]).mark_rule(color=GREY, strokeWidth=0.8, strokeDash=[4, 3]).encode(y=y)
    return [rule, _text(plane, y, (plane.domain[0], value), words, GREY, **{"dy": -7} | place)]


def _points(plane: _Plane, y: Chart, values: Sequence[float | None], color: str) -> list[Chart]:
    """A mark a step, its shape by the outcome."""
    layers = []
    for outcome, shape in _SHAPES.items():
        rows = [
            {"x": step["offered"], "y": value}
            for step, value in zip(plane.steps, values, strict=True)
            if value is not None and step["outcome"] == outcome
        ]
        if rows:
            marks = _rows(rows).mark_point(shape=shape, color=color, filled=True, size=42, opacity=0.9)
            layers.append(marks.encode(x=plane.x(), y=y))
    return layers


def _latency(plane: _Plane) -> Chart:
    names = dict.fromkeys(["p50", *plane.data["slo"]["latency_ms"], "p99"])
    columns = {name: [step["quantiles_ms"].get(name) for step in plane.steps] for name in names}
    known = [value for column in columns.values() for value in column if value is not None] or [1.0]
    limits = plane.data["slo"]["latency_ms"]
    top = max(*known, *(2 * limit for limit in limits.values()), 1.0) * 2.2
    low = max(0.02, min(known) / 1.6)
    ticks = [n * 10.0**power for power in range(-2, 6) for n in (1, 2, 5) if low <= n * 10.0**power <= top]
    y = alt.Y("y:Q", scale=alt.Scale(type="log", domain=[low, top], nice=False), title="answer after, ms (log)",
              axis=alt.Axis(values=ticks, format=",~g"))  # fmt: skip
    layers = _knee(plane)
    for name, limit in limits.items():
        layers += _limit(plane, y, limit, f"objective {name} {limit:g} ms", dy=9)
    # an operation of that percentile was never answered: at the upper edge, not left out
    for name, column in columns.items():
        color = GREY if name == "p50" else ACCENT
        layers += _points(plane, y, [top / 1.25 if value is None else value for value in column], color)
    layers += _words(plane, y, (low, top), columns)
    return alt.layer(*layers).properties(width=WIDTH, height=210)


def _words(plane: _Plane, y: Chart, ends: tuple[float, float], columns: dict[str, list[float | None]]) -> list[Chart]:
    """What the marks mean, and the knee in figures."""
    seen = {step["outcome"] for step in plane.steps}
    start, place = plane.domain[0], {"fontWeight": 600, "baseline": "top"}
    dx = 4.0
    layers = []
    shown = [(name, GREY if name == "p50" else ACCENT) for name in columns]
    shown += [(words, INK) for outcome, words in _WORDS.items() if outcome in seen]
    if any(value is None for column in columns.values() for value in column):
        shown.append(("(upper edge: never answered)", GREY))
    for words, color in shown:
        layers.append(_text(plane, y, (start, ends[1]), words, color, dx=dx, dy=2, **place))
        dx += len(words) * 6.4 + 14
    knee = plane.data["knee"]
    if knee is not None:
        words = f"knee {knee['rate']:,.0f} op/s ({knee['low']:,.0f} to {knee['high']:,.0f})"
        right = _share(plane, knee["rate"]) < 0.6
        side = {"align": "left", "dx": 6} if right else {"align": "right", "dx": -6}
        layers.append(_text(plane, y, (knee["rate"], ends[0]), words, INK, **{"fontWeight": 600, "dy": -9} | side))
    return layers


def _share(plane: _Plane, rate: float) -> float:
    """Where a rate stands on the axis, 0 to 1."""
    low, high = (math.log(one) for one in plane.domain)
    return (math.log(rate) - low) / (high - low)


def _good(plane: _Plane) -> Chart:
    values = [step["good"] for step in plane.steps]
    objective = plane.data["slo"]["good"]
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, 1.12], nice=False), title="good",
              axis=alt.Axis(values=[0, 0.5, 1], format=".0%"))  # fmt: skip
    layers = [*_knee(plane)]
    if objective is not None:
        layers += _limit(plane, y, objective, f"objective good {objective * 100:g} %", dy=10)
    return alt.layer(*layers, *_points(plane, y, values, ACCENT)).properties(width=WIDTH, height=80)


def _usage(plane: _Plane, names: Sequence[str]) -> Chart:
    """Cores of the greediest components, with what the utilisation law says of each."""
    measured = [step["usage"] for step in plane.steps]
    top = max(1.0, *(part["cores"] for one in measured for part in one["components"].values())) * 1.15
    y = alt.Y("y:Q", scale=alt.Scale(domain=[0, top], nice=False), title="cores used",
              axis=alt.Axis(tickCount=4, format=".2~f"))  # fmt: skip
    layers = [*_knee(plane), *_limit(plane, y, 1.0, "one core")]
    laws = {one["name"]: one for one in plane.data["components"]}
    for n, name in enumerate(names):
        color = _SHADES[n]
        values = [one["components"].get(name, {}).get("cores") for one in measured]
        layers += _points(plane, y, values, color)
        law = laws.get(name)
        words = f"● {name}"
        if law is not None:
            words += f" {law['cpu_ms']:.3f} ms/op"
            layers.append(_law(plane, y, law, top, color))
        place = {"dy": 18 + 15 * n, "fontWeight": 600}
        layers.append(_text(plane, y, (plane.domain[0], 1.0), words, color, **place))
    return alt.layer(*layers).properties(width=WIDTH, height=170)


def _law(plane: _Plane, y: Chart, law: Data, top: float, color: str) -> Chart:
    """U = idle + X·D as a line, up to the frame."""
    low, high = plane.domain
    rates = [low * (high / low) ** (n / 40) for n in range(41)]
    rows = [{"x": rate, "y": law["idle"] + rate * law["cpu_ms"] / 1e3} for rate in rates]
    line = _rows(row for row in rows if row["y"] <= top).mark_line(color=color, strokeWidth=1.1, opacity=0.8)
    return line.encode(x=plane.x(), y=y)
