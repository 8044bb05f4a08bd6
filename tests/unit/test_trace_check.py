"""The check of all rows at once says what a plain walk over the rows says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen import trace

GRID = {"AUSDT": trace.Symbol(Decimal(1), Decimal(1)), "BUSDT": trace.Symbol(Decimal(1), Decimal(1))}
DULL = {"account": "a", "dep": None, "rec_status": None, "rec_latency_us": None}


def mostly(*values: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - values of any column
    """The first value nine times of ten."""
    return st.integers(0, 9).flatmap(lambda n: st.sampled_from(values) if n == 0 else st.just(values[0]))


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 12))):
        op = draw(mostly(draw(st.sampled_from(["place", "cancel", "amend", "read"])), "jump"))
        place, follow = op == "place", op in ("cancel", "amend")
        type_ = draw(mostly("Limit", "Market", None, "Stop")) if place else None
        price = draw(mostly(5 if type_ == "Limit" else None, None, 0, -1, 7)) if place or op == "amend" else None
        parent = draw(mostly(f"c{draw(st.integers(0, max(0, number - 1)))}", None, "older")) if follow else None
        row = {
            **DULL,
            "op_id": str(number),
            "t_ns": number,
            "session": draw(mostly(0, 1, -1)),
            "op": op,
            "symbol": draw(mostly("AUSDT", "BUSDT", "ZUSDT", "")) if op != "read" else "",
            "side": draw(mostly("Buy", "Sell", None, "buy")) if place else None,
            "type": type_,
            "tif": draw(mostly("GTC", "IOC", "FOK", None)) if place else None,
            "price_ticks": price,
            "qty_lots": draw(mostly(3, None, 0, -1)) if place or op == "amend" else None,
            "client_id": draw(mostly(f"c{number}", "c0", None)) if place else None,
            "parent": parent,
            "payload": draw(mostly(b'{"message": "x"}', None, b"x")) if op == "read" else None,
        }
        made.append(row)
    return made


def bad_rows(table: list[dict[str, Any]]) -> int | None:
    """The first row that is wrong, by the plainest means."""
    orders: dict[Any, tuple[int, str]] = {}
    for number, row in enumerate(table):
        op, price, qty, own = row["op"], row["price_ticks"], row["qty_lots"], (row["session"], row["symbol"])
        good = row["session"] >= 0 and op in trace.KINDS
        if op in trace.OF_ORDERS or price is not None or qty is not None:
            good = good and row["symbol"] in GRID
        if op == "place":
            good = good and row["side"] in ("Buy", "Sell") and row["tif"] in ("GTC", "IOC", "PostOnly")
            good = good and row["type"] in ("Limit", "Market") and (price is not None) == (row["type"] == "Limit")
            good = good and (price is None or price > 0) and qty is not None and qty > 0
            good = good and row["client_id"] is not None and row["client_id"] not in orders
            orders.setdefault(row["client_id"], own)
        elif op in ("cancel", "amend"):
            good = good and row["parent"] is not None and orders.get(row["parent"]) == own
            if op == "amend":
                good = good and (price, qty) != (None, None) and all(n is None or n > 0 for n in (price, qty))
        else:
            good = good and row["payload"] == b'{"message": "x"}'
        if not good:
            return number
    return None


@settings(max_examples=500, deadline=None)
@given(rows())
def test_the_first_wrong_row_is_found(table: list[dict[str, Any]]) -> None:
    fields = [trace.SCHEMA.field(name) for name in trace.SCHEMA.names[:-2]]
    made = trace.of("t", pa.Table.from_pylist(table, pa.schema(fields)), GRID, {}, len(table))
    problem, row = trace.first_problem(made), bad_rows(table)
    assert (problem is None) == (row is None)
    if problem is not None:
        assert problem.startswith(f"row {row}: ")
        assert "not the rows of its order" not in problem
