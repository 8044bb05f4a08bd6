"""Rows of any recording to the file of a trace, in memory that does not grow with the recording.

Rows are put in order in a window, linked to their orders, and spooled; when the last one is known, and with it the grid
of every symbol, the spool becomes the trace. The spool and the table of orders are files beside the target that have no
name any more while they are used: whatever ends the process, they are gone.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from math import gcd
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from drills.errors import DefinitionError
from loadgen import trace_store
from loadgen.builder import Row, duration_of, on_grid
from loadgen.order_index import Order, OrderIndex
from loadgen.trace_check import FOLLOWS, SESSIONS, Content, own_problem
from loadgen.trace_schema import KINDS, LINKS, OF_ORDERS, SCHEMA, WORDS

WINDOW = 65_536
"""Rows by which one may come late and still be put in order."""
_WINDOW_BYTES = 64 << 20  # of payloads: a window of large ones is shorter
_GROUP_BYTES = 128 << 20
_LARGEST = 2**61  # a span of such times, and a gap, is within 64 bits
_SHOWN = 5
_ORPHAN = "names an order that was not placed before"
_INTS = ("t_ns", "session", "price8", "qty8", "rec_latency_us", "parent_row", "prior_row")
_TEXTS = ("client_id", "parent")
_SPOOL = pa.schema(
    [
        *((name, pa.int64()) for name in _INTS),
        *((name, pa.int32()) for name in WORDS),
        *((name, pa.string()) for name in _TEXTS),
        ("payload", pa.binary()),
    ]
)


@dataclass(slots=True)
class Collected:
    """What became of the rows; every one of them is in `rows` or in `left_out`."""

    rows: int = 0
    kinds: Counter[str] = field(default_factory=Counter)  # of the rows in the trace
    span_ns: int = 0  # from the first to the last
    orphans: int = 0  # cancels and amends of orders that nobody placed before
    first_orphans: list[str] = field(default_factory=list)
    moved: int = 0  # rows too late for their place: put at the time of the row before
    left_out: Counter[str] = field(default_factory=Counter)  # rows by reason, orphans among them
    examples: dict[str, list[str]] = field(default_factory=dict)  # of each reason, the first few

    def leave_out(self, reason: str, example: str) -> None:
        """Count a row that is not in the trace."""
        self.left_out[reason] += 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < _SHOWN:
            shown.append(example)


class Collector:
    """Collects rows into a trace at `path`; use it in a `with` statement, which ends it whatever happens.

    Raises DefinitionError where the disk gives out. Nothing is at `path` before `finish` has returned.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._made = Collected()
        self._window: list[tuple[int, Row]] = []
        self._bytes = 0
        self._start, self._end = 0, 0  # of what is in the trace
        self._last = -(2**63)  # of what left the window
        self._words: dict[str, dict[str, int]] = {name: {} for name in WORDS}
        self._divisors: dict[str, tuple[int, int]] = {}  # symbol -> gcd of its prices, of its quantities
        self._open = ExitStack()
        with self._told():
            spool = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - the stack closes it
            self._spool = self._open.enter_context(spool)
            self._stream = pa.ipc.new_stream(self._spool, _SPOOL, options=pa.ipc.IpcWriteOptions(compression="lz4"))
            self._orders = self._open.enter_context(closing(OrderIndex(path.parent)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the spool; what was not finished is lost."""
        self._window.clear()
        self._open.close()

    def add(self, row: Row) -> None:
        """Take one row; `t_ns` counts from any origin, and rows come nearly in order."""
        why = _unusable(row)
        if why:
            self._made.leave_out(*why)
            return
        t_ns = row.t_ns
        if t_ns < self._last:
            t_ns = self._last
            self._made.moved += 1
        self._window.append((t_ns, row))
        self._bytes += len(row.payload or b"")
        if len(self._window) >= 2 * WINDOW or self._bytes >= _WINDOW_BYTES:
            self._settle((len(self._window) + 1) // 2)

    def finish(self, provenance: Mapping[str, Any]) -> Collected:
        """Write the trace, unless there is no row; returns what became of the rows."""
        while self._window:
            self._settle(min(WINDOW, len(self._window)))
        made = self._made
        made.span_ns = self._end - self._start
        grid = {symbol: on_grid(tick or 1, lot or 1) for symbol, (tick, lot) in sorted(self._divisors.items())}
        with self._told():
            self._stream.close()
            if made.rows:
                self._spool.seek(0)
                meta = trace_store.Meta(duration_of(made.span_ns, made.rows), grid, provenance)
                trace_store.write(self._groups(), self._path, meta)
        self.close()
        return made

    # -- from the window to the spool --------------------------------------------------------------------------------

    def _settle(self, count: int) -> None:
        """Link and spool the `count` earliest rows of the window."""
        self._window.sort(key=itemgetter(0))
        rows, self._window = self._window[:count], self._window[count:]
        self._bytes = sum(len(row.payload or b"") for _, row in self._window)
        with self._told():
            known = self._orders.known({_order_of(row) for _, row in rows if row.op in OF_ORDERS})
            kept = [entry for t_ns, row in rows if (entry := self._linked(t_ns, row, known))]
            self._orders.keep(known)
            if kept:
                self._stream.write_batch(self._batch(kept))
        self._last = rows[-1][0]

    def _linked(self, t_ns: int, row: Row, known: dict[str, Order]) -> _Linked | None:
        """The row as it goes to the spool; None where it is left out."""
        name, links, symbol = _order_of(row), (-1, -1), row.symbol
        order = known.get(name)
        why = _misplaced(row, order)
        if why:
            self._leave_out(why, row, name)
            return None
        if row.op == "place":
            known[name] = Order(self._made.rows, self._made.rows, row.session, symbol)
        elif order and row.op in FOLLOWS:
            links, symbol = (order.row, order.latest), order.symbol
            order.latest = self._made.rows
        self._count(t_ns, row, symbol)
        return t_ns - self._start, row, symbol, links

    def _leave_out(self, why: str, row: Row, order: str) -> None:
        made = self._made
        made.leave_out(why, order)
        if why == _ORPHAN:
            made.orphans += 1
            made.first_orphans += [f"{row.op} of {order}"][: _SHOWN - len(made.first_orphans)]

    def _count(self, t_ns: int, row: Row, symbol: str) -> None:
        made = self._made
        if not made.rows:
            self._start = t_ns
        self._end = t_ns
        made.rows += 1
        made.kinds[row.op] += 1
        if row.op in OF_ORDERS or row.price8 is not None or row.qty8 is not None:
            tick, lot = self._divisors.get(symbol, (0, 0))
            self._divisors[symbol] = gcd(tick, row.price8 or 0), gcd(lot, row.qty8 or 0)

    def _batch(self, kept: list[_Linked]) -> pa.RecordBatch:
        times, rows, symbols, links = zip(*kept, strict=True)
        columns: dict[str, Any] = {"t_ns": times, "session": [row.session for row in rows]}
        columns |= {name: [getattr(row, name) for row in rows] for name in ("price8", "qty8", "payload")}
        columns["rec_latency_us"] = [_latency(row) for row in rows]
        columns["parent_row"], columns["prior_row"] = zip(*links, strict=True)
        for name, codes in self._words.items():
            words = symbols if name == "symbol" else [getattr(row, name) for row in rows]
            columns[name] = [None if word is None else codes.setdefault(word, len(codes)) for word in words]
        columns |= {name: _texts([getattr(row, name) for row in rows]) for name in _TEXTS}
        return pa.record_batch([pa.array(columns[field.name], field.type) for field in _SPOOL], schema=_SPOOL)

    # -- from the spool to the file ----------------------------------------------------------------------------------

    def _groups(self) -> Iterator[pa.Table]:
        """The spool as tables of one row group each."""
        words = {name: _texts(list(codes)) for name, codes in self._words.items()}
        waiting: list[pa.RecordBatch] = []
        done = rows = size = 0
        for batch in pa.ipc.open_stream(self._spool):
            waiting.append(batch)
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows >= trace_store.ROW_GROUP or size >= _GROUP_BYTES:
                whole = pa.Table.from_batches(waiting)
                yield self._finished(whole.slice(0, trace_store.ROW_GROUP), done, words)
                rest = whole.slice(trace_store.ROW_GROUP)
                done += rows - rest.num_rows
                waiting, rows, size = rest.to_batches(), rest.num_rows, rest.nbytes
        if waiting:
            yield self._finished(pa.Table.from_batches(waiting), done, words)

    def _finished(self, spooled: pa.Table, first: int, words: Mapping[str, pa.Array]) -> pa.Table:
        """Rows of the spool as rows of the trace: on the grid, with their numbers and words."""
        columns = {name: spooled[name] for name in SCHEMA.names if name in spooled.column_names}
        columns["op_id"] = pa.array(np.arange(first, first + len(spooled))).cast(pa.string())
        columns["dep"] = pa.nulls(len(spooled), pa.string())
        for name in LINKS:
            links = spooled[name].to_numpy()
            columns[name] = pa.array(links, mask=links < 0)
        sizes = np.array([self._divisors.get(symbol, (0, 0)) for symbol in self._words["symbol"]], dtype=np.int64)
        of_row = np.maximum(sizes, 1)[spooled["symbol"].to_numpy()]
        for at, (name, units) in enumerate((("price_ticks", "price8"), ("qty_lots", "qty8"))):
            columns[name] = pc.divide(spooled[units], pa.array(of_row[:, at]))
        for name, known in words.items():
            codes = spooled[name].combine_chunks()
            columns[name] = pa.chunked_array([pa.DictionaryArray.from_arrays(codes, known)])
        return pa.table({name: columns[name] for name in SCHEMA.names})

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error, pa.ArrowException) as error:
            self.close()
            why = error.strerror if isinstance(error, OSError) else error
            raise DefinitionError(str(self._path), f"cannot be written: {why or error}") from error


_Linked = tuple[int, Row, str, tuple[int, int]]
"""A row with its time since the first, its symbol, and its parent_row and prior_row."""


def _order_of(row: Row) -> str:
    return (row.client_id if row.op == "place" else row.parent) or ""


def _misplaced(row: Row, order: Order | None) -> str | None:
    """Why a row cannot stand behind those before it; `order` is what is known by its client id, or the one it names."""
    if row.op == "place":
        return "client id a second time" if order else None
    if row.op not in FOLLOWS:
        return None
    if order is None:
        return _ORPHAN
    own = order.session == row.session and row.symbol in ("", order.symbol)
    return None if own else "names an order of another session or symbol"


def _unusable(row: Row) -> tuple[str, str] | None:
    """Why a row cannot stand in any trace: the reason it is counted under, and what it says itself."""
    if row.op not in KINDS:
        return "an operation of no known kind", row.op
    if not 0 <= row.session < SESSIONS:
        return f"a session that is not within 0 to {SESSIONS - 1}", str(row.session)
    largest = max(abs(row.t_ns), abs(row.price8 or 0), abs(row.qty8 or 0))
    if largest >= _LARGEST:
        return "a number beyond all measure", str(largest)
    content = Content(row.op, row.side, row.type, row.tif, row.price8, row.qty8, row.client_id, row.payload)
    why = own_problem(content)
    return (f"an unusable {row.op}", why) if why else None


def _latency(row: Row) -> int | None:
    latency = row.rec_latency_us
    return latency if latency is not None and 0 <= latency < _LARGEST else None


def _texts(values: list[str | None]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:  # half a surrogate pair, as JSON may hold it
        made = [value and value.encode("utf-8", "backslashreplace").decode() for value in values]
        return pa.array(made, pa.string())
