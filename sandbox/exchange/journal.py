"""The journal of the market: every command with its result and trades, once encoded, for the hash and for the audit.

Full blocks are kept deflated, so that a sandbox may run for hours.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from sandbox.exchange.codes import outcome_of
from sandbox.exchange.commands import text8, text16

BLOCK = 500


@dataclass(slots=True)
class FillRow:
    """One trade; `seq` is that of the taking command, `taker_op` and `maker_op` are op ids."""

    seq: int
    exec_id: str
    symbol: str
    price8: int
    qty8: int
    taker_op: str
    maker_op: str
    taker_side: str

    def as_dict(self) -> dict[str, Any]:
        """The row of the audit, price and quantity as decimal text."""
        return {
            "seq": self.seq,
            "exec_id": self.exec_id,
            "symbol": self.symbol,
            "price": text8(self.price8),
            "qty": text8(self.qty8),
            "taker_op": self.taker_op,
            "maker_op": self.maker_op,
            "taker_side": self.taker_side,
        }


@dataclass(slots=True)
class JournalRow:
    """One command with what came of it: the fields of the command, of its result, and `trades` as Fill lists.

    `symbol` and `side` of a cancel or amend are those of the order it names.
    """

    seq: int
    epoch: int
    t_ns: int
    kind: str
    account: str
    op_id: str
    symbol: str
    side: str
    type: str
    tif: str
    price8: int | None
    qty8: int
    client_id: str
    parent: str | None
    code: int
    order_id: str
    status: str
    filled8: int
    trades: list[list[Any]]

    @property
    def notional16(self) -> int:
        """Price times quantity as asked for; of a market order what it traded; 0 where the command names neither."""
        if self.type == "Market" and self.kind == "place":
            return sum(int(price8) * int(qty8) for price8, qty8, _ in self.trades)
        return 0 if self.price8 is None else self.price8 * self.qty8

    def as_dict(self) -> dict[str, Any]:
        """The row of the audit, money as decimal text."""
        return {
            "seq": self.seq,
            "epoch": self.epoch,
            "t_ns": self.t_ns,
            "account": self.account,
            "op_id": self.op_id,
            "kind": self.kind,
            "symbol": self.symbol,
            "side": self.side,
            "type": self.type,
            "tif": self.tif,
            "price": None if self.price8 is None else text8(self.price8),
            "qty": text8(self.qty8),
            "client_id": self.client_id,
            "parent": self.parent,
            "code": self.code,
            "outcome": outcome_of(self.code),
            "status": self.status,
            "notional": text16(self.notional16),
        }

    def fills(self) -> list[FillRow]:
        """The trades of this command, in the order they happened."""
        return [
            FillRow(self.seq, f"{self.seq}-{n}", self.symbol, price8, qty8, self.op_id, maker, self.side)
            for n, (price8, qty8, maker) in enumerate(self.trades)
        ]


class Journal:
    """Encoded rows by sequence number, from 1 without a hole."""

    __slots__ = ("_open", "_sealed", "last")

    def __init__(self) -> None:
        self.last = 0
        self._sealed: list[bytes] = []
        self._open: list[bytes] = []

    def append(self, encoded: bytes) -> None:
        """Add the row of sequence `last + 1`: the JSON array of a JournalRow."""
        self._open.append(encoded)
        self.last += 1
        if len(self._open) == BLOCK:
            self._sealed.append(zlib.compress(b"\n".join(self._open), 1))
            self._open = []

    def _block(self, index: int) -> list[bytes]:
        if index < len(self._sealed):
            return zlib.decompress(self._sealed[index]).split(b"\n")
        return self._open

    def row(self, seq: int) -> JournalRow:
        """The row of `seq`; raises IndexError when there is none."""
        if not 1 <= seq <= self.last:
            raise IndexError(f"no command {seq}: the journal holds 1..{self.last}")
        index, offset = divmod(seq - 1, BLOCK)
        return JournalRow(*orjson.loads(self._block(index)[offset]))

    def rows(self, first: int = 1, last: int | None = None) -> Iterator[JournalRow]:
        """Rows `first`..`last`, both included (cut to what there is when the iteration starts)."""
        end = self.last if last is None else min(last, self.last)
        seq = max(1, first)
        while seq <= end:
            index, offset = divmod(seq - 1, BLOCK)
            part = self._block(index)[offset : offset + end - seq + 1]
            for encoded in part:
                yield JournalRow(*orjson.loads(encoded))
            seq += len(part)
