"""What a probe is: a name, a unit, and one question whose answer is a value or "no data" with its reason.

A probe never raises and never turns silence into zero: a reading without a value says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from drills import registry


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer at `t_ns` (CLOCK_MONOTONIC, when it was complete); `value` None is "no data" and `error` says why.

    `target` and `text` name who the value is about, where there is somebody.
    """

    t_ns: int
    probe: str
    unit: str
    value: float | None
    target: str | None = None
    text: str | None = None
    error: str | None = None

    def row(self) -> dict[str, Any]:
        """The fields of drills.evidence.SAMPLES."""
        return {
            "t_ns": self.t_ns,
            "probe": self.probe,
            "target": self.target,
            "value": self.value,
            "unit": self.unit,
            "text": self.text,
            "error": self.error,
        }


class Probe(Protocol):
    """Asks one question. `tick_s` is its beat, `timeout_s` when silence counts as no data (seconds)."""

    name: str
    unit: str
    tick_s: float
    timeout_s: float

    def read(self) -> Reading:
        """Ask once. Returns a reading without a value, never raises, where there is no answer."""

    def close(self) -> None:
        """Let go of connections and files; idempotent."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What probes may look at: instances (name, service, http URL) of the environment, and the load's live counts."""

    instances: Sequence[Mapping[str, Any]] = ()
    live: Path | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    def urls(self, service: str) -> dict[str, str]:
        """HTTP base URLs of a service's instances by name."""
        return {
            str(one["name"]): str(one["http"]).rstrip("/")
            for one in self.instances
            if one.get("service") == service and one.get("http")
        }


Factory = Callable[[Scene], Probe]

factories: dict[str, Factory] = {}
"""How each probe is made, by name; importing `probes.known` fills it and drills.registry."""


def probe(name: str, *, unit: str, summary: str, slo: bool = False) -> Callable[[Factory], Factory]:
    """Register a probe's factory under `name`; `slo` says that an SLO objective or guard may name it."""

    def register(factory: Factory) -> Factory:
        registry.register_probe(registry.ProbeInfo(name, unit, summary, slo))
        factories[name] = factory
        return factory

    return register
