"""Time bent piece by piece: parts played faster or slower, and bursts played at another time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from drills.model_base import Model
from drills.units import Duration, format_duration
from loadgen.transform.base import (
    LONGEST_NS,
    MAX_ROWS,
    Ints,
    Mask,
    State,
    Transform,
    moved_reconnects,
    nanoseconds,
    shown,
)
from loadgen.transform.rows import Draft, copied, draft, finished, fresh, joined, linked, suffixed, taken


class Piece(Model):
    """A window of the trace as it is before the warp, and either `speed` or `at`.

    `speed` plays it so many times as fast; what comes after it moves along. `at`, a time of the result, moves what was
    sent in the window there and leaves its old place quiet; with `copy` it stays, and is sent there once more by the
    same accounts as orders of their own.
    """

    from_: Duration = Field(alias="from")
    to: Duration
    speed: Annotated[float, Field(ge=0.001, le=1000, strict=True)] | None = None
    at: Duration | None = None
    copy_: bool = Field(default=False, alias="copy", strict=True)

    @model_validator(mode="after")
    def _one_thing(self) -> Piece:
        if self.to <= self.from_:
            words = {"to": format_duration(self.to), "from_": format_duration(self.from_)}
            raise PydanticCustomError("forward", "to {to} is not after from {from_}", words)
        if (self.speed is None) == (self.at is None):
            raise PydanticCustomError("one_of", "needs either speed or at")
        if self.copy_ and self.at is None:
            raise PydanticCustomError("copy", "copy needs at, the time to copy to")
        return self

    @property
    def span(self) -> tuple[int, int]:
        """Start and end in ns."""
        return nanoseconds(self.from_), nanoseconds(self.to)


class Warp(Transform):
    """Pieces that change the time of what they hold; everything else keeps its distances.

    No operation comes before one that stands before it on the same order: it is sent at the time of that instead.
    """

    key: ClassVar[str] = "warp"
    pieces: Annotated[tuple[Piece, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _apart(self) -> Warp:
        # a window may be sped up and its burst moved, but nothing has two speeds, and nothing moves twice
        for what in ([p for p in self.pieces if p.speed], [p for p in self.pieces if p.at is not None and not p.copy_]):
            for one, other in pairwise(sorted(what, key=lambda piece: piece.from_)):
                if other.from_ < one.to:
                    words = {"at": format_duration(other.from_), "end": format_duration(one.to)}
                    raise PydanticCustomError("overlap", "a piece from {at} starts before another ends at {end}", words)
        return self

    def said(self) -> Any:  # noqa: ANN401 - what YAML holds
        """The pieces as a list, as they stand in YAML."""
        return super().said()["pieces"]

    def made(self, state: State) -> State:
        """Bend the times; raises DefinitionError for a piece beyond the end of the trace."""
        trace, rows = state.trace, draft(state.trace)
        for piece in self.pieces:
            if piece.span[1] > trace.duration_ns:
                hint = f"it ends at {shown(trace.duration_ns)}"
                raise state.fail(f"to {shown(piece.span[1])} is after the end of the trace", hint)
        bend = _Bend(self.pieces, trace.duration_ns)
        if bend.end > LONGEST_NS:
            raise state.fail("the trace becomes longer than 100 days", "take a higher speed or an earlier at")
        mark = fresh(trace)
        whole = Draft(rows.table, bend.times(rows.t_ns), rows.session, rows.parent, rows.dep)
        copies = [piece for piece in self.pieces if piece.copy_]
        for number, piece in enumerate(copies, 1):
            whole = _with_copy(whole, rows, piece, bend, f"{mark}.{number}")
            if len(whole) > MAX_ROWS:
                raise state.fail(f"more than {MAX_ROWS:,} operations", "copy less")
        note = self.note(copied=len(whole) - len(rows))
        facts = moved_reconnects(trace, lambda at: int(bend.times(np.array([at]))[0]))
        return State(finished(trace, whole, bend.end, note, facts), state.label)


class _Bend:
    """The map from times before to times after; `end` is the new duration."""

    def __init__(self, pieces: Sequence[Piece], duration: int) -> None:
        self._bursts = [piece for piece in pieces if piece.at is not None]
        old, new = [0], [0]
        for start, end, speed in sorted((*piece.span, piece.speed) for piece in pieces if piece.speed):
            for time, rate in ((start, 1.0), (end, speed)):
                new.append(new[-1] + round((time - old[-1]) / rate))
                old.append(time)
        new.append(new[-1] + duration - old[-1])
        old.append(duration)
        self._old, self._new = np.array(old, dtype=np.float64), np.array(new, dtype=np.float64)
        spans = [self._plain(np.array(piece.span)).tolist() for piece in self._bursts]
        ends = [
            nanoseconds(piece.at or 0) + end - start for piece, (start, end) in zip(self._bursts, spans, strict=True)
        ]
        self.end = max(1, new[-1], *ends)

    def times(self, t_ns: Ints) -> Ints:
        """New times, those of a moved burst among them."""
        made = self._plain(t_ns)
        for piece in self._bursts:
            if not piece.copy_:
                inside = _inside(piece, t_ns)
                made[inside] = self.burst(piece, t_ns[inside])
        return self._within(made)

    def burst(self, piece: Piece, t_ns: Ints) -> Ints:
        """Times of a burst from its new start on."""
        made = self._plain(t_ns) - self._plain(np.array([piece.span[0]])) + nanoseconds(piece.at or 0)
        return self._within(made)

    def _within(self, t_ns: Ints) -> Ints:
        """What is last may have been rounded up to the end."""
        held: Ints = np.minimum(t_ns, self.end - 1)
        return held

    def _plain(self, t_ns: Ints) -> Ints:
        return np.rint(np.interp(t_ns, self._old, self._new)).astype(np.int64)


def _inside(piece: Piece, t_ns: Ints) -> Mask:
    start, end = piece.span
    return (t_ns >= start) & (t_ns < end)


def _with_copy(whole: Draft, rows: Draft, piece: Piece, bend: _Bend, suffix: str) -> Draft:
    """`whole`, and behind it the burst once more; what names an order from before the burst is not copied."""
    chosen = np.flatnonzero(linked(rows, _inside(piece, rows.t_ns)))
    burst = taken(rows, chosen)
    parent = np.where(burst.parent < 0, -1, burst.parent + len(whole))
    own = suffixed(burst.table["client_id"], suffix)
    copy = copied(burst, np.arange(len(burst)), bend.burst(piece, burst.t_ns), parent, client_id=own)
    return joined(whole, copy)
