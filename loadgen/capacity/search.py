"""Which rate to offer next: up by doubling until the objective breaks, between the ends, then to and fro at the knee.

A search is a generator: it yields a rate in operations a second and is sent the outcome of its step.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

from loadgen.capacity.step import Outcome

UP = 2.0
NEAR = 1.1
"""Ends that are no further apart than this are near enough; it is also the stride of the steps at the knee."""


@dataclass(frozen=True, slots=True)
class Terms:
    """First rate, highest rate, and how many steps to make at the knee."""

    start: float
    top: float
    repeat: int = 6


@dataclass(slots=True)
class Bracket:
    """The highest rate that held and the lowest that did not; `by` says what stopped it there."""

    low: float | None = None
    high: float | None = None
    by: Outcome | None = None


Search = Generator[float, Outcome, None]


def search(terms: Terms) -> Search:
    """All steps of a search, as many as the budget lasts; it ends by itself where nothing is left to ask.

    Nothing is believed on one bad step alone: a first break, and a late generator, are asked for again. The steps at
    the knee are an up-and-down design: one stride up from a step that held, one down from one that broke, which
    gathers them where either may happen. W. J. Dixon and A. M. Mood, "A Method for Obtaining and Analyzing Sensitivity
    Data", JASA 43 (1948).
    """
    bracket = Bracket()
    yield from _climb(terms, bracket)
    if bracket.low is None or bracket.high is None:
        return
    yield from _narrow(bracket)
    if bracket.by is Outcome.BROKE:
        yield from around(terms, math.sqrt(bracket.low * bracket.high), terms.repeat)


def _ask(rate: float) -> Generator[float, Outcome, Outcome]:
    """The outcome at a rate; one that is not `held` counts when it comes twice."""
    rate = rounded(rate)
    first = yield rate
    if first is Outcome.HELD:
        return first
    return (yield rate)


def _climb(terms: Terms, bracket: Bracket) -> Search:
    rate = min(terms.start, terms.top)
    while True:
        outcome = yield from _ask(rate)
        if outcome is not Outcome.HELD:
            bracket.high, bracket.by = rate, outcome
            return
        bracket.low = rate
        if rate >= terms.top:
            return
        rate = min(rate * UP, terms.top)


def _narrow(bracket: Bracket) -> Search:
    assert bracket.low is not None
    assert bracket.high is not None
    while bracket.high / bracket.low > NEAR:
        middle = math.sqrt(bracket.low * bracket.high)
        outcome = yield rounded(middle)
        if outcome is Outcome.LATE:
            outcome = yield rounded(middle)
        if outcome is Outcome.HELD:
            bracket.low = middle
            continue
        if outcome is Outcome.LATE and bracket.by is Outcome.BROKE:
            return  # the venue is known to break further up; nearer the generator cannot look
        bracket.high, bracket.by = middle, outcome


def around(terms: Terms, rate: float, count: int) -> Search:
    """So many steps up and down from a rate, unless the generator gives out twice."""
    late = 0
    for _ in range(count):
        outcome = yield rounded(min(rate, terms.top))
        late = late + 1 if outcome is Outcome.LATE else 0
        if late == 2:
            return
        if outcome is Outcome.HELD:
            rate = min(rate, terms.top) * NEAR
        elif outcome is Outcome.BROKE:
            rate /= NEAR


def rounded(rate: float) -> float:
    """To four digits: a rate that a person can type again."""
    return float(f"{rate:.4g}")
