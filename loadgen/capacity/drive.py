"""Walks a search with real steps until it ends, or its budget does."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from loadgen.capacity.knee import find
from loadgen.capacity.search import Terms, around, search
from loadgen.capacity.step import Outcome, Step

SPARE = 1.05
"""A step is begun only where the budget has room for the longest of the last few, and so much more."""

LAST = 3
MORE = 3
"""So many steps are added at a time where a finished search has not enclosed a knee."""

MOST = 100
"""Steps of one search."""


@dataclass(slots=True)
class Walk:
    """The steps so far, and how it ended: `searched` when nothing was left to ask, `budget` when time was up."""

    steps: list[Step] = field(default_factory=list)
    ended: str = "interrupted"


def drive(
    walk: Walk,
    terms: Terms,
    budget_s: float,
    make: Callable[[int, float], Step],
    each: Callable[[Step], None] = lambda step: None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Make steps, `make(number, rate)`, into `walk`; what `make` raises ends it there, with what is known kept.

    The first three steps are made whatever the budget. A search that ends without a knee, though the venue held and
    broke, goes on at the last rate.
    """
    began, took = clock(), [0.0]
    asking = search(terms)
    rate = next(asking)
    while True:
        before = clock()
        if len(walk.steps) >= 3 and before - began + max(took[-LAST:]) * SPARE > budget_s:
            walk.ended = "budget"
            return
        step = make(len(walk.steps) + 1, rate)
        took.append(clock() - before)
        walk.steps.append(step)
        each(step)
        try:
            rate = asking.send(step.outcome)
        except StopIteration:
            if not _open(walk.steps, terms):
                walk.ended = "searched"
                return
            asking = around(terms, step.target, MORE)
            rate = next(asking)


def _open(steps: Sequence[Step], terms: Terms) -> bool:
    """Whether the venue held and broke, yet the steps do not enclose a knee: further ones may."""
    rates = [[step.target for step in steps if step.outcome is outcome] for outcome in Outcome]
    held, broke, late = rates
    if not held or not broke or max(held) >= terms.top or len(steps) >= MOST:
        return False
    return not any(late.count(rate) > 1 for rate in late) and find(steps) is None
