"""Service levels: OpenSLO definitions, and the live share of good operations behind each."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from drills.errors import DefinitionError
from drills.plan import LIMITS_MS
from probes.base import Probe, Reading, Scene, probe
from probes.live import NS, LiveTail

FOLDER = Path(__file__).parent / "slos"

WINDOW_NS = NS
"""A live share looks one second back."""

FRESH_NS = NS
"""Counts older than this are no data: the load writes ten lines a second."""


@dataclass(frozen=True, slots=True)
class Slo:
    """One SLO: the flow it counts, its target (0.999) and the days of its window."""

    name: str
    title: str
    flow: str
    target: float
    days: int


def load_slo(path: Path) -> Slo:
    """Read an OpenSLO v1 file. Raises DefinitionError naming the file and what is missing."""
    try:
        raw = yaml.safe_load(path.read_text())
        spec = raw["spec"]
        return Slo(
            name=str(raw["metadata"]["name"]),
            title=str(raw["metadata"].get("displayName") or raw["metadata"]["name"]),
            flow=str(spec["indicator"]["spec"]["ratioMetric"]["good"]["metricSource"]["spec"]["flow"]),
            target=float(spec["objectives"][0]["target"]),
            days=_days(str(spec["timeWindow"][0]["duration"])),
        )
    except OSError as error:
        raise DefinitionError(str(path), f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    except (yaml.YAMLError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise DefinitionError(str(path), f"is no SLO of a flow ({type(error).__name__}: {error})") from error


def _days(text: str) -> int:
    if not text.endswith("d"):
        raise ValueError(f"timeWindow {text!r} is not a number of days such as 30d")
    return int(text[:-1])


def known() -> dict[str, Slo]:
    """Every SLO of probes/slos, by name."""
    return {slo.name: slo for slo in map(load_slo, sorted(FOLDER.glob("*.yaml")))}


def _limits(scene: Scene) -> dict[str, int]:
    limits: dict[str, Any] = scene.fields.get("limits_ms") or LIMITS_MS
    return {flow: int(limit) for flow, limit in limits.items()}


class FlowShare:
    """Value: share of good operations of one flow in the last second; no data while the load is silent."""

    unit = "ratio"
    tick_s = 0.5
    timeout_s = 1.0

    def __init__(self, name: str, flow: str, scene: Scene) -> None:
        self.name, self.flow = name, flow
        self._live = LiveTail(scene.live, _limits(scene), keep_s=5.0) if scene.live else None

    def read(self) -> Reading:
        """Look at the live counts."""
        now = time.monotonic_ns()
        line = self._live.refresh() if self._live else None
        if self._live is None or line is None:
            return Reading(now, self.name, self.unit, None, error="the load has not started")
        if now - line.t_ns > FRESH_NS:
            return Reading(
                now, self.name, self.unit, None, error=f"the load is silent for {(now - line.t_ns) / NS:.1f} s"
            )
        window = self._live.window(self.flow, line.t_ns - WINDOW_NS)
        if window is None or window.share is None:
            return Reading(now, self.name, self.unit, None, error=f"no {self.flow} was due in the last second")
        return Reading(line.t_ns, self.name, self.unit, window.share, target=self.flow)

    def close(self) -> None:
        """Close the file."""
        if self._live:
            self._live.close()


@probe("order-place", unit="ratio", summary="Live share of good places in the last second.", slo=True)
def place(scene: Scene) -> Probe:
    """The share of good places."""
    return FlowShare("order-place", "place", scene)


@probe("order-cancel", unit="ratio", summary="Live share of good cancels in the last second.", slo=True)
def cancel(scene: Scene) -> Probe:
    """The share of good cancels."""
    return FlowShare("order-cancel", "cancel", scene)


@probe(
    "order-place-p99", unit="ms", summary="99th percentile of answers in the last second, from the intended instant."
)
def place_p99(scene: Scene) -> Probe:
    """The live 99th percentile."""
    return AnswerP99(scene)


class AnswerP99:
    """Value: the worst 99th percentile among the last second's lines, in milliseconds; no data without answers."""

    name = "order-place-p99"
    unit = "ms"
    tick_s = 0.5
    timeout_s = 1.0

    def __init__(self, scene: Scene) -> None:
        self._live = LiveTail(scene.live, _limits(scene), keep_s=5.0) if scene.live else None

    def read(self) -> Reading:
        """Look at the live latencies."""
        now = time.monotonic_ns()
        line = self._live.refresh() if self._live else None
        if self._live is None or line is None:
            return Reading(now, self.name, self.unit, None, error="the load has not started")
        values = [one.p99_ms for one in self._live.since(now - WINDOW_NS) if one.p99_ms is not None]
        if not values:
            return Reading(now, self.name, self.unit, None, error="no answer in the last second")
        return Reading(line.t_ns, self.name, self.unit, max(values))

    def close(self) -> None:
        """Close the file."""
        if self._live:
            self._live.close()
