"""Rows of any recording to a trace: numbering, the grid of each symbol, and the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import gcd
from typing import Any

import pyarrow as pa

from loadgen.trace import SCHEMA, Symbol, Trace

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
            **{key: pa.nulls(len(rows)) for key in ("dep", "rec_latency_us", "payload")},
        }
    )
    return Trace(
        name=name,
        table=table.select(SCHEMA.names).cast(SCHEMA),
        grid={
            symbol: Symbol(_decimal(ticks.get(symbol, 1)), _decimal(lots.get(symbol, 1))) for symbol in _symbols(rows)
        },
        provenance=provenance,
        duration_ns=span + (max(1, span // (len(rows) - 1)) if span else 1_000_000_000),
    )


_COPIED = ("account", "op", "symbol", "side", "type", "tif", "client_id", "parent", "rec_status")


def _symbols(rows: list[Row]) -> list[str]:
    return sorted({row.symbol for row in rows})


def _divisors(rows: list[Row], field: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        value = getattr(row, field)
        if value is not None:
            found[row.symbol] = gcd(found.get(row.symbol, 0), value)
    return found


def _decimal(units: int) -> Decimal:
    value = (Decimal(units) * UNIT).normalize()
    return value.quantize(Decimal(1)) if value == value.to_integral_value() else value
