"""The schedule in windows: what goes out in which tick on which session, rendered ahead of its time.

A tick is a millisecond of the schedule. An operation goes out in the first tick that does not come before its intended
time, all of a session and a tick in one send. A window holds whole ticks; within it the operations stand in the order
in which they are sent, so that each send is one slice of its bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from loadgen.schedule import Schedule, op_number
from loadgen.venues.wire import Ints, Wire

TICK_NS = 1_000_000
SMALL, LARGE = 128, 4096
"""Operations of a window in time, and of one that is late: a late one is sent in few, larger pieces.

Not so where each operation is rendered when it is sent: meanwhile no answer would be read.
"""
STALE_NS = 1_000_000_000
"""A window that goes out so much later than it was meant to is rendered again: its timestamps are too old."""


@dataclass(slots=True)
class Group:
    """One send: operations `low` to `high` of the window, all of one session, in its bytes `start` to `stop`."""

    session: int
    low: int
    high: int
    start: int
    stop: int


@dataclass(slots=True)
class Tick:
    """What goes out together: rows `first` to `end` of the schedule, operations `low` to `high` of the window."""

    due_ns: int  # since the start
    end: int
    low: int
    high: int
    groups: list[Group]


@dataclass(slots=True)
class Window:
    """Rows `first` to `end` of the schedule in the order of sending."""

    first: int
    end: int
    n: Ints
    sessions: Ints
    ticks: list[Tick]
    data: memoryview
    rendered_ns: int  # since the start: what was late then carries that time


class Windows:
    """Makes the windows of one schedule, one after the other."""

    def __init__(
        self, schedule: Schedule, wire: Wire, start_ns: int, clock: Callable[[], int], wall: Callable[[], float]
    ) -> None:
        self._schedule, self._wire, self._start_ns, self._clock, self._wall = schedule, wire, start_ns, clock, wall
        self._base = op_number(schedule.shard[0], 0)
        self.next = 0

    @property
    def exhausted(self) -> bool:
        """Whether every row of the schedule is in a window that was made."""
        return self.next >= len(self._schedule)

    def make(self) -> Window:
        """The next window; there must be one."""
        offsets, first = self._schedule.offset_ns, self.next
        now = self._clock() - self._start_ns
        now_tick = now // TICK_NS
        late = int(offsets[first]) <= (now_tick - 2) * TICK_NS
        # the last tick of the window is whole: everything that is due in it belongs to it
        size = LARGE if late and self._wire.prerendered else SMALL
        last = -(-int(offsets[min(first + size, len(offsets)) - 1]) // TICK_NS)
        if late:
            last = min(last, now_tick)
        end = first + int(np.searchsorted(offsets[first:], last * TICK_NS, side="right"))
        self.next = end
        ticks = np.maximum(-(-offsets[first:end] // TICK_NS), min(now_tick, last))
        sessions = self._schedule.session[first:end].astype(np.int64)
        order = np.lexsort((sessions, ticks))
        n = first + order
        sessions, ticks = sessions[order], ticks[order]
        data, starts = self._render(n)
        return Window(first, end, n, sessions, _ticks(first, ticks, sessions, starts), data, now)

    def again(self, window: Window) -> None:
        """Render a window once more: what is late carries the time of now, what is to come its own."""
        window.data, _ = self._render(window.n)  # as long as before: all that changes has a fixed width
        window.rendered_ns = self._clock() - self._start_ns

    def _render(self, n: Ints) -> tuple[memoryview, Ints]:
        if not self._wire.prerendered:
            return memoryview(b""), np.zeros(len(n) + 1, np.int64)
        schedule = self._schedule
        wall_ms, now = self._wall() * 1000, self._clock()
        ahead_ns = np.maximum(schedule.offset_ns[n] + (self._start_ns - now), 0)
        sent_ms = (wall_ms + ahead_ns / 1e6).astype(np.int64)
        parents = schedule.parent[n].astype(np.int64)
        parents[parents >= 0] += self._base
        data, starts = self._wire.window(n + self._base, schedule.row[n].astype(np.int64), parents, sent_ms)
        return memoryview(data), starts


def _ticks(first: int, ticks: Ints, sessions: Ints, starts: Ints) -> list[Tick]:
    count = len(ticks)
    steps = ticks[1:] - ticks[:-1]
    new_tick = np.flatnonzero(steps) + 1
    bounds = np.concatenate([[0], np.flatnonzero(steps | (sessions[1:] - sessions[:-1])) + 1, [count]])
    at, cuts = bounds.tolist(), starts[bounds].tolist()
    groups = list(map(Group, sessions[bounds[:-1]].tolist(), at[:-1], at[1:], cuts[:-1], cuts[1:]))
    made, begun = [], 0
    for low, high in zip([0, *new_tick.tolist()], [*new_tick.tolist(), count], strict=True):
        until = begun
        while until < len(groups) and groups[until].high <= high:
            until += 1
        # ticks part the schedule in the order of time: the operations up to here are its first rows
        made.append(Tick(int(ticks[low]) * TICK_NS, first + high, low, high, groups[begun:until]))
        begun = until
    return made
