"""What a trace is made of: its columns, its kinds of operation, and the grid of a symbol."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Codes = tuple[npt.NDArray[np.int32], list[str]]
"""A column of words as numbers: the code of each row (-1 for null), and the word of each code."""

KINDS = ("place", "cancel", "amend", "withdraw", "transfer", "request", "read")
"""What an operation may be. The last four carry their content in `payload`; a `read` changes nothing."""
OF_ORDERS = ("place", "cancel", "amend")
"""Kinds that are about one order in one book, and so need its symbol's grid."""

SCHEMA = pa.schema(
    [
        pa.field("op_id", pa.string(), nullable=False),  # id of the recorded operation, unique
        pa.field("t_ns", pa.int64(), nullable=False),  # since the start of the recording, never decreasing
        pa.field("session", pa.int32(), nullable=False),  # 0.. ; one session is one client on one connection
        pa.field("account", pa.string(), nullable=False),  # who it was, or a pseudonym
        pa.field("op", pa.string(), nullable=False),  # one of KINDS
        pa.field("symbol", pa.string(), nullable=False),  # "" where a request names none; of a withdraw: the asset
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
        pa.field("parent_row", pa.int64()),  # of a cancel or amend: row of the place of the order it names
        pa.field("prior_row", pa.int64()),  # of a cancel or amend: row of the operation before it on that order
    ]
)
"""Columns of a trace."""

LINKS = ("parent_row", "prior_row")
"""Columns that say in numbers what client_id and parent say in words."""
WORDS = ("account", "op", "symbol", "side", "type", "tif", "rec_status")
"""Columns of few distinct strings."""
REPLAY_INTS = ("t_ns", "session", "price_ticks", "qty_lots", *LINKS)
REPLAY_WORDS = ("op", "symbol", "side", "type", "tif")
"""With REPLAY_INTS, the columns that a replay of orders needs."""


class Symbol(NamedTuple):
    """The grid of one symbol: the size of a tick (price) and of a lot (quantity)."""

    tick: Decimal
    lot: Decimal


def shaped(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """The columns named, as SCHEMA types them; says nothing about nulls where SCHEMA has none."""
    fields = [SCHEMA.field(name) for name in names]
    return pa.table([table[field.name].cast(field.type) for field in fields], schema=pa.schema(fields))
