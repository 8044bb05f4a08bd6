"""What makes a trace consistent: vectorised over all rows, explained for the first one that is not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from loadgen.trace_links import Flags, orders, priors
from loadgen.trace_schema import KINDS, LINKS, OF_ORDERS, SCHEMA, Ints

if TYPE_CHECKING:
    from loadgen.trace import Trace

SESSIONS = 1_000_000
"""Sessions a trace may have; a larger number is a mistake in the recording, not a client."""
FOLLOWS = ("cancel", "amend")
"""Kinds that name an order."""
_REQUIRED = [field.name for field in SCHEMA if not field.nullable]


def first_problem(trace: Trace) -> str | None:
    """What is wrong with a trace, naming the first row (0-based), or None."""
    table = trace.table
    if not table.num_rows:
        return "holds no operation"
    for name in _REQUIRED:
        if table[name].null_count:
            return f"row {pc.index(pc.is_null(table[name]), True).as_py()}: no {name}"
    t_ns = trace.ints("t_ns")
    if int(t_ns[0]) < 0:
        return f"row 0: t_ns {t_ns[0]} is below 0"
    back = np.flatnonzero(np.diff(t_ns) < 0)
    if back.size:
        return f"row {back[0] + 1}: t_ns {t_ns[back[0] + 1]} is before the row above"
    if int(t_ns[-1]) >= trace.duration_ns:
        return f"row {len(t_ns) - 1}: t_ns {t_ns[-1]} is not within duration_ns {trace.duration_ns}"
    return _row_problem(trace)


class Content(NamedTuple):
    """What one operation says, without when and by whom; price and quantity in any unit."""

    op: str
    side: str | None
    type: str | None
    tif: str | None
    price_ticks: int | None
    qty_lots: int | None
    client_id: str | None
    payload: bytes | None


def own_problem(content: Content) -> str | None:
    """What is wrong with one operation on its own; None where nothing is."""
    op, side, type_, tif, price, qty, client_id, payload = content
    if op == "place":
        return _place_problem(side, type_, tif, price, qty) or ("no client_id" if client_id is None else None)
    if op not in KINDS:
        return f"not one of {', '.join(KINDS)}"
    if op not in FOLLOWS:
        return payload_problem(payload)
    if op == "amend" and ((price is None and qty is None) or any(n is not None and n <= 0 for n in (price, qty))):
        return f"price_ticks {price}, qty_lots {qty}"
    return None


def payload_problem(payload: bytes | None) -> str | None:
    """What is wrong with the content of a withdraw, transfer, request or read; None where it can be sent again."""
    if payload is None:
        return "no payload"
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return "its payload is not JSON"
    if isinstance(value, dict):
        if isinstance(value.get("message"), str):
            return None
        headers = value.get("headers", {})
        texts = [value.get("method"), value.get("path"), value.get("body", ""), *_items(headers)]
        if isinstance(headers, dict) and all(isinstance(text, str) for text in texts):
            return None
    return "its payload is neither a message nor a method and a path"


def _items(headers: Any) -> Iterable[Any]:  # noqa: ANN401 - whatever a payload holds
    return headers.values() if isinstance(headers, dict) else ()


def _place_problem(
    side: str | None, type_: str | None, tif: str | None, price: int | None, qty: int | None
) -> str | None:
    if side not in ("Buy", "Sell"):
        return f"side {side}, not Buy or Sell"
    if type_ not in ("Limit", "Market") or tif not in ("GTC", "IOC", "PostOnly"):
        return f"type {type_} with tif {tif}"
    if (type_ == "Limit") != (price is not None) or (price is not None and price <= 0):
        return f"price_ticks {price} of a {type_} order"
    return None if qty is not None and qty > 0 else f"qty_lots {qty}"


def _row_problem(trace: Trace) -> str | None:
    again, parent = orders(trace.table)
    bad = again | _alone(trace) | _unlinked(trace, parent)
    row = int(np.argmax(bad))
    return f"row {row}: {_explain(trace, row, bool(again[row]), parent)}" if bad[row] else None


def _one_of(trace: Trace, name: str, words: Iterable[str]) -> Flags:
    codes, known = trace.codes(name)
    # one place more for null, which is code -1
    return np.array([*(word in words for word in known), False], dtype=np.bool_)[codes]


def _alone(trace: Trace) -> Flags:
    """Rows that are wrong on their own."""
    table, session = trace.table, trace.ints("session")
    price, qty = trace.ints("price_ticks"), trace.ints("qty_lots")
    priced, sized = (pc.is_valid(table[name]).to_numpy() for name in ("price_ticks", "qty_lots"))
    of_order, place, limit = (
        _one_of(trace, "op", OF_ORDERS),
        _one_of(trace, "op", ("place",)),
        _one_of(trace, "type", ("Limit",)),
    )
    bad: Flags = (session < 0) | (session >= SESSIONS)
    bad |= ~_one_of(trace, "symbol", trace.grid) & (of_order | priced | sized)
    bad |= place & ~(
        _one_of(trace, "side", ("Buy", "Sell"))
        & _one_of(trace, "type", ("Limit", "Market"))
        & _one_of(trace, "tif", ("GTC", "IOC", "PostOnly"))
        & (limit == priced)
        & (~priced | (price > 0))
        & (qty > 0)
        & pc.is_valid(table["client_id"]).to_numpy()
    )
    amended = (priced | sized) & (~priced | (price > 0)) & (~sized | (qty > 0))
    bad |= _one_of(trace, "op", ("amend",)) & ~amended
    bad |= ~_one_of(trace, "op", KINDS)
    return bad | _unsendable(trace, ~of_order)


def _unsendable(trace: Trace, rows: Flags) -> Flags:
    """Of the rows given, those whose payload cannot be sent again."""
    bad = np.zeros(len(rows), dtype=np.bool_)
    at = np.flatnonzero(rows)
    for row, payload in zip(at.tolist(), trace.table["payload"].take(pa.array(at)), strict=True):
        bad[row] = payload_problem(payload.as_py()) is not None
    return bad


def _unlinked(trace: Trace, parent: Ints) -> Flags:
    """Cancels and amends that name no earlier order of their session and symbol, and rows whose links say otherwise."""
    follows = _one_of(trace, "op", FOLLOWS)
    bad: Flags = follows & ((parent < 0) | (parent >= np.arange(len(parent))))
    known = np.flatnonzero(follows & ~bad)
    named = parent[known]
    for column in (trace.ints("session"), trace.codes("symbol")[0]):
        bad[known] |= column[known] != column[named]
    parent = np.where(bad, -1, parent)
    for name, rows in zip(LINKS, (parent, priors(parent)), strict=True):
        bad |= trace.ints(name) != rows
    return bad


def _explain(trace: Trace, row: int, again: bool, parents: Ints) -> str:
    """The words for a row that was found wrong."""
    (value,) = trace.table.slice(row, 1).to_pylist()
    op, session = value["op"], value["session"]
    if not 0 <= session < SESSIONS:
        return f"session {session} is not within 0 to {SESSIONS - 1}"
    priced = value["price_ticks"] is not None or value["qty_lots"] is not None
    if value["symbol"] not in trace.grid and (op in OF_ORDERS or op not in KINDS or priced):
        return f"no tick and lot for symbol {value['symbol']}"
    content = Content(*(value[name] for name in Content._fields))
    why = own_problem(content) if op not in FOLLOWS else None
    if why is None and again:
        why = f"client_id {value['client_id']} a second time"
    if why is None and op in FOLLOWS:
        why = _chain_problem(trace, row, value, int(parents[row])) or own_problem(content)
    if why is None:
        why = f"parent_row {value['parent_row']} with prior_row {value['prior_row']}, not the rows of its order"
    return f"{op}: {why}"


def _chain_problem(trace: Trace, row: int, value: dict[str, Any], parent: int) -> str | None:
    if not 0 <= parent < row:
        return f"names order {value['parent']}, which no earlier row places"
    order = trace.table.slice(parent, 1).select(["session", "symbol"]).to_pylist()[0]
    if order != {"session": value["session"], "symbol": value["symbol"]}:
        return f"names order {value['parent']} of another session or symbol"
    return None
