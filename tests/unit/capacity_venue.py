"""A made-up venue of known capacity, as a search sees it: M/M/1, whose service rate wavers from step to step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from loadgen.capacity.answer import Answer, Question, conclude
from loadgen.capacity.drive import Walk, drive
from loadgen.capacity.search import Terms
from loadgen.capacity.slo import Slo
from loadgen.capacity.step import Seen, Step, judge
from loadgen.capacity.usage import Part, Usage

SLO = Slo((("p99", 20.0),), 0.999)


@dataclass
class MadeUp:
    """Serves `rate` operations a second; `noise` is the relative deviation of a step's rate, `late_from` where the
    generator can no more. The sojourn time of M/M/1 is exponential with rate μ − λ, so p99 = ln(100)/(μ − λ)."""

    rate: float
    noise: float = 0.03
    late_from: float = math.inf
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    clock_s: float = 0.0

    @property
    def knee(self) -> float:
        """Where p99 meets the objective half of the time."""
        return self.rate - math.log(100) / (SLO.latency_ms[0][1] / 1e3)

    def step(self, number: int, rate: float) -> Step:
        """One step of ten seconds."""
        self.clock_s += 10
        served = self.rate * math.exp(self.random.normal(0, self.noise))
        spare = served - rate
        late = rate >= self.late_from
        p99 = math.log(100) / spare * 1e3 if spare > 0 else None
        seen = Seen(
            offered=rate,
            answered=min(rate, served),
            sent=0.8 if late else 1.0,
            good=1.0 if spare > 0 else 0.5,
            quantiles_ms={"p50": math.log(2) / spare * 1e3 if spare > 0 else None, "p99": p99},
            service_ms=1e3 / spare if spare > 0 else 5000.0,
            lag_p99_ms=100.0 if late else 0.3,
        )
        outcome, why = judge(seen, SLO)
        busy = min(rate / served, 1.0)
        engine = Part(busy, busy, 100.0)
        gateway = Part(0.05 + 0.4 * busy, 0.05 + 0.4 * busy, 60.0)
        usage = Usage({"engine": engine, "gateway": gateway}, 0.3, busy * 1.5 + 0.35, 4)
        return Step(number, rate, seen, outcome, why, usage=usage)


def searched(venue: MadeUp, start: float = 200, top: float = 1e6, budget_s: float = 1e4, repeat: int = 6) -> Answer:
    """The answer of a whole search."""
    walk = Walk()
    drive(walk, Terms(start, top, repeat), budget_s, venue.step, clock=lambda: venue.clock_s)
    return conclude(Question(SLO, 1000.0, top), walk.steps, walk.ended)
