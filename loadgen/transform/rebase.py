"""Prices and quantities of a recording on the market of another venue: its price level, its tick, its lot."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import partial
from statistics import median_low
from typing import ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from drills.registry import did_you_mean
from drills.units import Duration
from loadgen import trace as store
from loadgen.trace import SCHEMA, Symbol, Trace
from loadgen.transform.base import Amount, Ints, Mask, State, Transform, nanoseconds, noted, with_facts
from loadgen.transform.book import Books

_LARGEST = 2**62


class Rebase(Transform):
    """Each symbol's prices times (its `mid` there / its mid in the recording), on the `tick` and `lot` given.

    Proportional, not shifted: makers quote in parts of the price and venues limit orders to a band of it, and no price
    falls to zero on the way to a cheaper market. The recorded mid is the median, over the operations of the first
    `over`, of the middle between best bid and best ask of the book that the trace's own orders build; where a symbol
    never has two sides, the median price of its limit orders.
    """

    key: ClassVar[str] = "rebase"
    mid: dict[str, Amount] = Field(default={})
    tick: dict[str, Amount] = Field(default={})
    lot: dict[str, Amount] = Field(default={})
    over: Duration = Field(default=10.0, gt=0)

    @model_validator(mode="after")
    def _something(self) -> Rebase:
        if not (self.mid or self.tick or self.lot):
            raise PydanticCustomError("nothing", "changes nothing; write mid, tick or lot")
        return self

    def made(self, state: State) -> State:
        """Move the prices; raises DefinitionError for a symbol without rows or a price that the grid cannot hold."""
        trace = state.trace
        self._check_symbols(state)
        recorded = mids(trace, min(nanoseconds(self.over), trace.duration_ns)) if self.mid else {}
        market = _Market(trace)
        grid, moved = dict(trace.grid), {}
        for symbol in sorted({*self.mid, *self.tick, *self.lot}):
            old = trace.grid[symbol]
            new = grid[symbol] = Symbol(self.tick.get(symbol, old.tick), self.lot.get(symbol, old.lot))
            scale = Fraction(old.tick) / Fraction(new.tick)
            if symbol in self.mid:
                if symbol not in recorded:
                    raise state.fail(f"mid: {symbol} has no limit price to start from", "leave it out")
                here = recorded[symbol] * Fraction(old.tick)
                scale *= Fraction(self.mid[symbol]) / here
                moved[symbol] = [f"{exact(here):f}", f"{self.mid[symbol]:f}"]
            problem = market.move(symbol, scale, Fraction(old.lot) / Fraction(new.lot))
            if problem:
                raise state.fail(
                    f"{symbol}: {problem}", "give a finer tick" if "below" in problem else "give a coarser grid"
                )
        made = market.trace(grid)
        return State(with_facts(made, transformed=noted(made, self.note(moved=moved))), state.label)

    def _check_symbols(self, state: State) -> None:
        known = {name for name in state.trace.codes("symbol")[1] if name in state.trace.grid}
        for where in ("mid", "tick", "lot"):
            for symbol in getattr(self, where):
                if symbol not in known:
                    raise state.fail(f"{where}: no symbol {symbol} in the trace", did_you_mean(symbol, known))


def mids(trace: Trace, over_ns: int) -> dict[str, Fraction]:
    """The recorded mid of each symbol in ticks, exact; symbols without a limit order are left out."""
    t_ns = trace.ints("t_ns")
    rows = int(np.searchsorted(t_ns, over_ns))
    books, names = Books(trace, rows), trace.codes("symbol")[1]
    seen: dict[int, list[int]] = {}
    for row in range(rows):
        books.act(row)
        symbol = books.symbol[row]
        middle = books.middle2(symbol) if symbol >= 0 else None
        if middle is not None:
            seen.setdefault(symbol, []).append(middle)
    found = {names[symbol]: Fraction(median_low(values), 2) for symbol, values in seen.items()}
    codes, prices = trace.codes("symbol")[0], trace.ints("price_ticks")
    for symbol in set(range(len(names))) - seen.keys():
        own = np.sort(prices[(codes == symbol) & (prices > 0)])
        if own.size:
            found[names[symbol]] = Fraction(int(own[own.size // 2]))
    return found


class _Market:
    """Prices and quantities of a trace, symbol by symbol on their way to another grid."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._prices, self._lots = trace.ints("price_ticks").copy(), trace.ints("qty_lots").copy()
        codes, names = trace.codes("side")
        buys = np.array([*(name == "Buy" for name in names), False])[codes]
        parent = trace.ints("parent_row")  # an amend is on the side of its order
        self._buys: Mask = np.where(parent < 0, buys, buys[parent])

    def move(self, symbol: str, price_scale: Fraction, lot_scale: Fraction) -> str | None:
        """Multiply ticks and lots of one symbol; what is wrong with the outcome, or None."""
        codes, names = self._trace.codes("symbol")
        own = codes == names.index(symbol)
        for up, side in ((False, self._buys), (True, ~self._buys)):
            rows = own & side & (self._prices >= 0)
            if not _replace(self._prices, rows, partial(_price, price_scale, up=up)):
                return f"a price becomes larger than {_LARGEST:,} ticks"
            if rows.any() and self._prices[rows].min() < 1:
                return "a price becomes below one tick"
        if not _replace(self._lots, own & (self._lots >= 0), lambda lots: max(1, _nearest(lots * lot_scale))):
            return f"a quantity becomes larger than {_LARGEST:,} lots"
        return None

    def trace(self, grid: dict[str, Symbol]) -> Trace:
        """The trace with these prices and quantities."""
        table = self._trace.table
        for name, values in (("price_ticks", self._prices), ("qty_lots", self._lots)):
            column = pa.array(values, pa.int64(), mask=values < 0)
            table = table.set_column(table.schema.get_field_index(name), SCHEMA.field(name), column)
        return store.of(self._trace.name, table, grid, self._trace.provenance, self._trace.duration_ns)


def _replace(values: Ints, rows: Mask, to: Callable[[int], int]) -> bool:
    """Replace the values of `rows`, in whole numbers of any size; False where one would not fit."""
    distinct, places = np.unique(values[rows], return_inverse=True)
    made = [to(value) for value in distinct.tolist()]
    if any(value > _LARGEST for value in made):
        return False
    values[rows] = np.array(made, dtype=np.int64)[places]
    return True


def _price(scale: Fraction, ticks: int, *, up: bool) -> int:
    """Ticks times `scale`, on the grid.

    Where a tick becomes one tick or more, the nearest: that keeps any two prices as they stand to each other, so what
    crossed still crosses and nothing else does. Where ticks fall together no rounding can keep both; then Buy goes
    down and Sell up, so that nothing crosses that did not.
    """
    scaled = ticks * scale
    if scale >= 1:
        return _nearest(scaled)
    return math.ceil(scaled) if up else math.floor(scaled)


def _nearest(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


def exact(value: Fraction) -> Decimal:
    """A price as decimal text, to 12 digits behind the point."""
    return (Decimal(value.numerator) / Decimal(value.denominator)).quantize(Decimal("1e-12")).normalize()
