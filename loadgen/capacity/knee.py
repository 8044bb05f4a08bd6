"""The knee: the rate at which a step holds as often as it breaks, with the interval that the steps leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadgen.capacity.step import Outcome, Step

F64 = npt.NDArray[np.float64]

CONFIDENCE = 0.95
LAPSE = 0.04
"""Share of steps that go the wrong way for a reason of their own, at any rate: a machine has other things to do."""

BELIEVED = 0.8
"""A knee is only told where it lies within the rates that were offered with at least this probability."""

_WIDTHS = np.geomspace(0.005, 0.2, 24)  # of the change from holding to breaking, in natural logarithms of the rate
_BEYOND = 2.0  # how far beyond the rates offered the knee may lie
_POINTS = 2000


@dataclass(frozen=True, slots=True)
class Knee:
    """The knee in operations a second, its interval, and what it rests on: `steps` that held or broke.

    `rate` is never above `held`, the highest rate that was really offered and held, whatever the fit says; `fitted` is
    what it says. `broke` is the lowest rate that broke.
    """

    rate: float
    low: float
    high: float
    fitted: float
    held: float
    broke: float
    steps: int
    confidence: float = CONFIDENCE


def find(steps: Sequence[Step]) -> Knee | None:
    """The knee of the steps in which the generator was in time; None where they do not enclose one.

    P(a step holds | rate x) = l/2 + (1 − l)/(1 + (x/k)^(1/s)): a logistic curve over ln x with knee k, width s and
    lapse rate l, as in F. A. Wichmann and N. J. Hill, "The psychometric function", Perception & Psychophysics 63
    (2001). With as few steps as there are here, and often none out of order, the most likely s is 0 and an interval
    from the curvature is empty; so the likelihood is averaged over s (evenly in ln s, 0.5 % to 20 %) and, evenly in
    ln k, normalised: J. O. Berger, B. Liseo and R. L. Wolpert, "Integrated Likelihood Methods for Eliminating Nuisance
    Parameters", Statistical Science 14 (1999). The interval leaves 2.5 % on either side.
    """
    told = [step for step in steps if step.outcome is not Outcome.LATE and step.offered > 0]
    held = [step.offered for step in told if step.outcome is Outcome.HELD]
    broke = [step.offered for step in told if step.outcome is Outcome.BROKE]
    if not held or not broke:
        return None
    rates, mass = posterior(np.array(held), np.array(broke))
    below = np.cumsum(mass)
    top = max(*held, *broke)
    if float(mass[rates <= top].sum()) < BELIEVED:
        return None
    tail = (1 - CONFIDENCE) / 2
    low, fitted, high = (float(rates[np.searchsorted(below, q)]) for q in (tail, 0.5, 1 - tail))
    rate = min(fitted, max(held))
    return Knee(rate, min(low, rate), max(high, rate), fitted, max(held), min(broke), len(told))


def posterior(held: F64, broke: F64) -> tuple[F64, F64]:
    """Rates and how much each is believed to be the knee (sums to 1), from the rates of the steps."""
    offered = np.concatenate([held, broke])
    rates = np.geomspace(offered.min() / _BEYOND, offered.max() * _BEYOND, _POINTS)
    logs = np.log(rates)[:, None]

    def chance(x: F64) -> F64:
        """P(holds), shape (knees, widths, steps)."""
        away = np.clip((np.log(x)[None, None, :] - logs[:, :, None]) / _WIDTHS[None, :, None], -60, 60)
        curve: F64 = LAPSE / 2 + (1 - LAPSE) / (1 + np.exp(away))
        return curve

    likely = np.log(chance(held)).sum(axis=2) + np.log(1 - chance(broke)).sum(axis=2)
    mass = np.exp(likely - likely.max()).sum(axis=1)
    return rates, mass / mass.sum()
