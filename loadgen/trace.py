"""Recorded traffic: a trace, where one is found, and how it is read and written.

A trace is one Parquet file (zstd, delta-encoded). Each row is one intent of one client; prices and quantities are whole
numbers of ticks and lots, and the size of a tick and a lot of every symbol stands, as decimal strings, in the metadata
of the file together with where the traffic came from. Its columns are loaded when they are first used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from drills.errors import DefinitionError
from loadgen import trace_store
from loadgen.trace_check import first_problem
from loadgen.trace_links import linked
from loadgen.trace_schema import (
    KINDS,
    LINKS,
    OF_ORDERS,
    REPLAY_INTS,
    REPLAY_WORDS,
    SCHEMA,
    WORDS,
    Codes,
    Ints,
    Symbol,
    shaped,
)

__all__ = [
    "FORMAT",
    "KINDS",
    "OF_ORDERS",
    "SCHEMA",
    "WORDS",
    "Codes",
    "Ints",
    "Symbol",
    "Trace",
    "bundled",
    "first_problem",
    "of",
    "read",
    "resolve",
    "write",
]

FORMAT = trace_store.FORMAT


class Columns(Protocol):
    """Where the columns of a trace come from."""

    @property
    def rows(self) -> int:
        """How many rows there are."""

    def table(self, names: Sequence[str]) -> pa.Table:
        """The columns named, as SCHEMA types them."""

    def load(self, ints: Sequence[str], words: Sequence[str]) -> tuple[dict[str, Ints], dict[str, Codes]]:
        """Columns of whole numbers, with -1 for null, and columns of WORDS."""


class InMemory:
    """The columns of a table with SCHEMA."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return int(self._table.num_rows)

    def table(self, names: Sequence[str]) -> pa.Table:
        """The columns named."""
        return self._table.select(names)

    def load(self, ints: Sequence[str], words: Sequence[str]) -> tuple[dict[str, Ints], dict[str, Codes]]:
        """Columns of whole numbers, with -1 for null, and columns of WORDS."""
        numbers = {name: pc.fill_null(self._table[name], -1).to_numpy().astype(np.int64, copy=False) for name in ints}
        return numbers, {name: _coded(self._table[name]) for name in words}


def _coded(column: pa.ChunkedArray) -> Codes:
    coded = column.dictionary_encode().unify_dictionaries()
    words = coded.chunk(0).dictionary.to_pylist() if coded.num_chunks else []
    parts = [pc.fill_null(chunk.indices, -1).to_numpy() for chunk in coded.chunks]
    return np.concatenate([np.empty(0, dtype=np.int32), *parts]), words


class Trace:
    """Recorded traffic: `duration_ns` spans one repetition of it, `grid` has the tick and lot of every symbol.

    Columns are loaded when they are first asked for, then kept; a damaged page raises DefinitionError at that point.
    The arrays are shared: do not write to them.
    """

    def __init__(
        self, name: str, columns: Columns, grid: Mapping[str, Symbol], provenance: Mapping[str, Any], duration_ns: int
    ) -> None:
        self.name, self.grid, self.provenance, self.duration_ns = name, grid, provenance, duration_ns
        self._columns = columns
        self._table: pa.Table | None = None
        self._ints: dict[str, Ints] = {}
        self._codes: dict[str, Codes] = {}

    @property
    def rows(self) -> int:
        """Number of operations."""
        return self._columns.rows

    @property
    def sessions(self) -> int:
        """Number of sessions (1 + the highest session number; 0 for an empty trace)."""
        return int(self.ints("session").max()) + 1 if self.rows else 0

    @property
    def rate(self) -> float:
        """Operations per second of recorded time."""
        return self.rows / (self.duration_ns / 1e9)

    @property
    def table(self) -> pa.Table:
        """All columns, as SCHEMA has them."""
        if self._table is None:
            self._table = self._columns.table(SCHEMA.names)
        return self._table

    def column(self, name: str) -> pa.ChunkedArray:
        """One column, as SCHEMA types it; not kept unless the whole table is loaded."""
        return self.table[name] if self._table is not None else self._columns.table([name])[name]

    def ints(self, name: str) -> Ints:
        """A column of whole numbers; null is -1."""
        if name not in self._ints:
            self._load([name], [])
        return self._ints[name]

    def codes(self, name: str) -> Codes:
        """A column of WORDS (account, op, symbol, side, type, tif, rec_status): codes, null -1, and their words."""
        if name not in self._codes:
            self._load([], [name])
        return self._codes[name]

    def load(self) -> None:
        """Load at once what a replay of orders needs, on all cores."""
        self._load(
            [name for name in REPLAY_INTS if name not in self._ints],
            [name for name in REPLAY_WORDS if name not in self._codes],
        )

    def _load(self, ints: Sequence[str], words: Sequence[str]) -> None:
        numbers, codes = self._columns.load(ints, words)
        self._ints |= numbers
        self._codes |= codes


def of(
    name: str, table: pa.Table, grid: Mapping[str, Symbol], provenance: Mapping[str, Any], duration_ns: int
) -> Trace:
    """A trace of a table in memory; columns may be in any order and of any type that casts to SCHEMA's.

    Where `parent_row` or `prior_row` is absent, both are computed from the client ids and parents: whoever adds, drops
    or moves rows leaves them out. Nothing else is checked: see `first_problem`.
    """
    links = all(link in table.column_names for link in LINKS)
    table = shaped(table, SCHEMA.names) if links else linked(table)
    return Trace(name, InMemory(table), grid, provenance, duration_ns)


def bundled() -> dict[str, Path]:
    """The traces that ship with the package: name to file."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "traces").glob("*.parquet"))}


def resolve(reference: str | Path) -> Path:
    """The file of a bundled name or a path; raises DefinitionError where there is neither."""
    path, names = Path(reference), bundled()
    if path.is_file():
        return path
    if str(reference) in names:
        return names[str(reference)]
    if path.is_dir():
        raise DefinitionError(str(reference), "is a folder, not a trace", hint="name a .parquet file")
    known = ", ".join(names) or "none"
    raise DefinitionError(str(reference), "no such trace", hint=f"write a path or a bundled name ({known})")


def read(reference: str | Path) -> Trace:
    """Open a trace by bundled name or path, with the columns that a replay needs.

    Every row of a file is checked, unless the file carries the mark of `write`, which checked them: then the checksums
    of its pages are, as far as they are read. Raises DefinitionError with one line (file, what is wrong, what to do)
    for a file that is missing, unreadable, truncated, not Parquet, not a trace, of a later format, or inconsistent.
    """
    place = str(reference)
    stored = trace_store.Stored(place, resolve(reference))
    meta, name = stored.meta, Path(reference).stem
    if stored.checked:
        trace = Trace(name, stored, meta.grid, meta.provenance, meta.duration_ns)
        trace.load()
        return trace
    try:
        trace = of(name, stored.all(), meta.grid, meta.provenance, meta.duration_ns)
    except pa.ArrowException as error:
        raise DefinitionError(place, f"has columns of other types ({error})", hint=trace_store.AGAIN) from error
    problem = first_problem(trace)
    if problem:
        raise DefinitionError(place, problem, hint=trace_store.AGAIN)
    return trace


def write(trace: Trace, path: Path) -> None:
    """Write a trace so that a reader sees the whole file or none; raises DefinitionError for an inconsistent one."""
    problem = first_problem(trace)
    if problem:
        raise DefinitionError(str(path), problem)
    meta = trace_store.Meta(trace.duration_ns, trace.grid, trace.provenance)
    trace_store.write([trace.table], path, meta)
