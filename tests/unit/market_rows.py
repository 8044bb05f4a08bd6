"""Small traces for the tests of transforms and models: by hand, and drawn by hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from loadgen import transform
from loadgen.builder import Row, build
from loadgen.trace import Trace

SECOND = 1_000_000_000
COIN = 100_000_000
"""A price or quantity of one, in units of 1e-8."""


def place(at: float, name: str, side: str, price: int | None, lots: int = 1, **fields: object) -> Row:
    """An order of session 0 for BTCUSDT; without a price it is a market order."""
    row = Row(round(at * SECOND), 0, "acct-0", "place", "BTCUSDT", side, "Limit", "GTC", client_id=name)
    row.qty8 = lots * COIN
    if price is None:
        row.type, row.tif = "Market", "IOC"
    else:
        row.price8 = price * COIN
    for key, value in fields.items():
        setattr(row, key, value)
    return row


def cancel(at: float, name: str, **fields: object) -> Row:
    """A cancel of an order of session 0."""
    row = Row(round(at * SECOND), 0, "acct-0", "cancel", "BTCUSDT", parent=name)
    for key, value in fields.items():
        setattr(row, key, value)
    return row


def amend(at: float, name: str, price: int | None = None, lots: int | None = None) -> Row:
    """An amend of an order of session 0."""
    row = Row(round(at * SECOND), 0, "acct-0", "amend", "BTCUSDT", parent=name)
    row.price8, row.qty8 = price and price * COIN, lots and lots * COIN
    return row


def traced(*rows: Row, end: float | None = None) -> Trace:
    """A trace of the rows that starts at 0; a request that reads stands there and holds the start."""
    first = Row(0, 0, "acct-0", "read", "", payload=b'{"method": "GET", "path": "/time"}')
    made = build("small", [first, *rows], {"from": "test"})
    if end is not None:
        made.duration_ns = round(end * SECOND)
    return made


def changed(trace: Trace, *steps: dict[str, Any]) -> Trace:
    """The trace behind the steps."""
    return transform.apply(trace, transform.parse(list(steps), "test"))


def shape(trace: Trace) -> list[tuple[float, str, str]]:
    """Seconds, kind, and client id or parent of each row; reads are left out."""
    rows = trace.table.to_pylist()
    return [(r["t_ns"] / SECOND, r["op"], r["client_id"] or r["parent"]) for r in rows if r["op"] != "read"]


@st.composite
def traces(draw: st.DrawFn, most: int = 40) -> Trace:
    """Traces of a few sessions and two symbols over some seconds, with orders at many prices, and reads between."""
    rows: list[Row] = []
    orders: list[Row] = []
    for number in range(draw(st.integers(8, most))):
        at = (rows[-1].t_ns if rows else 0) + draw(st.sampled_from([0, 1, SECOND // 20, SECOND // 5, SECOND // 2]))
        kind = draw(st.sampled_from(["place", "place", "cancel", "amend", "read"]))
        if kind == "read":
            rows.append(Row(at, 0, "acct-0", "read", "", payload=b'{"message": "ping"}'))
        elif kind == "place" or not orders:
            side, price = draw(st.sampled_from(["Buy", "Sell"])), draw(st.none() | st.integers(90, 110))
            row = place(0, f"c{number}", side, price, draw(st.integers(1, 3)), t_ns=at)
            row.session = draw(st.integers(0, 3))
            row.account = f"acct-{row.session}"
            row.symbol = draw(st.sampled_from(["BTCUSDT", "ETHUSDT"]))
            row.tif = row.tif if price is None else draw(st.sampled_from(["GTC", "PostOnly", "IOC"]))
            rows.append(row)
            orders.append(row)
        else:
            order = draw(st.sampled_from(orders))
            row = Row(at, order.session, order.account, kind, order.symbol, parent=order.client_id)
            if kind == "amend":
                row.price8, row.qty8 = draw(st.integers(90, 110)) * COIN, draw(st.integers(1, 3)) * COIN
            rows.append(row)
    dense = {old: new for new, old in enumerate(sorted({row.session for row in rows}))}
    for row in rows:
        row.session = dense[row.session]
    made = build("drawn", rows, {"from": "test"})
    made.duration_ns = max(made.duration_ns, draw(st.sampled_from([0, 9])) * SECOND)
    return made
