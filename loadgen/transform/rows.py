"""Rows of a trace on their way to another: taken, copied, joined, and put in order again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loadgen import trace as store
from loadgen.trace import SCHEMA, Trace
from loadgen.trace_links import priors as prior_rows
from loadgen.transform.base import Ints, Mask, noted

_MADE = ("op_id", "t_ns", "session", "parent", "dep", "parent_row", "prior_row")
_KEPT = [name for name in SCHEMA.names if name not in _MADE]


@dataclass(frozen=True, slots=True)
class Draft:
    """Rows in any order of time; `parent` and `dep` count within the rows (-1: none).

    `table` has the columns of a trace but those that follow from the arrays and from the final order.
    """

    table: pa.Table
    t_ns: Ints
    session: Ints
    parent: Ints
    dep: Ints

    def __len__(self) -> int:
        return len(self.t_ns)


def draft(trace: Trace) -> Draft:
    """All rows of a trace."""
    dep = np.full(trace.rows, -1, dtype=np.int64)
    named = trace.table["dep"]
    if named.null_count < trace.rows:
        found = pc.index_in(named, value_set=trace.table["op_id"].combine_chunks())
        dep = pc.fill_null(found, -1).to_numpy().astype(np.int64)
    table = trace.table.select(_KEPT).combine_chunks()
    return Draft(table, trace.ints("t_ns"), trace.ints("session"), trace.ints("parent_row"), dep)


def linked(rows: Draft, keep: Mask) -> Mask:
    """`keep` without the cancels and amends whose order is not kept."""
    return keep & ((rows.parent < 0) | keep[rows.parent])


def taken(rows: Draft, chosen: Ints) -> Draft:
    """The chosen rows, each at most once, in that order; a link to a row that is not chosen becomes -1."""
    position = np.full(len(rows) + 1, -1, dtype=np.int64)  # the last entry serves link -1
    position[chosen] = np.arange(len(chosen))
    return Draft(
        rows.table.take(pa.array(chosen)),
        rows.t_ns[chosen],
        rows.session[chosen],
        position[rows.parent[chosen]],
        position[rows.dep[chosen]],
    )


def joined(*pieces: Draft) -> Draft:
    """The pieces one after the other; their links must count within the whole already."""
    return Draft(
        pa.concat_tables([piece.table for piece in pieces]).combine_chunks(),
        *(np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("t_ns", "session", "parent", "dep")),
    )


def copied(rows: Draft, chosen: Ints, t_ns: Ints, parent: Ints, **columns: pa.Array | None) -> Draft:
    """The chosen rows again, as operations of their own: nothing of what came of them when they were recorded.

    `columns` replaces columns of the table; None empties one.
    """
    table = rows.table.take(pa.array(chosen))
    for name, values in {"rec_status": None, "rec_latency_us": None, **columns}.items():
        type_ = SCHEMA.field(name).type
        made = pa.nulls(len(chosen), type_) if values is None else values.cast(type_)
        table = table.set_column(table.schema.get_field_index(name), SCHEMA.field(name), made)
    return Draft(table, t_ns, rows.session[chosen], parent, np.full(len(chosen), -1, dtype=np.int64))


def cancels(rows: Draft, orders: Ints, t_ns: Ints, parent: Ints) -> Draft:
    """New cancels of the orders that the rows `orders` place."""
    empty = ("side", "type", "tif", "price_ticks", "qty_lots", "client_id", "payload")
    kind = pa.array(["cancel"] * len(orders), pa.string())
    return copied(rows, orders, t_ns, parent, op=kind, **dict.fromkeys(empty))


def suffixed(names: pa.ChunkedArray, suffix: str | pa.Array) -> pa.Array:
    """Each name with the suffix, or with one each; null stays null."""
    return pc.binary_join_element_wise(names.combine_chunks().cast(pa.string()), suffix, "")


def fresh(trace: Trace) -> str:
    """The start of a suffix that no client_id and no account of the trace has in it, such as -x1."""
    number = 1
    while any(_holds(trace, name, f"-x{number}") for name in ("client_id", "account")):
        number += 1
    return f"-x{number}"


def _holds(trace: Trace, name: str, text: str) -> bool:
    return bool(pc.any(pc.match_substring(trace.table[name].cast(pa.string()), text)).as_py())


def in_chain_order(t_ns: Ints, parent: Ints) -> Ints:
    """The times, later where an operation would come before one that stands before it on the same order.

    A running maximum within each order. It runs over ranks, so that one array holds all orders without overflow.
    """
    count = len(t_ns)
    root = np.where(parent < 0, np.arange(count), parent)
    by_order = np.argsort(root, kind="stable")
    by_time = np.argsort(t_ns, kind="stable")
    rank = np.empty(count, dtype=np.int64)
    rank[by_time] = np.arange(count)
    segment = np.cumsum(np.diff(root[by_order], prepend=root[by_order[:1]]) != 0) * count
    highest = np.maximum.accumulate(rank[by_order] + segment) - segment
    held = np.empty(count, dtype=np.int64)
    held[by_order] = t_ns[by_time[highest]]
    return held


def finished(
    trace: Trace, rows: Draft, duration_ns: int, note: Mapping[str, Any], facts: Mapping[str, Any] | None = None
) -> Trace:
    """The rows as a trace: by time, the operations of an order in the order of the rows, and numbered anew.

    `note` goes to provenance["transformed"], `facts` replaces other entries.
    """
    t_ns = in_chain_order(rows.t_ns, rows.parent)
    order = np.argsort(t_ns, kind="stable")
    whole = taken(Draft(rows.table, t_ns, rows.session, rows.parent, rows.dep), order)
    numbers = np.arange(len(whole))
    parents = pa.array(whole.parent, mask=whole.parent < 0)
    priors = prior_rows(whole.parent)
    columns = {
        "op_id": pa.array(numbers).cast(pa.string()),
        "t_ns": whole.t_ns,
        "session": np.unique(whole.session, return_inverse=True)[1],
        "parent": whole.table["client_id"].combine_chunks().take(parents),
        # what had to be answered first may have become later, and nobody waits for that
        "dep": pa.array(whole.dep, mask=(whole.dep < 0) | (whole.dep >= numbers)).cast(pa.string()),
        "parent_row": parents,
        "prior_row": pa.array(priors, mask=priors < 0),
        **{name: whole.table[name] for name in _KEPT},
    }
    table = pa.table(columns).select(SCHEMA.names).cast(SCHEMA)
    provenance = {**trace.provenance, **(facts or {}), "transformed": noted(trace, note)}
    return store.of(trace.name, table, trace.grid, provenance, duration_ns)
