"""Recorded traffic: the schema of a trace, and its Parquet store.

A trace is one Parquet file (zstd, delta-encoded). Each row is one intent of one client; prices and quantities are whole
numbers of ticks and lots, and the size of a tick and a lot of every symbol stands, as decimal strings, in the metadata
of the file together with where the traffic came from.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from drills.errors import DefinitionError

FORMAT = 1
"""Version of the schema; a file of a later version is refused."""

SCHEMA = pa.schema(
    [
        pa.field("op_id", pa.string(), nullable=False),  # id of the recorded operation, unique
        pa.field("t_ns", pa.int64(), nullable=False),  # since the start of the recording, never decreasing
        pa.field("session", pa.int32(), nullable=False),  # 0.. ; one session is one client on one connection
        pa.field("account", pa.string(), nullable=False),  # who it was, or a pseudonym
        pa.field("op", pa.string(), nullable=False),  # place | cancel | amend
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("side", pa.string()),  # Buy | Sell; null where a cancel or amend does not say
        pa.field("type", pa.string()),  # Limit | Market
        pa.field("tif", pa.string()),  # GTC | IOC | PostOnly
        pa.field("price_ticks", pa.int64()),  # null for cancels and market orders
        pa.field("qty_lots", pa.int64()),  # null for cancels
        pa.field("client_id", pa.string()),  # of a place: the id the client gave its order, unique
        pa.field("parent", pa.string()),  # of a cancel or amend: the client_id of the order it names
        pa.field("dep", pa.string()),  # op_id that had to be answered first, where the recording knows
        pa.field("rec_status", pa.string()),  # what came of it when it was recorded
        pa.field("rec_latency_us", pa.int64()),  # answered after that long when it was recorded
        pa.field("payload", pa.binary()),  # the recorded message where it is kept
    ]
)
"""Columns of a trace."""

KINDS = ("place", "cancel", "amend")
_META = b"muster.trace"
_DELTA_INTS = ("t_ns", "session", "price_ticks", "qty_lots", "rec_latency_us")
_DELTA_STRINGS = ("op_id", "client_id", "parent", "dep")
_DICTIONARY = ["account", "op", "symbol", "side", "type", "tif", "rec_status"]


class Symbol(NamedTuple):
    """The grid of one symbol: the size of a tick (price) and of a lot (quantity)."""

    tick: Decimal
    lot: Decimal


@dataclass(frozen=True, slots=True)
class Trace:
    """A checked trace in memory: `table` has SCHEMA, `duration_ns` spans one repetition of it."""

    name: str
    table: pa.Table
    grid: Mapping[str, Symbol]
    provenance: Mapping[str, Any]
    duration_ns: int

    @property
    def sessions(self) -> int:
        """Number of sessions (1 + the highest session number; 0 for an empty trace)."""
        return int(pc.max(self.table["session"]).as_py()) + 1 if self.table.num_rows else 0

    @property
    def rate(self) -> float:
        """Operations per second of recorded time."""
        return int(self.table.num_rows) / (self.duration_ns / 1e9)


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
    """Open a trace by bundled name or path and check every row.

    Raises DefinitionError with one line (file, what is wrong, what to do) for a file that is missing, unreadable,
    truncated, not Parquet, not a trace, of a later format, or inconsistent.
    """
    path = resolve(reference)
    name = str(reference)
    try:
        table = pq.read_table(path, partitioning=None)
    except OSError as error:
        raise DefinitionError(name, _why_unreadable(path, error), hint="import or record it again") from error
    except pa.ArrowException as error:
        raise DefinitionError(name, _why_unreadable(path, error), hint="import or record it again") from error
    grid, meta = _metadata(name, table)
    trace = Trace(
        name=Path(reference).stem,
        table=table.select(SCHEMA.names).cast(SCHEMA),
        grid=grid,
        provenance=meta["provenance"],
        duration_ns=meta["duration_ns"],
    )
    problem = first_problem(trace)
    if problem:
        raise DefinitionError(name, problem, hint="import or record it again")
    return trace


def write(trace: Trace, path: Path) -> None:
    """Write a trace so that a reader sees the whole file or none; raises DefinitionError for an inconsistent one."""
    problem = first_problem(trace)
    if problem:
        raise DefinitionError(str(path), problem)
    meta = {
        "format": FORMAT,
        "duration_ns": trace.duration_ns,
        "grid": {name: {"tick": f"{g.tick:f}", "lot": f"{g.lot:f}"} for name, g in trace.grid.items()},
        "provenance": dict(trace.provenance),
    }
    table = trace.table.replace_schema_metadata({_META: orjson.dumps(meta)})
    encoding = {name: "DELTA_BINARY_PACKED" for name in _DELTA_INTS}
    encoding |= {name: "DELTA_BYTE_ARRAY" for name in _DELTA_STRINGS}
    temporary = path.with_name(path.name + ".tmp")
    try:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=12,
            use_dictionary=_DICTIONARY,
            column_encoding=encoding,
        )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _why_unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "may not be read: permission denied"
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(0, size - 4), os.SEEK_SET)
        tail = file.read(4)
    if not size:
        return "is empty"
    if head != b"PAR1":
        return "is not a Parquet file"
    if tail != b"PAR1":
        return f"is truncated: its {size} bytes lack the end of a Parquet file"
    return "is corrupt: " + str(error).splitlines()[0][:160]


def _metadata(name: str, table: pa.Table) -> tuple[dict[str, Symbol], dict[str, Any]]:
    raw = (table.schema.metadata or {}).get(_META)
    missing = [field.name for field in SCHEMA if field.name not in table.column_names]
    if raw is None or missing:
        why = f"it lacks {', '.join(missing)}" if missing else "it has no muster.trace metadata"
        raise DefinitionError(name, f"is Parquet, but not a trace: {why}", hint="make one with muster trace import")
    try:
        meta = orjson.loads(raw)
        if meta["format"] > FORMAT:
            raise DefinitionError(
                name, f"has trace format {meta['format']}, this version reads {FORMAT}", hint="update muster"
            )
        grid = {symbol: Symbol(Decimal(g["tick"]), Decimal(g["lot"])) for symbol, g in meta["grid"].items()}
        if any(not size.is_finite() or size <= 0 for symbol in grid.values() for size in symbol):
            raise ValueError("a tick or lot is not above zero")
        if not (
            isinstance(meta["duration_ns"], int) and meta["duration_ns"] > 0 and isinstance(meta["provenance"], dict)
        ):
            raise ValueError("duration or provenance")
        table.select(SCHEMA.names).cast(SCHEMA)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, pa.ArrowException) as error:
        raise DefinitionError(
            name, f"has damaged trace metadata ({error})", hint="import or record it again"
        ) from error
    return grid, meta


def first_problem(trace: Trace) -> str | None:
    """What is wrong with a trace, naming the first row (0-based), or None."""
    table = trace.table
    if not table.num_rows:
        return "holds no operation"
    for name in ("op_id", "t_ns", "session", "account", "op", "symbol"):
        if table[name].null_count:
            return f"row {pc.index(pc.is_null(table[name]), True).as_py()}: no {name}"
    t_ns = table["t_ns"].to_numpy()
    if int(t_ns[0]) < 0:
        return f"row 0: t_ns {t_ns[0]} is below 0"
    back = np.flatnonzero(np.diff(t_ns) < 0)
    if back.size:
        return f"row {back[0] + 1}: t_ns {t_ns[back[0] + 1]} is before the row above"
    if int(t_ns[-1]) >= trace.duration_ns:
        return f"row {len(t_ns) - 1}: t_ns {t_ns[-1]} is not within duration_ns {trace.duration_ns}"
    return _row_problem(trace)


def _row_problem(trace: Trace) -> str | None:
    names = ("op", "symbol", "session", "side", "type", "tif", "price_ticks", "qty_lots", "client_id", "parent")
    columns = [trace.table[name].to_pylist() for name in names]
    orders: dict[str, tuple[int, str]] = {}  # client id -> session, symbol
    for row, (op, symbol, session, side, type_, tif, price, qty, client_id, parent) in enumerate(
        zip(*columns, strict=True)
    ):
        if symbol not in trace.grid:
            return f"row {row}: no tick and lot for symbol {symbol}"
        if op == "place":
            why = _place_problem(side, type_, tif, price, qty)
            if why is None and (client_id is None or client_id in orders):
                why = "no client_id" if client_id is None else f"client_id {client_id} a second time"
            orders[client_id] = (session, symbol)
        else:
            why = _follow_problem(op, parent, orders.get(parent), (session, symbol), price, qty)
        if why:
            return f"row {row}: {op}: {why}"
    return None


def _place_problem(side: str, type_: str, tif: str, price: int | None, qty: int | None) -> str | None:
    if side not in ("Buy", "Sell"):
        return f"side {side}, not Buy or Sell"
    if type_ not in ("Limit", "Market") or tif not in ("GTC", "IOC", "PostOnly"):
        return f"type {type_} with tif {tif}"
    if (type_ == "Limit") != (price is not None) or (price is not None and price <= 0):
        return f"price_ticks {price} of a {type_} order"
    return None if qty is not None and qty > 0 else f"qty_lots {qty}"


def _follow_problem(
    op: str, parent: str, order: tuple[int, str] | None, own: tuple[int, str], price: int | None, qty: int | None
) -> str | None:
    if op not in KINDS:
        return f"not one of {', '.join(KINDS)}"
    if order is None:
        return f"names order {parent}, which no earlier row places"
    if order != own:
        return f"names order {parent} of another session or symbol"
    if op == "amend" and ((price is None and qty is None) or (price or 1) <= 0 or (qty or 1) <= 0):
        return f"price_ticks {price}, qty_lots {qty}"
    return None
