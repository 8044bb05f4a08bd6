"""Rows of any recording to a trace: numbering, the grid of each symbol, and the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import gcd
from typing import Any

import pyarrow as pa

from loadgen.trace import OF_ORDERS, Symbol, Trace, of

UNIT = Decimal("0.00000001")
"""Prices and quantities are collected as whole numbers of this, the finest step of any venue we know."""


def to_units(value: Decimal) -> int:
    """A decimal as a whole number of 1e-8; raises ValueError where it is finer, not finite, or not above zero."""
    if not value.is_finite() or value <= 0:
        raise ValueError(f"{value} is not above zero")
    units = value / UNIT
    if units != units.to_integral_value():
        raise ValueError(f"{value} has more than 8 decimal places")
    return int(units)


@dataclass(slots=True)
class Row:
    """One operation as an importer sees it; price8 and qty8 in units of 1e-8."""

    t_ns: int
    session: int
    account: str
    op: str
    symbol: str
    side: str | None = None
    type: str | None = None
    tif: str | None = None
    price8: int | None = None
    qty8: int | None = None
    client_id: str | None = None
    parent: str | None = None
    rec_status: str | None = None
    rec_latency_us: int | None = None
    payload: bytes | None = None


def build(name: str, rows: list[Row], provenance: Mapping[str, Any]) -> Trace:
    """Order the rows by time (equal times keep their order), start at zero, and put them on the grid.

    The tick and lot of a symbol are the greatest common divisors of the prices and quantities seen. The duration is the
    last row's time plus one mean gap (a second where all rows have one time), so that a repetition goes on at the same
    rate. `rows` must not be empty.
    """
    rows = sorted(rows, key=lambda row: row.t_ns)
    start = rows[0].t_ns
    span = rows[-1].t_ns - start
    ticks, lots = _divisors(rows, "price8"), _divisors(rows, "qty8")
    table = pa.table(
        {
            "op_id": [str(n) for n in range(len(rows))],
            "t_ns": [row.t_ns - start for row in rows],
            "session": [row.session for row in rows],
            "price_ticks": [row.price8 and row.price8 // ticks[row.symbol] for row in rows],
            "qty_lots": [row.qty8 and row.qty8 // lots[row.symbol] for row in rows],
            **{key: [getattr(row, key) for row in rows] for key in _COPIED},
            "dep": pa.nulls(len(rows)),
        }
    )
    grid = {symbol: on_grid(ticks.get(symbol, 1), lots.get(symbol, 1)) for symbol in sorted(_traded(rows))}
    return of(name, table, grid, provenance, duration_of(span, len(rows)))


def duration_of(span_ns: int, rows: int) -> int:
    """How long one repetition of a trace takes: its span and one mean gap; a second where all rows have one time."""
    return span_ns + (max(1, span_ns // (rows - 1)) if span_ns else 1_000_000_000)


_COPIED = (
    "account",
    "op",
    "symbol",
    "side",
    "type",
    "tif",
    "client_id",
    "parent",
    "rec_status",
    "rec_latency_us",
    "payload",
)


def _traded(rows: list[Row]) -> set[str]:
    return {row.symbol for row in rows if row.op in OF_ORDERS or row.price8 is not None or row.qty8 is not None}


def _divisors(rows: list[Row], field: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        value = getattr(row, field)
        if value is not None:
            found[row.symbol] = gcd(found.get(row.symbol, 0), value)
    return found


def on_grid(tick8: int, lot8: int) -> Symbol:
    """The grid of a symbol whose tick and lot are whole numbers of 1e-8."""
    return Symbol(_decimal(tick8), _decimal(lot8))


def _decimal(units: int) -> Decimal:
    value = (Decimal(units) * UNIT).normalize()
    return value.quantize(Decimal(1)) if value == value.to_integral_value() else value
