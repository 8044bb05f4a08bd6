"""What rests in the books of a trace at a time, by matching its own orders in price-time priority.

A recording does not hold the rest of the market, so this is what its own orders build. Where the recorded answer says
that the venue refused an operation, that is believed.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from loadgen.trace import Trace
from loadgen.transform.base import Ints


class Resting(NamedTuple):
    """Orders in a book: the row that placed each, its price in ticks and what is left of it in lots."""

    row: Ints
    price: Ints
    qty: Ints


NOTHING = Resting(*np.empty((3, 0), dtype=np.int64))


@dataclass(slots=True)
class _Side:
    """Orders of one side by price; `sign` is -1 for Buy, whose best price is the highest."""

    sign: int
    levels: dict[int, dict[int, int]] = field(default_factory=dict)  # price -> row -> lots left, the oldest first
    prices: list[int] = field(default_factory=list)  # heap of sign * price; prices of empty levels stay a while

    def best(self) -> int | None:
        while self.prices:
            price = self.sign * self.prices[0]
            if self.levels.get(price):
                return price
            heapq.heappop(self.prices)
            self.levels.pop(price, None)
        return None

    def add(self, price: int, row: int, lots: int) -> None:
        level = self.levels.get(price)
        if level is None:
            level = self.levels[price] = {}
            heapq.heappush(self.prices, self.sign * price)
        level[row] = lots


class _Book(NamedTuple):
    buys: _Side
    sells: _Side


class Books:
    """Plays the first `rows` rows of a trace into books, row by row."""

    def __init__(self, trace: Trace, rows: int) -> None:
        self._op = _column(trace, "op", rows)
        self._side = _column(trace, "side", rows)
        self._market = _column(trace, "type", rows)
        self._tif = _column(trace, "tif", rows)
        self._price = trace.ints("price_ticks")[:rows].tolist()
        self._lots = trace.ints("qty_lots")[:rows].tolist()
        self._parent = trace.ints("parent_row")[:rows].tolist()
        codes, names = trace.codes("symbol")
        self.symbol: list[int] = codes[:rows].tolist()
        self._books = [_Book(_Side(-1), _Side(1)) for _ in names]
        self._refused = _refused(trace, rows)
        self._open: dict[int, tuple[int, int]] = {}  # row of the place -> price, lots that it is for in all

    def act(self, row: int) -> None:
        """Do what row does; rows must come in their order."""
        op = self._op[row]
        if self._refused[row]:
            return
        if op == "place":
            price = None if self._market[row] == "Market" else self._price[row]
            self._place(row, price, self._lots[row], self._tif[row] or "GTC")
        elif op in ("cancel", "amend") and self._parent[row] in self._open:
            self._follow(row, self._parent[row], op)

    def middle2(self, symbol: int) -> int | None:
        """Twice the middle between best bid and best ask, in ticks; None where a side is empty."""
        book = self._books[symbol]
        bid, ask = book.buys.best(), book.sells.best()
        return None if bid is None or ask is None else bid + ask

    def resting(self) -> Resting:
        """Everything that rests, in the order in which it joined the queue of its price."""
        found = []
        for row, (price, _) in self._open.items():
            found.append((row, price, self._own(row).levels[price][row]))
        columns = np.array(found, dtype=np.int64).reshape(-1, 3)
        return Resting(columns[:, 0], columns[:, 1], columns[:, 2])

    def _own(self, row: int) -> _Side:
        book: _Book = self._books[self.symbol[row]]
        return book.buys if self._side[row] == "Buy" else book.sells

    def _place(self, order: int, price: int | None, lots: int, tif: str) -> None:
        book = self._books[self.symbol[order]]
        buys = self._side[order] == "Buy"
        left = self._match(book.sells if buys else book.buys, price, lots, refuse=tif == "PostOnly")
        if left and price is not None and tif != "IOC":
            (book.buys if buys else book.sells).add(price, order, left)
            self._open[order] = (price, lots)

    def _match(self, against: _Side, price: int | None, lots: int, *, refuse: bool) -> int:
        """Lots left of an incoming order; 0 too where a post-only order would trade."""
        while lots and (best := against.best()) is not None:
            # a sell is met by bids at or above its price, a buy by asks at or below
            if price is not None and against.sign * best > against.sign * price:
                break
            if refuse:
                return 0
            level = against.levels[best]
            row = next(iter(level))
            filled = min(lots, level[row])
            lots -= filled
            level[row] -= filled
            if not level[row]:
                del level[row]
                self._open.pop(row, None)
        return lots

    def _follow(self, row: int, order: int, op: str) -> None:
        price, total = self._open[order]
        level = self._own(order).levels[price]
        left = level[order]
        if op == "cancel":
            self._forget(order, level)
            return
        new_price = self._price[row] if self._price[row] > 0 else price
        new_total = self._lots[row] if self._lots[row] > 0 else total
        new_left = left + new_total - total
        if new_price == price and 0 < new_left <= left:
            level[order] = new_left  # less at the same price keeps its place in the queue
            self._open[order] = (price, new_total)
            return
        self._forget(order, level)
        if new_left > 0:
            self._place(order, new_price, new_left, "GTC")
            if order in self._open:
                self._open[order] = (new_price, new_total)

    def _forget(self, order: int, level: dict[int, int]) -> None:
        del level[order], self._open[order]


def resting(trace: Trace, at_ns: int) -> Resting:
    """What rests right before `at_ns`, in the order in which it joined the queue of its price."""
    rows = int(np.searchsorted(trace.ints("t_ns"), at_ns))
    books = Books(trace, rows)
    for row in range(rows):
        books.act(row)
    return books.resting()


def _column(trace: Trace, name: str, rows: int) -> list[str | None]:
    codes, names = trace.codes(name)
    words: list[str | None] = [*names, None]  # code -1 is the last
    return [words[code] for code in codes[:rows].tolist()]


def _refused(trace: Trace, rows: int) -> list[bool]:
    codes, names = trace.codes("rec_status")
    if not names:
        return [False] * rows
    bad = pc.match_substring(pc.utf8_lower(pa.array(names, pa.string())), "reject").to_pylist()
    return np.array([*bad, False])[codes[:rows]].tolist()  # type: ignore[no-any-return]
