"""What a step must keep to hold: latencies at percentiles, and the share of good operations."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic_core import PydanticCustomError

from drills.errors import UsageError
from drills.units import format_duration, format_percent, parse_duration, parse_percent

DEFAULT = "p99=20ms,good=99.9%"
OFFERED = 0.95
"""Share of what was due that must have been sent: the gate by which verdicts are gated too."""

GATE_SHARE = 0.2
"""The generator is late where its own lag p99 is over this share of the tightest latency limit."""

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)", re.ASCII)
_LIMIT_MS = 250.0  # the tightest limit of an operation, where the objective names no latency


@dataclass(frozen=True, slots=True)
class Slo:
    """Percentile name to limit in ms, such as (("p99", 20.0),), and the share of good operations (None: any)."""

    latency_ms: tuple[tuple[str, float], ...]
    good: float | None

    @property
    def gate_ms(self) -> float:
        """Lag p99 above which the generator was late, in ms."""
        return GATE_SHARE * min((limit for _, limit in self.latency_ms), default=_LIMIT_MS)

    def __str__(self) -> str:
        said = [f"{name}={format_duration(limit / 1e3)}" for name, limit in self.latency_ms]
        return ",".join(said + ([] if self.good is None else [f"good={format_percent(self.good)}"]))


def parse(text: str) -> Slo:
    """An objective as it is typed, `p99=20ms,good=99.9%`; raises UsageError that names what is wrong with it."""
    latency: dict[str, float] = {}
    good: float | None = None
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        try:
            if name == "good":
                good = parse_percent(value)
            elif _PERCENTILE.fullmatch(name) and float(name[1:]) > 0:
                latency[name] = parse_duration(value) * 1e3
                if not latency[name]:
                    raise UsageError(f"--slo: {name}=0 can never be kept")
            else:
                raise UsageError(f"--slo: {part.strip()!r} is neither a percentile nor good; write {DEFAULT}")
        except PydanticCustomError as error:
            raise UsageError(f"--slo: {name}: {error.message()}") from error
    return Slo(tuple(sorted(latency.items(), key=lambda item: float(item[0][1:]))), good)


def quantile(name: str) -> float:
    """The share that a percentile's name stands for: 0.99 of `p99`."""
    return float(name[1:]) / 100
