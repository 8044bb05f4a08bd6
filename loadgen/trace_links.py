"""Which rows belong to one order: client ids and parents as row numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from loadgen.trace_schema import LINKS, SCHEMA, Ints, shaped

Flags = npt.NDArray[np.bool_]


def orders(table: pa.Table) -> tuple[Flags, Ints]:
    """Of each row: whether it places an order of a client_id that an earlier row has placed, and its parent's row.

    The parent's row is that of the first place with the client_id that a cancel or amend names, wherever it stands; -1
    for all other rows and where there is none.
    """
    again, parent = np.zeros(table.num_rows, dtype=np.bool_), np.full(table.num_rows, -1, dtype=np.int64)
    places = np.flatnonzero(_is(table, "place") & _valid(table["client_id"]))
    follows = np.flatnonzero((_is(table, "cancel") | _is(table, "amend")) & _valid(table["parent"]))
    ids = table["client_id"].take(pa.array(places)).combine_chunks().dictionary_encode()
    if isinstance(ids, pa.ChunkedArray):  # beyond 2 GB of text
        ids = ids.unify_dictionaries().combine_chunks()
    codes = ids.indices.to_numpy()
    # codes are given in the order of appearance, so only a first appearance raises the highest so far
    first = np.diff(np.maximum.accumulate(codes), prepend=-1) > 0
    again[places[~first]] = True
    named = pc.index_in(table["parent"].take(pa.array(follows)), value_set=ids.dictionary)
    code = pc.fill_null(named, -1).to_numpy().astype(np.int64)
    parent[follows] = np.append(places[first], -1)[code]
    return again, parent


def priors(parent: Ints) -> Ints:
    """Row of the operation before each on the same order (the place itself for the first); -1 where `parent` is -1."""
    prior = np.full(len(parent), -1, dtype=np.int64)
    rows = np.flatnonzero(parent >= 0)
    rows = rows[np.argsort(parent[rows], kind="stable")]
    named = parent[rows]
    same = np.zeros(len(rows), dtype=np.bool_)
    same[1:] = named[1:] == named[:-1]
    prior[rows] = np.where(same, np.roll(rows, 1), named)
    return prior


def linked(table: pa.Table) -> pa.Table:
    """The table with LINKS as its client ids and parents say, in the order and the types of SCHEMA."""
    table = shaped(
        table, [name for name in SCHEMA.names if name not in LINKS]
    )  # a column without a value has no type yet
    _, parent = orders(table)
    parent[parent >= np.arange(len(parent))] = -1  # an order that only a later row places is no order yet
    for name, rows in zip(LINKS, (parent, priors(parent)), strict=True):
        table = table.append_column(name, pa.array(rows, mask=rows < 0))
    return shaped(table, SCHEMA.names)


def _is(table: pa.Table, op: str) -> Flags:
    found: Flags = pc.fill_null(pc.equal(table["op"], op), False).to_numpy()
    return found


def _valid(column: pa.ChunkedArray) -> Flags:
    valid: Flags = pc.is_valid(column).to_numpy()
    return valid
