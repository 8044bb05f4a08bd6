"""A surge of everything: the flow of a window times a factor, sent by clones of its sessions."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from drills.units import Duration
from loadgen.trace import Trace
from loadgen.transform.base import MAX_ROWS, Ints, Mask, Seed, State, nanoseconds
from loadgen.transform.rows import Draft, copied, draft, finished, fresh, joined, suffixed
from loadgen.transform.surge import Surge

_AROUND_NS = 10_000_000_000
_ENOUGH_NS = 1_000_000_000


class RateSurge(Surge):
    """Within the window, `factor` times as many operations: each session is joined by factor - 1 clones of it.

    A clone has accounts, orders and ids of its own, and sends what its session sends at a phase of its own: it starts
    somewhere in the window and goes on at its beginning, each operation up to `jitter` later. Orders that it cancels
    or amends but does not place within the window are placed before it, and orders that its session cancels after the
    window it cancels too: both at a steady pace, over as much time as the window takes, ten seconds at least.
    """

    shape: Literal["rate"]
    factor: Annotated[int, Field(ge=2, le=100, strict=True)]
    at: Duration
    for_: Duration = Field(alias="for", gt=0)
    jitter: Duration = Field(default=0.005, le=60)
    seed: Seed = 1

    def made(self, state: State) -> State:
        """Add the clones; raises DefinitionError for an empty window or too many rows."""
        start, end = state.window(self.at, self.for_)
        trace, rows, chance = state.trace, draft(state.trace), np.random.default_rng(self.seed)
        inside = np.flatnonzero((rows.t_ns >= start) & (rows.t_ns < end))
        if not inside.size:
            raise state.fail("no operation within the window", "take another one")
        if len(rows) + len(inside) * (self.factor - 1) > MAX_ROWS:
            raise state.fail(f"more than {MAX_ROWS:,} operations", "lower factor or for")
        cast = _Cast(trace, rows, inside, (start, end))
        pieces, count = [rows], len(rows)
        for number in range(1, self.factor):
            phase = int(chance.integers(0, end - start))
            jitter = chance.integers(0, nanoseconds(self.jitter) + 1, len(inside))
            pieces.append(cast.clone(number, phase, jitter, count))
            count += len(pieces[-1])
        added = len(inside) * (self.factor - 1)
        note = self.note(added=added, around=count - len(rows) - added)
        return State(finished(trace, joined(*pieces), trace.duration_ns, note), state.label)


class _Cast:
    """The rows of a window, to be played by clones.

    The key of a row is twice the row that places its order, plus one where the row is turned to the beginning of the
    window: an order whose place comes late in the turned window, and its cancel early, is two orders of the clone.
    """

    def __init__(self, trace: Trace, rows: Draft, inside: Ints, window: tuple[int, int]) -> None:
        self._rows, self._inside, self._mark = rows, inside, fresh(trace)
        self._sessions, self._duration = trace.sessions, trace.duration_ns
        self._start, self._end = window
        op, names = trace.codes("op")
        self._placed, self._cancelled = ((op == _code(names, name))[inside] for name in ("place", "cancel"))
        self._cancel = np.full(len(rows), -1, dtype=np.int64)  # row of the cancel of the order that a row places
        cancels = np.flatnonzero(op == _code(names, "cancel"))
        self._cancel[rows.parent[cancels]] = cancels

    def clone(self, number: int, phase: int, jitter: Ints, base: int) -> Draft:
        """All sessions once more: orders placed before the window, the window, and orders cancelled behind it.

        `base` is how many rows stand before those of the clone.
        """
        inside, length = self._inside, self._end - self._start
        turned = self._rows.t_ns[inside] - self._start + phase
        times = np.minimum(self._start + turned % length + jitter, self._end - 1)
        parent = self._rows.parent[inside]
        key = np.where(parent < 0, inside, parent) * 2 + (turned >= length)
        opened, closed = self._around(key, parent >= 0)
        keys = np.concatenate([opened, key, closed])
        chosen = np.concatenate([opened // 2, inside, self._cancel[closed // 2]])
        when = np.concatenate([self._before(opened, key, times), times, self._after(len(closed))])
        places = np.flatnonzero(np.concatenate([np.ones(len(opened), np.bool_), self._placed]))
        by_key = places[np.argsort(keys[places], kind="stable")]
        at = by_key[np.searchsorted(keys[by_key], keys).clip(max=max(0, len(by_key) - 1))] if by_key.size else keys
        follows = self._rows.parent[chosen] >= 0
        copy = copied(
            self._rows, chosen, when, np.where(follows, at + base, -1), **self._names(chosen, keys % 2 == 1, number)
        )
        return replace(copy, session=copy.session + number * self._sessions)

    def _around(self, key: Ints, follows: Mask) -> tuple[Ints, Ints]:
        """Keys of the orders to place before the window, and of those to cancel behind it."""
        opened = np.setdiff1d(key[follows], key[self._placed])
        left = np.setdiff1d(np.concatenate([opened, key[self._placed]]), key[self._cancelled])
        closed = left[self._cancel[left // 2] >= 0]
        return opened, closed if self._end < self._duration else closed[:0]

    def _before(self, opened: Ints, key: Ints, times: Ints) -> Ints:
        first = max(0, self._start - max(self._end - self._start, _AROUND_NS))
        if self._start - first >= _ENOUGH_NS:
            return first + np.arange(len(opened)) * (self._start - first) // max(1, len(opened))
        # hardly any time before the window: half way to the first operation that needs the order
        by_key = np.lexsort((times, key))
        needed = times[by_key[np.searchsorted(key[by_key], opened)]]
        return self._start + (needed - self._start) // 2

    def _after(self, count: int) -> Ints:
        last = min(self._duration, self._end + max(self._end - self._start, _AROUND_NS))
        return self._end + np.arange(count) * (last - self._end) // max(1, count)

    def _names(self, chosen: Ints, early: Mask, number: int) -> dict[str, pa.Array]:
        rows = pa.array(chosen)
        suffixes = pa.array(np.where(early, f"{self._mark}.{number}b", f"{self._mark}.{number}"))
        return {
            "client_id": suffixed(self._rows.table["client_id"].take(rows), suffixes),
            "account": suffixed(self._rows.table["account"].take(rows), f"{self._mark}.{number}"),
        }


def _code(names: list[str], name: str) -> int:
    return names.index(name) if name in names else -2
