"""A part of a trace: what was sent between two times, and the orders that it needs."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from drills.units import Duration, format_duration
from loadgen.trace import Trace
from loadgen.transform.base import Cut, State, Transform, moved_reconnects, nanoseconds, shown
from loadgen.transform.book import NOTHING, Resting, resting
from loadgen.transform.rows import Draft, copied, draft, finished, joined, linked, taken

PACE = 1000.0
"""Orders a second that are placed before a slice, where the definition does not say."""


class Slice(Transform):
    """From `from` up to, without, `to`; times start anew at zero.

    A cancel or amend whose order was placed before the slice names nothing in it. Such orphans are left out and
    counted; with `orphans: seed` the orders that they name are placed first, as far as they rested at the start.
    """

    key: ClassVar[str] = "slice"
    from_: Duration = Field(default=0.0, alias="from")
    to: Duration | None = None
    orphans: Literal["drop", "seed"] = "drop"

    @model_validator(mode="after")
    def _forward(self) -> Slice:
        if self.to is not None and self.to <= self.from_:
            problem = "to {to} is not after from {from_}"
            words = {"to": format_duration(self.to), "from_": format_duration(self.from_)}
            raise PydanticCustomError("forward", problem, words)
        if not self.model_fields_set & {"from_", "to"}:
            raise PydanticCustomError("nothing", "names no time; write from, to or both")
        return self

    def made(self, state: State) -> State:
        """Cut the trace; raises DefinitionError for a window beyond its end or without any operation."""
        trace = state.trace
        start, end = nanoseconds(self.from_), trace.duration_ns if self.to is None else nanoseconds(self.to)
        if end > trace.duration_ns:
            raise state.fail(f"to {shown(end)} is after the end of the trace", f"it ends at {shown(trace.duration_ns)}")
        if start >= end:
            raise state.fail(f"from {shown(start)} is not before the end of the trace, {shown(end)}")
        cut = Cut(trace, start, end)
        made = cut_out(cut, "named" if self.orphans == "seed" else "none", PACE, self)
        if not made.rows:
            raise state.fail("leaves no operation", "take a wider window")
        return State(made, state.label, cut)


def cut_out(cut: Cut, seed: Literal["none", "named", "all"], pace: float, step: Transform) -> Trace:
    """The slice, with the orders that rested at its start placed before it at `pace` a second.

    `seed` says which of those: none, those that the slice cancels or amends, or all. The slice then starts when the
    last of them is placed.
    """
    rows = draft(cut.whole)
    inside = (rows.t_ns >= cut.start) & (rows.t_ns < cut.end)
    orders = NOTHING if seed == "none" else resting(cut.whole, cut.start)
    if seed == "named":
        named = np.isin(orders.row, rows.parent[inside])
        orders = Resting(*(column[named] for column in orders))
    kept = inside.copy()
    kept[orders.row] = True
    chosen = np.flatnonzero(linked(rows, kept) & inside)
    lead = round(len(orders.row) / pace * 1e9)
    made = _behind(orders, taken(rows, np.concatenate([orders.row, chosen])), lead, cut.start)
    note = step.note(left_out=int(inside.sum()) - len(chosen), seeded=len(orders.row))
    facts = moved_reconnects(cut.whole, lambda at: at - cut.start + lead if cut.start <= at < cut.end else None)
    return finished(cut.whole, made, cut.end - cut.start + lead, note, facts)


def _behind(orders: Resting, rows: Draft, lead: int, start: int) -> Draft:
    """The rows with the first of them, those that place `orders`, as they rested and spread over `lead`."""
    count = len(orders.row)
    times = np.arange(count) * lead // max(1, count)
    none = np.full(count, -1, dtype=np.int64)
    seeds = copied(
        rows,
        np.arange(count),
        times,
        none,
        price_ticks=pa.array(orders.price),
        qty_lots=pa.array(orders.qty),
        payload=None,
    )
    body = Draft(
        rows.table.slice(count),
        rows.t_ns[count:] - start + lead,
        rows.session[count:],
        rows.parent[count:],
        rows.dep[count:],
    )
    return joined(seeds, body)
