"""What gateways send to the market and what it answers, and the exact decimals of both.

Prices and quantities are integers in units of 1e-8 inside the exchange and decimal text outside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

UNIT = 10**8
MAX8 = 10**18
"""Largest price8 and qty8 accepted: ten thousand million, well inside 64 bits."""

_DECIMAL = re.compile(r"([0-9]{1,11})(?:\.([0-9]{1,8}))?", re.ASCII)


@dataclass(slots=True)
class Command:
    """One request to the market, in the order of the wire.

    `kind` is place, cancel or amend; `side` Buy or Sell; `type` Limit or Market; `tif` GTC, IOC or PostOnly.
    A place carries `client_id`; a cancel or amend names its order by `parent` (that order's client id).
    An amend leaves the price alone when `price8` is None and the quantity when `qty8` is 0.
    """

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

    def to_row(self) -> list[Any]:
        """The twelve fields in the order of the wire (JSON types only)."""
        return [
            self.t_ns,
            self.kind,
            self.account,
            self.op_id,
            self.symbol,
            self.side,
            self.type,
            self.tif,
            self.price8,
            self.qty8,
            self.client_id,
            self.parent,
        ]

    @classmethod
    def from_row(cls, row: list[Any]) -> Command:
        """The command of a wire row; raises TypeError when it has not twelve fields."""
        return cls(*row)


@dataclass(slots=True)
class Result:
    """What the market decided: `seq` and `epoch` of the command, and the order's state after it."""

    code: int
    seq: int
    epoch: int
    order_id: str
    status: str
    filled8: int

    def to_row(self) -> list[Any]:
        """The six fields in the order of the wire."""
        return [self.code, self.seq, self.epoch, self.order_id, self.status, self.filled8]


def parse8(text: str) -> int:
    """Units of 1e-8 of a plain decimal such as `0.015`; raises ValueError for anything else, zero included."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"not a decimal with at most 8 places: {text[:40]!r}")
    whole, places = match.groups()
    value = int(whole) * UNIT + (int(places.ljust(8, "0")) if places else 0)
    if not 0 < value <= MAX8:
        raise ValueError(f"out of range: {text[:40]!r}")
    return value


def text8(value: int) -> str:
    """Decimal text of units of 1e-8, without trailing zeros: 1500000 is `0.015`."""
    whole, rest = divmod(value, UNIT)
    return f"{whole}.{rest:08d}".rstrip("0") if rest else str(whole)


def text16(value: int) -> str:
    """Decimal text of units of 1e-16 (a price8 times a qty8), without trailing zeros."""
    whole, rest = divmod(value, UNIT * UNIT)
    return f"{whole}.{rest:016d}".rstrip("0") if rest else str(whole)
