"""The schedule of a replay: which row of the trace is sent when, by whom, and under which number.

Everything is known before the first send: one entry an operation, in the order of the intended times, n = 0.. . The
schedule is on disk before the replay starts, so that what was sent survives the death of the generator.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from drills.errors import DefinitionError
from drills.evidence import NOTIONAL
from loadgen.trace import Trace

Ints = npt.NDArray[np.int64]
_CENT8 = Decimal("0.00000001")
_MAX_ROWS = 50_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """Arrays of one length; `offset_ns` counts from the start of the replay and never decreases."""

    trace: Trace
    offset_ns: Ints
    row: Ints  # row of the trace
    session: Ints  # session of the replay: clone * sessions of the trace + session
    parent: Ints  # n of the place that a cancel or amend names, else -1
    prior: Ints  # n of the operation before it on the same order, else -1
    sessions: int

    def __len__(self) -> int:
        return len(self.offset_ns)

    def account(self, session: int) -> str:
        """Account, and API key, of a session of the replay."""
        return f"acct-{session}"


def build(
    trace: Trace,
    *,
    duration_s: float,
    speed: float = 1.0,
    amplify: int = 1,
    sessions: int | None = None,
    seed: int = 1,
) -> Schedule:
    """Lay the trace out over `duration_s` seconds.

    A trace shorter than that repeats; every repetition and every clone has entries, and so ids, of its own, and its
    cancels and amends name its own orders. Clone 0 starts with the trace; each further one starts at a phase drawn from
    the seed, as if it had been running before, and leaves out what names an order from before the start.
    Raises DefinitionError where the schedule would be empty or beyond 50 million operations.
    """
    end = round(duration_s * 1e9)
    t = (trace.table["t_ns"].to_numpy() / speed).astype(np.int64)
    period = max(1, round(trace.duration_ns / speed))
    width = min(sessions or trace.sessions, trace.sessions)
    folded = trace.table["session"].to_numpy().astype(np.int64) % width
    if len(t) * (end / period + 1) * amplify > _MAX_ROWS:
        raise DefinitionError(trace.name, f"more than {_MAX_ROWS} operations", hint="lower speed, amplify or duration")
    phases = [0, *np.random.default_rng(seed).integers(0, period, amplify - 1).tolist()]
    parents, priors = _links(trace)
    pieces = []
    for clone, phase in enumerate(phases):
        # repetition -1 is the one that was running when a shifted clone starts
        for first in range(phase - period if phase else 0, end, period):
            offset = t + first
            keep = (offset >= 0) & (offset < end)
            keep &= (parents < 0) | keep[parents]
            pieces.append(_piece(np.flatnonzero(keep), offset, folded + clone * width, (parents, priors)))
    schedule = _in_order(trace, pieces, width * amplify)
    if not len(schedule):
        raise DefinitionError(trace.name, f"no operation within {duration_s} s", hint="raise duration or speed")
    return schedule


_Piece = tuple[Ints, Ints, Ints, Ints, Ints]  # the arrays of a schedule; parent and prior count within the piece


def _links(trace: Trace) -> tuple[Ints, Ints]:
    """Rows of the place, and of the operation before it on that order, of each cancel and amend; -1 for places."""
    parent, prior = np.full((2, trace.table.num_rows), -1, dtype=np.int64)
    placed: dict[str, int] = {}
    latest: dict[str, int] = {}
    ids = zip(trace.table["client_id"].to_pylist(), trace.table["parent"].to_pylist(), strict=True)
    for row, (client_id, named) in enumerate(ids):
        if named is None:
            placed[client_id] = latest[client_id] = row
        else:
            parent[row], prior[row] = placed[named], latest[named]
            latest[named] = row
    return parent, prior


def _piece(rows: Ints, offset: Ints, session: Ints, links: tuple[Ints, Ints]) -> _Piece:
    position = np.full(len(offset), -1, dtype=np.int64)
    position[rows] = np.arange(len(rows))
    parent, prior = (np.where(link[rows] < 0, -1, position[link[rows]]) for link in links)
    return offset[rows], rows, session[rows], parent, prior


def _in_order(trace: Trace, pieces: list[_Piece], sessions: int) -> Schedule:
    starts = np.cumsum([0, *(len(piece[0]) for piece in pieces)]).tolist()
    offset, row, session = (np.concatenate([piece[k] for piece in pieces]) for k in range(3))
    parent, prior = (
        np.concatenate(
            [np.where(piece[k] < 0, -1, piece[k] + start) for piece, start in zip(pieces, starts, strict=False)]
        )
        for k in (3, 4)
    )
    order = np.argsort(offset, kind="stable")  # equal times keep the order of the trace: a place before its cancel
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    parent, prior = (np.where(link < 0, -1, number[link])[order] for link in (parent, prior))
    return Schedule(trace, offset[order], row[order], session[order], parent, prior, sessions)


def notionals(trace: Trace) -> pa.Array:
    """Price × quantity of each row of the trace as decimal128(38, 8); null where the row has no price or quantity."""
    value: list[Decimal | None] = []
    columns = (trace.table[name].to_pylist() for name in ("symbol", "price_ticks", "qty_lots"))
    with localcontext(prec=76):
        for symbol, price, qty in zip(*columns, strict=True):
            grid = trace.grid[symbol]
            exact = None if price is None or qty is None else (price * grid.tick) * (qty * grid.lot)
            value.append(None if exact is None else exact.quantize(_CENT8, ROUND_HALF_EVEN))
    try:
        return pa.array(value, NOTIONAL)
    except pa.ArrowInvalid as error:
        raise DefinitionError(trace.name, f"a price times its quantity is beyond 38 digits ({error})") from error


def to_table(schedule: Schedule, run_id: str, start_ns: int) -> pa.Table:
    """The schedule as it stands on disk: kind, session, key, notional, intended_ns; row n is op_id `<run_id>-<n>`."""
    rows = pa.array(schedule.row)
    source = schedule.trace.table.combine_chunks()
    accounts = pa.array([schedule.account(session) for session in range(schedule.sessions)])
    table = pa.table(
        {
            "kind": source["op"].dictionary_encode().take(rows),
            "session": pa.DictionaryArray.from_arrays(pa.array(schedule.session, pa.int32()), accounts),
            "key": source["symbol"].dictionary_encode().take(rows),
            "notional": notionals(schedule.trace).take(rows),
            "intended_ns": schedule.offset_ns + start_ns,
        }
    )
    return table.replace_schema_metadata({b"run_id": run_id.encode(), b"start_ns": str(start_ns).encode()})


def write(schedule: Schedule, path: Path, run_id: str, start_ns: int) -> None:
    """Write `to_table` as an Arrow IPC file that readers may map into memory."""
    table = to_table(schedule, run_id, start_ns).unify_dictionaries()
    temporary = path.with_name(path.name + ".tmp")
    with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    temporary.replace(path)
