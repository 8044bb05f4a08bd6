"""Two laws of performance fitted to the steps: what each component costs an operation, and how the whole scales."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadgen.capacity.step import Outcome, Step

F64 = npt.NDArray[np.float64]

SINGLE = 0.9
"""A component whose busiest thread does this share of its work cannot use more than one core."""

LEAST_CPU = 0.02
"""Cores; a component that never used so much has no demand that could be told from noise."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a component costs: `cpu_ms` an operation, `idle` cores without one, and how well that fits (R²).

    `ceiling` is how many cores it can use, `most` how many it was seen to use, at `most_at` operations a second, with
    `memory_mb`. `saturates_at` is the rate at which it would reach the ceiling; it is extrapolated unless it did.
    """

    name: str
    cpu_ms: float
    idle: float
    r2: float
    ceiling: float
    most: float
    most_at: float
    memory_mb: float
    saturates_at: float | None
    n: int


def demands(steps: Sequence[Step]) -> list[Demand]:
    """The demand of every component, the one that saturates first at the front.

    The utilisation law, U = X·D (P. J. Denning and J. P. Buzen, "The Operational Analysis of Queueing Network Models",
    ACM Computing Surveys 10, 1978): cores used over operations answered a second, with an intercept for what is used
    without any, by least squares over the steps that did not break. With fewer than two of those there is none.
    """
    calm = [step for step in steps if step.outcome is Outcome.HELD and step.usage.parts]
    names = dict.fromkeys(name for step in steps for name in step.usage.parts)
    found = [one for name in names if (one := _demand(name, [s for s in calm if name in s.usage.parts], steps))]
    return sorted(found, key=lambda one: (one.saturates_at or math.inf, -one.cpu_ms))


def _demand(name: str, calm: Sequence[Step], steps: Sequence[Step]) -> Demand | None:
    if len({step.target for step in calm}) < 2:
        return None
    answered = np.array([step.seen.answered for step in calm])
    used = np.array([step.usage.parts[name].cores for step in calm])
    (idle, slope), r2 = line(answered, used)
    parts = [(step.usage.parts[name], step) for step in steps if name in step.usage.parts]
    busiest = max(parts, key=lambda pair: pair[0].cores)
    most = busiest[0].cores
    single = busiest[0].busiest_thread >= SINGLE * most
    ceiling = 1.0 if single else float(max(1, busiest[1].usage.cores))
    costs = slope > 0 and most >= LEAST_CPU
    return Demand(
        name=name,
        cpu_ms=slope * 1e3,
        idle=idle,
        r2=r2,
        ceiling=ceiling,
        most=most,
        most_at=busiest[1].seen.answered,
        memory_mb=max(part.memory_mb for part, _ in parts),
        saturates_at=max(0.0, ceiling - idle) / slope if costs else None,
        n=len(calm),
    )


def line(x: F64, y: F64) -> tuple[tuple[float, float], float]:
    """((intercept, slope), R²) of y over x by least squares; neither is negative."""
    columns = np.stack([np.ones_like(x), x], axis=1)
    found = nonnegative(columns, y)
    return (float(found[0]), float(found[1])), _r2(y, columns @ found)


@dataclass(frozen=True, slots=True)
class Scaling:
    """The Universal Scalability Law: `rate_1` = λ, contention σ, coherency κ, and the peak that follows (None: none).

    X(N) = λN / (1 + σ(N − 1) + κN(N − 1)) with N operations in the venue at once. `seen` is the most that N was;
    a peak beyond is extrapolated.
    """

    rate_1: float
    contention: float
    coherency: float
    r2: float
    peak: float | None
    peak_at: float | None
    seen: float
    n: int

    @property
    def extrapolated(self) -> bool:
        """Whether the peak lies where nothing was measured."""
        return self.peak_at is None or self.peak_at > self.seen


def scaling(steps: Sequence[Step]) -> Scaling | None:
    """The law fitted to the steps in which the generator was in time; None with fewer than four rates.

    N. J. Gunther, "Guerrilla Capacity Planning" (2007), chapters 4 to 6. N is not set here but follows from Little's
    law, N = X·R, with R the mean time from the send to the answer; divided by X the law is linear in its parameters,
    R = a + b(N − 1) + cN(N − 1) with a = 1/λ, b = σ/λ, c = κ/λ. Least squares of relative errors, none negative.
    """
    told = [step for step in steps if step.outcome is not Outcome.LATE and step.seen.service_ms and step.seen.answered]
    if len({step.target for step in told}) < 4:
        return None
    response = np.array([(step.seen.service_ms or 0.0) / 1e3 for step in told])
    inside = np.array([step.seen.answered for step in told]) * response
    columns = np.stack([np.ones_like(inside), inside - 1, inside * (inside - 1)], axis=1)
    a, b, c = nonnegative(columns / response[:, None], np.ones_like(response)).tolist()
    if a <= 0:
        return None
    r2 = _r2(np.log(response), np.log(np.maximum(columns @ np.array([a, b, c]), 1e-9)))
    sigma, kappa, rate_1 = b / a, c / a, 1 / a
    peak_at = math.sqrt((1 - sigma) / kappa) if kappa > 0 and sigma < 1 else None
    if peak_at is not None:
        peak: float | None = rate_1 * peak_at / (1 + sigma * (peak_at - 1) + kappa * peak_at * (peak_at - 1))
    else:
        peak = rate_1 / sigma if sigma > 0 else None
    return Scaling(rate_1, sigma, kappa, r2, peak, peak_at, float(inside.max()), len(told))


def nonnegative(columns: F64, y: F64) -> F64:
    """Least squares with no negative coefficient: the best of all sets of columns (there are three at most)."""
    best, error = np.zeros(columns.shape[1]), float(y @ y)
    for size in range(1, columns.shape[1] + 1):
        for chosen in itertools.combinations(range(columns.shape[1]), size):
            part, *_ = np.linalg.lstsq(columns[:, chosen], y, rcond=None)
            rest = float(((y - columns[:, chosen] @ part) ** 2).sum())
            if (part >= 0).all() and rest < error:
                best, error = np.zeros(columns.shape[1]), rest
                best[list(chosen)] = part
    return best


def _r2(y: F64, fitted: F64) -> float:
    spread = float(((y - y.mean()) ** 2).sum())
    return 1 - float(((y - fitted) ** 2).sum()) / spread if spread else 0.0
