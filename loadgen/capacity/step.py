"""One step of a search: what was offered, what came of it, and what it says about the venue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from loadgen.capacity.slo import OFFERED, Slo
from loadgen.capacity.usage import Usage

DISCONNECTED = 0.005
"""Share of operations that lost their connection from which on a late send is the venue's doing."""


class Outcome(Enum):
    """What a step says."""

    HELD = "held"
    BROKE = "broke"
    LATE = "generator"  # the generator gave out; nothing is known about the venue


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of the operations due in the measured part of a step.

    `offered` and `answered` in operations a second; `sent`, `good` and `disconnected` as shares of those due;
    `quantiles_ms` from the intended time, where one without an answer counts as never (None); `service_ms` is the mean
    from the send to the answer (None: no answer).
    """

    offered: float
    answered: float
    sent: float
    good: float
    quantiles_ms: Mapping[str, float | None]
    service_ms: float | None
    lag_p99_ms: float | None
    disconnected: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the rate that was asked for, how it was made, what was seen, and the word about it."""

    number: int
    target: float
    seen: Seen
    outcome: Outcome
    why: str
    speed: float = 1.0
    amplify: int = 1
    usage: Usage = field(default_factory=Usage)

    @property
    def offered(self) -> float:
        """Operations a second that were due."""
        return self.seen.offered

    def data(self) -> dict[str, Any]:
        """As JSON has it."""
        seen = asdict(self.seen)
        seen["quantiles_ms"] = dict(self.seen.quantiles_ms)
        head = {"number": self.number, "target": self.target, "speed": self.speed, "amplify": self.amplify}
        return {**head, **seen, "outcome": self.outcome.value, "why": self.why, "usage": self.usage.data()}


def judge(seen: Seen, slo: Slo) -> tuple[Outcome, str]:
    """What a step says, and why.

    A late generator makes every latency longer, never shorter: a step that kept the objective all the same has held.
    One that did not is charged to the venue only where the generator was in time.
    """
    broken = [
        f"{name} {_ms(seen.quantiles_ms[name])} > {limit:g} ms"
        for name, limit in slo.latency_ms
        if not _within(seen.quantiles_ms[name], limit)
    ]
    if slo.good is not None and seen.good < slo.good:
        broken.append(f"good {seen.good:.3%} < {slo.good:.3%}".replace("%", " %"))
    lost = seen.disconnected > DISCONNECTED
    if seen.sent < OFFERED and not lost:
        return Outcome.LATE, f"only {seen.sent:.1%} of what was due was sent".replace("%", " %")
    if not broken:
        return Outcome.HELD, ""
    lag = seen.lag_p99_ms
    if not lost and (lag is None or lag > slo.gate_ms):
        return Outcome.LATE, f"its own lag p99 was {_ms(lag)}, at most {slo.gate_ms:g} ms counts"
    if lost:
        broken.append(f"{seen.disconnected:.1%} lost their connection".replace("%", " %"))
    return Outcome.BROKE, ", ".join(broken)


def _within(value: float | None, limit: float) -> bool:
    return value is not None and value <= limit


def _ms(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} ms"
