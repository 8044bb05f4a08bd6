"""The schedule of a replay: which row of the trace is sent when, by whom, and under which number.

Everything is known before the first send: one entry an operation, in the order of the intended times, n = 0.. . The
schedule is on disk before the replay starts, so that what was sent survives the death of the generator. Several load
processes share one schedule by sessions: each has a shard, numbered on its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from drills.errors import DefinitionError
from loadgen.notional import notionals
from loadgen.trace import Ints, Trace

__all__ = ["Schedule", "build", "notionals", "op_id", "op_number", "to_table", "write"]

Numbers = npt.NDArray[np.int32]
_MAX_ROWS = 50_000_000
_SHARD = 100_000_000  # numbers of one shard: more than its rows, so that an id has ten digits in every shard
_SLICE = 1 << 20  # rows written at a time


@dataclass(frozen=True, slots=True)
class Schedule:
    """Arrays of one length; `offset_ns` counts from the start of the replay and never decreases."""

    trace: Trace
    offset_ns: Ints
    row: Numbers  # row of the trace
    session: Numbers  # session of the replay, of all shards: clone * sessions of the trace + session
    parent: Numbers  # n of the place that a cancel or amend names, else -1
    prior: Numbers  # n of the operation before it on the same order, else -1
    sessions: int  # of all shards
    shard: tuple[int, int] = (0, 1)  # k of n: sessions with session % n == k

    def __len__(self) -> int:
        return len(self.offset_ns)

    def account(self, session: int) -> str:
        """Account, and API key, of a session of the replay."""
        return f"acct-{session}"


def op_number(shard: int, n: int) -> int:
    """The number of row n of a shard's schedule among all shards; it stands in every id."""
    return shard * _SHARD + n


def op_id(run_id: str, number: int) -> str:
    """The id of an operation: the run and ten digits."""
    return f"{run_id}-{number:010d}"


def build(
    trace: Trace,
    *,
    duration_s: float,
    speed: float = 1.0,
    amplify: int = 1,
    sessions: int | None = None,
    seed: int = 1,
    jitter_ns: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> Schedule:
    """Lay the trace out over `duration_s` seconds.

    A trace shorter than that repeats; every repetition and every clone has entries, and so ids, of its own, and its
    cancels and amends name its own orders. Clone 0 starts with the trace; each further one starts at a phase drawn from
    the seed, as if it had been running before, and leaves out what names an order from before the start. In those,
    each operation comes later by up to `jitter_ns`, drawn evenly, but never after the next one of its session.
    Of `shard` (k, n) only the sessions with session % n == k are laid out, at the same times as in the whole.
    Raises DefinitionError where the schedule would be empty (a shard may be) or beyond 50 million operations.
    """
    end = round(duration_s * 1e9)
    period = max(1, round(trace.duration_ns / speed))
    if trace.rows * (end / period + 1) * amplify / shard[1] > _MAX_ROWS:
        raise _too_long(trace)
    width = min(sessions or trace.sessions, trace.sessions)
    base = _base(trace, speed, width, period)
    room = base.room(jitter_ns) if jitter_ns and amplify > 1 else None
    phases = [0, *np.random.default_rng(seed).integers(0, period, amplify - 1).tolist()]
    pieces: list[_Piece] = []
    count = 0
    for clone, phase in enumerate(phases):
        jitter = (np.random.default_rng((seed, clone)), room) if clone and room is not None else None
        offset, row, session, *links = base.piece(phase, end, clone * width, jitter, shard)
        parent, prior = (np.where(link < 0, np.int32(-1), link + np.int32(count)) for link in links)
        pieces.append((offset, row, session, parent, prior))
        count += len(offset)
        if count > _MAX_ROWS:
            raise _too_long(trace)
    if not count and shard[1] == 1:
        raise DefinitionError(trace.name, f"no operation within {duration_s} s", hint="raise duration or speed")
    return _in_order(trace, pieces, width * amplify, shard)


def _too_long(trace: Trace) -> DefinitionError:
    return DefinitionError(trace.name, f"more than {_MAX_ROWS} operations", hint="lower speed, amplify or duration")


_Piece = tuple[Ints, Numbers, Numbers, Numbers, Numbers]  # offset, row, session, parent, prior


@dataclass(frozen=True, slots=True)
class _Base:
    """One repetition of the trace at the speed of the replay; `links` are parent and prior as rows."""

    t: Ints
    session: Numbers
    links: tuple[Numbers, ...]
    period: int

    def room(self, jitter_ns: int) -> Ints:
        """How much later each row may come: at most jitter_ns, and not after the next of its session."""
        order = np.argsort(self.session, kind="stable")
        sessions, t = self.session[order], self.t[order]
        first = np.flatnonzero(np.diff(sessions, prepend=-1))
        following = np.append(t[1:], 0)
        following[np.append(first[1:], len(t)) - 1] = t[first] + self.period  # of the next repetition
        room = np.empty_like(self.t)
        room[order] = np.clip(following - t, 0, jitter_ns)
        return room

    def piece(
        self,
        phase: int,
        end: int,
        sessions_before: int,
        jitter: tuple[np.random.Generator, Ints] | None,
        shard: tuple[int, int],
    ) -> _Piece:
        """All repetitions of one clone between 0 and `end`; its links count within it."""
        # repetition -1 is the one that was running when a shifted clone starts
        starts = np.arange(phase - self.period if phase else 0, end, self.period)
        offset = (starts[:, None] + self.t).ravel()
        if jitter:
            random, room = jitter
            offset += (random.random((len(starts), len(room))) * (room + 1)).astype(np.int64).ravel()
        keep = (offset >= 0) & (offset < end)
        if shard[1] > 1:
            keep &= np.tile((self.session + sessions_before) % shard[1] == shard[0], len(starts))
        at = np.flatnonzero(keep)
        row = at % len(self.t)
        repetition = at - row
        parent = self.links[0][row]
        whole = (parent < 0) | keep[repetition + np.maximum(parent, 0)]
        if not whole.all():
            at, row, repetition = at[whole], row[whole], repetition[whole]
        position = np.full(len(keep), -1, dtype=np.int32)
        position[at] = np.arange(len(at), dtype=np.int32)
        parent, prior = (
            np.where(link[row] < 0, np.int32(-1), position[repetition + np.maximum(link[row], 0)])
            for link in self.links
        )
        return offset[at], row.astype(np.int32), self.session[row] + np.int32(sessions_before), parent, prior


def _base(trace: Trace, speed: float, width: int, period: int) -> _Base:
    return _Base(
        t=(trace.ints("t_ns") / speed).astype(np.int64),
        session=(trace.ints("session") % width).astype(np.int32),
        links=tuple(trace.ints(name).astype(np.int32) for name in ("parent_row", "prior_row")),
        period=period,
    )


def _in_order(trace: Trace, pieces: list[_Piece], sessions: int, shard: tuple[int, int]) -> Schedule:
    offset, row, session, parent, prior = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    pieces.clear()
    if (np.diff(offset) < 0).any():
        order = np.argsort(offset, kind="stable")  # equal times keep the order of the trace: a place before its cancel
        number = np.empty(len(order), dtype=np.int32)
        number[order] = np.arange(len(order), dtype=np.int32)
        offset, row, session = offset[order], row[order], session[order]
        parent, prior = (np.where(link < 0, np.int32(-1), number[link])[order] for link in (parent, prior))
    return Schedule(trace, offset, row, session, parent, prior, sessions, shard)


def to_table(schedule: Schedule, run_id: str, start_ns: int) -> pa.Table:
    """The schedule as it stands on disk: kind, session, key, notional, intended_ns.

    Row n is `op_id(run_id, op_number(shard, n))`; run_id, start_ns, shard and shards stand in the metadata.
    """
    return pa.concat_tables(_slices(schedule, run_id, start_ns))


def _slices(schedule: Schedule, run_id: str, start_ns: int) -> Iterator[pa.Table]:
    trace, worth = schedule.trace, notionals(schedule.trace)
    accounts = pa.array([schedule.account(session) for session in range(schedule.sessions)], pa.string())
    columns = {"kind": trace.codes("op"), "key": trace.codes("symbol")}
    words = {name: (codes, pa.array(known, pa.string())) for name, (codes, known) in columns.items()}
    shard, shards = schedule.shard
    facts = {"run_id": run_id, "start_ns": start_ns, "shard": shard, "shards": shards}
    metadata = {name.encode(): str(value).encode() for name, value in facts.items()}
    for low in range(0, len(schedule) or 1, _SLICE):
        part = slice(low, low + _SLICE)
        rows = schedule.row[part]
        kind, key = (pa.DictionaryArray.from_arrays(codes[rows], known) for codes, known in words.values())
        yield pa.table(
            {
                "kind": kind,
                "session": pa.DictionaryArray.from_arrays(pa.array(schedule.session[part]), accounts),
                "key": key,
                "notional": worth.take(pa.array(rows)),
                "intended_ns": schedule.offset_ns[part] + start_ns,
            },
            metadata=metadata,
        )


def write(schedule: Schedule, path: Path, run_id: str, start_ns: int) -> None:
    """Write `to_table` as an Arrow IPC file that readers may map into memory."""
    temporary = path.with_name(path.name + ".tmp")
    slices = _slices(schedule, run_id, start_ns)
    first = next(slices)
    try:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, first.schema) as writer:
            for table in chain([first], slices):
                writer.write_table(table)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
