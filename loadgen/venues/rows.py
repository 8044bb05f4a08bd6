"""Rows of a trace as a wire wants them: one at a time, in words and decimal text."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from drills.errors import DefinitionError
from loadgen.trace import Trace


class Order(NamedTuple):
    """What a row says about an order; an empty text where it does not say."""

    kind: str
    symbol: str
    side: str
    type: str
    tif: str
    price: str
    qty: str


class Rows:
    """The columns of a trace that wires need; nothing is decoded before it is asked for."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._words = [trace.codes(name) for name in ("op", "symbol", "side", "type", "tif")]
        self._kinds, self._names = self._words[0]
        self._price, self._qty = trace.ints("price_ticks"), trace.ints("qty_lots")
        self._prior = trace.ints("prior_row")

    @cached_property
    def _payloads(self) -> pa.ChunkedArray:
        return self._trace.column("payload")

    @cached_property
    def _dependencies(self) -> pa.ChunkedArray:
        return self._trace.column("dep")

    def kind(self, row: int) -> str:
        """place, cancel, amend, withdraw, transfer, request or read."""
        return str(self._names[self._kinds[row]])

    def order(self, row: int) -> Order:
        """What the row itself says."""
        kind, symbol, side, type_, tif = (names[codes[row]] if codes[row] >= 0 else "" for codes, names in self._words)
        grid, price, qty = self._trace.grid.get(symbol), int(self._price[row]), int(self._qty[row])
        return Order(
            kind,
            symbol,
            side,
            type_,
            tif,
            f"{price * grid.tick:f}" if grid is not None and price >= 0 else "",
            f"{qty * grid.lot:f}" if grid is not None and qty >= 0 else "",
        )

    def whole(self, row: int) -> Order:
        """What the row says, and, where it does not, what the operations before it on that order said."""
        found, at = self.order(row), int(self._prior[row])
        while at >= 0 and not all(found):
            before = self.order(at)
            found = Order(*(own or earlier for own, earlier in zip(found, before, strict=True)))
            at = int(self._prior[at])
        return found

    def payload(self, row: int) -> dict[str, Any]:
        """The recorded HTTP request of a row: method, path, headers, body.

        Raises DefinitionError for a row without one.
        """
        raw = self._payloads[row].as_py()
        try:
            value = orjson.loads(raw or b"null")
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, dict) or not isinstance(value.get("path"), str):
            raise DefinitionError(
                self._trace.name, f"row {row}: a {self.kind(row)} without an HTTP request", hint="import it again"
            )
        return value

    def dependency(self, row: int) -> int:
        """Row that had to be answered first, -1 where the recording knows of none."""
        op_id = self._dependencies[row].as_py()
        return int(op_id) if isinstance(op_id, str) and op_id.isascii() and op_id.isdecimal() else -1
