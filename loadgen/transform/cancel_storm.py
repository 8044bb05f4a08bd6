"""A surge of cancels: makers pull their orders out of the books."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from drills.units import Duration, Percent
from loadgen.transform.base import Seed, State
from loadgen.transform.book import resting
from loadgen.transform.rows import cancels, draft, finished, joined, linked, taken
from loadgen.transform.surge import Surge


class CancelStorm(Surge):
    """Within the window from `at` on, `share` of the orders that rest at its start are cancelled by their owners.

    Which orders, and when each, is drawn from `seed`. What the trace sends for such an order afterwards is left out.
    """

    shape: Literal["cancel-storm"]
    at: Duration
    for_: Duration = Field(alias="for", gt=0)
    share: Percent = Field(gt=0)
    seed: Seed = 1

    def made(self, state: State) -> State:
        """Add the cancels; raises DefinitionError where nothing rests at the start of the window."""
        start, end = state.window(self.at, self.for_)
        trace, rows, chance = state.trace, draft(state.trace), np.random.default_rng(self.seed)
        orders = resting(trace, start).row
        if not orders.size:
            raise state.fail("no order rests at the start of the window", "take a later at")
        chosen = np.sort(chance.choice(orders, max(1, round(self.share * orders.size)), replace=False))
        times = chance.integers(start, end, len(chosen))
        when = np.full(len(rows) + 1, np.iinfo(np.int64).max)  # the last entry serves parent -1
        when[chosen] = times
        kept = np.flatnonzero(linked(rows, rows.t_ns < when[rows.parent]))
        position = np.full(len(rows), -1, dtype=np.int64)
        position[kept] = np.arange(len(kept))
        whole = joined(taken(rows, kept), cancels(rows, chosen, times, position[chosen]))
        note = self.note(added=len(chosen), left_out=len(rows) - len(kept))
        return State(finished(trace, whole, trace.duration_ns, note), state.label)
