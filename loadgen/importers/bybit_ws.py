"""Bybit public WebSocket recordings: trades and L2 book deltas to an order flow.

A line is `epoch seconds of arrival: JSON`; lines with `<-` were sent by the client and are left out. Market data shows
levels, not orders, so the flow is a reconstruction by these rules:

* The second behind the first snapshot only builds the books: what a client gets on subscribing is a backlog, not
  flow. What they then hold is placed ahead of the flow, one order each 2 ms.
* A level that grows by q, or appears with q, is a new order: limit, GTC, of q at that price. A later snapshot is
  compared with the book like a delta; that of a book not known yet seeds it.
* A level that shrinks by q, or goes, was traded or cancelled. Trades at that price within 0.5 s (before or after: the
  two topics are not in step) explain it first, and fill the level's oldest orders. The rest is cancelled: the youngest
  order of exactly q if there is one; else the youngest orders while they fit, and of the youngest one left the quantity
  is amended to what remains of it.
* A trade is an aggressive order: limit, IOC, at its price and quantity, on its taker's side. Trades from before the
  first snapshot of a symbol are left out.
* Orders are dealt to the pseudo-sessions by CRC-32 of their name (symbol, side, price and number, or the trade's id); a
  cancel or amend belongs to its order's session.
* The recording ends in the middle of things: what still rests is cancelled behind its end, one order each 2 ms, so
  that a repetition starts from the empty books that the first one started from.
* Of equal times, and of a time that goes back (which is noted), the order in the file counts.
* The feed adds sizes in single precision (25.900002 for 25.9): a fractional size is rounded to six significant digits.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from loadgen.builder import Row
from loadgen.importers import Options, Report, Source
from loadgen.importers.values import symbol as symbol_of
from loadgen.importers.values import units8

WINDOW_NS = 500_000_000
"""A trade explains a smaller level this long before and after its arrival."""
SEED_NS = 1_000_000_000
PACE_NS = 2_000_000
_AHEAD = 65_536
"""Messages held back at most, however many arrive within WINDOW_NS."""

Level = tuple[str, str, int]
"""Symbol, side, price in 1e-8."""


@dataclass(slots=True)
class _Order:
    client_id: str
    session: int
    qty8: int  # as last placed or amended, with what was filled
    rest8: int


@dataclass(slots=True)
class _Change:
    """One message: the sizes that levels take (0: gone), whether they are all there is, or one trade."""

    line: int
    t_ns: int
    symbol: str
    levels: list[tuple[Level, int]]
    snapshot: bool = False
    trade: tuple[str, int, int, str] | None = None  # taker's side, price8, qty8, id


def rows(source: Source, report: Report, options: Options) -> Iterator[Row]:
    """The order flow of a recording, in the order of arrival; holds the books and WINDOW_NS of messages."""
    flow = _Flow(options.sessions)
    ahead: deque[_Change] = deque()
    for change in _changes(source, report):
        if change.trade:
            flow.note_trade(change)
        ahead.append(change)
        while change.t_ns - ahead[0].t_ns > WINDOW_NS or len(ahead) > _AHEAD:
            flow.apply(ahead.popleft(), report)
            yield from flow.made()
    while ahead:
        flow.apply(ahead.popleft(), report)
        yield from flow.made()
    flow.finish()
    yield from flow.made()


def _changes(source: Source, report: Report) -> Iterator[_Change]:
    last_ns = 0
    for number, line in source.lines():
        if not line.strip():
            continue
        if b" <-" in line[:200].partition(b"{")[0]:
            report.skip(number, "sent by the client")
            continue
        stamp, _, body = line.partition(b": ")
        try:
            message = orjson.loads(body)
            topic = message.get("topic", "")
            last_ns = max(last_ns, report.stamp(number, stamp))
            if "success" in message or "ret_msg" in message:
                report.skip(number, "answer to the client's own request")
            elif topic.startswith("trade."):
                yield from _trades(number, last_ns, message)
            elif topic.startswith("orderBookL2"):
                yield _book(number, last_ns, message)
            else:
                report.skip(number, f'topic "{topic}" is neither trades nor an L2 book')
        except (ValueError, KeyError, TypeError, AttributeError):
            report.skip(number, "corrupt line", corrupt=True)


def _trades(line: int, t_ns: int, message: dict[str, Any]) -> list[_Change]:
    found = []
    for raw in message["data"]:
        trade = (_side(raw["side"]), units8(raw["price"]), _size(raw["size"]), str(raw["trade_id"]))
        found.append(_Change(line, t_ns, symbol_of(raw["symbol"]), [], trade=trade))
    return found


def _book(line: int, t_ns: int, message: dict[str, Any]) -> _Change:
    data, symbol = message["data"], symbol_of(message["topic"].rpartition(".")[2])
    if message["type"] == "snapshot":
        listed = data["order_book"] if isinstance(data, dict) else data  # linear; inverse
        return _Change(line, t_ns, symbol, [(_level(raw, symbol), _size(raw["size"])) for raw in listed], snapshot=True)
    levels = [(_level(raw, symbol), 0) for raw in data["delete"]]  # first: a side that gives way must not be crossed
    levels += [(_level(raw, symbol), _size(raw["size"])) for raw in (*data["update"], *data["insert"])]
    return _Change(line, t_ns, symbol, levels)


def _level(raw: dict[str, Any], symbol: str) -> Level:
    if raw["symbol"] != symbol:
        raise ValueError("a level of another symbol than the book")
    return symbol, _side(raw["side"]), units8(raw["price"])


def _side(value: str) -> str:
    if value not in ("Buy", "Sell"):
        raise ValueError(value)
    return value


def _size(value: object) -> int:
    return units8(f"{value:.6g}" if isinstance(value, float) else value)


class _Flow:
    """The pseudo-orders that rest at each level, and the rows made of the last message."""

    def __init__(self, sessions: int) -> None:
        self._rows: list[Row] = []
        self._count = 0  # of rows so far
        self._sessions = sessions
        self._resting: dict[str, dict[Level, list[_Order]]] = {}
        self._traded: dict[Level, list[list[int]]] = {}  # [arrival, quantity not yet explained]
        self._expiring: deque[tuple[int, Level]] = deque()  # the same trades, oldest first
        self._seed_until: int | None = None  # end of the second that only builds the books
        self._seeded = False
        self._last_ns = 0

    def made(self) -> list[Row]:
        """The rows made since the last call; none while the books are built."""
        made, self._rows = self._rows, []
        return made if self._seeded else []

    def note_trade(self, change: _Change) -> None:
        """Remember a trade as soon as it is read, for the levels that shrink shortly before it."""
        assert change.trade
        side, price8, qty8, _ = change.trade
        level = (change.symbol, "Sell" if side == "Buy" else "Buy", price8)
        self._traded.setdefault(level, []).append([change.t_ns, qty8])
        self._expiring.append((change.t_ns, level))

    def apply(self, change: _Change, report: Report) -> None:
        """Make the rows that one message stands for."""
        self._last_ns = change.t_ns
        self._expire(change.t_ns - WINDOW_NS)
        if self._seed_until is None and change.snapshot:
            self._seed_until = change.t_ns + SEED_NS
        if self._seed_until is not None and not self._seeded and change.t_ns >= self._seed_until:
            self._seed(self._seed_until)
        book = self._resting.get(change.symbol)
        if book is None and not change.snapshot:
            report.skip(change.line, "before the first snapshot of its symbol")
            return
        if book is None:
            book = self._resting[change.symbol] = {}
        if change.trade and not self._seeded:
            report.skip(change.line, "trade within the second that builds the books")
            return
        if change.trade:
            side, price8, qty8, trade_id = change.trade
            self._place(change.t_ns, (change.symbol, side, price8), qty8, f"{change.symbol}:{trade_id}", "IOC")
            return
        if change.snapshot:
            told = {level for level, _ in change.levels}
            for level in [level for level in book if level not in told]:
                self._shrink(change.t_ns, book, level, sum(order.rest8 for order in book[level]))
        for level, size in change.levels:
            delta = size - sum(order.rest8 for order in book.get(level, ()))
            if delta > 0:
                order = self._place(change.t_ns, level, delta, self._name(level), "GTC")
                book.setdefault(level, []).append(order)
            elif delta < 0:
                self._shrink(change.t_ns, book, level, -delta)

    def finish(self) -> None:
        """Make the cancels of what still rests."""
        if not self._seeded:
            self._seed(self._last_ns)
        t_ns = self._last_ns
        for level, order in self._all():
            t_ns += PACE_NS
            self._add(t_ns, order, "cancel", level)

    def _seed(self, t_ns: int) -> None:
        """Forget how the books came to be; what they hold is placed, the last order at `t_ns`."""
        sizes: dict[Level, int] = {}
        for level, order in self._all():
            sizes[level] = sizes.get(level, 0) + order.rest8
        self._seeded, self._rows, self._count = True, [], 0
        self._resting = {symbol: {} for symbol in self._resting}
        at = t_ns - PACE_NS * (len(sizes) - 1)
        for level, size in sizes.items():
            self._resting[level[0]][level] = [self._place(at, level, size, self._name(level), "GTC")]
            at += PACE_NS

    def _all(self) -> list[tuple[Level, _Order]]:
        books = self._resting.values()
        return [(level, order) for book in books for level, orders in book.items() for order in orders]

    def _name(self, level: Level) -> str:
        return f"{level[0]}:{level[1]}:{level[2]}:{self._count}"

    def _place(self, t_ns: int, level: Level, qty8: int, name: str, tif: str) -> _Order:
        _, side, price8 = level
        session = zlib.crc32(name.encode()) % self._sessions
        order = _Order(f"c{self._count}", session, qty8, qty8)
        self._add(t_ns, order, "place", level, tif=tif, type="Limit", side=side, price8=price8, qty8=qty8)
        return order

    def _shrink(self, t_ns: int, book: dict[Level, list[_Order]], level: Level, by: int) -> None:
        orders = book[level]
        traded = self._explained(level, by)
        by -= traded
        for order in orders:  # oldest first, as price-time priority fills them
            fill = min(traded, order.rest8)
            order.rest8 -= fill
            traded -= fill
        orders[:] = [order for order in orders if order.rest8]
        fitting = next((order for order in reversed(orders) if order.rest8 == by), None)
        if fitting:
            orders.remove(fitting)
            self._add(t_ns, fitting, "cancel", level)
            by = 0
        while by and orders and orders[-1].rest8 <= by:
            order = orders.pop()
            by -= order.rest8
            self._add(t_ns, order, "cancel", level)
        if by and orders:
            order = orders[-1]
            order.rest8, order.qty8 = order.rest8 - by, order.qty8 - by
            self._add(t_ns, order, "amend", level, price8=level[2], qty8=order.qty8)
        if not orders:
            del book[level]

    def _expire(self, before_ns: int) -> None:
        while self._expiring and self._expiring[0][0] < before_ns:
            _, level = self._expiring.popleft()
            self._traded[level].pop(0)  # one level's trades are in the same order
            if not self._traded[level]:
                del self._traded[level]

    def _explained(self, level: Level, by: int) -> int:
        taken = 0
        for trade in self._traded.get(level, ()):
            part = min(by - taken, trade[1])
            trade[1] -= part
            taken += part
        return taken

    def _add(self, t_ns: int, order: _Order, op: str, level: Level, **fields: Any) -> None:  # noqa: ANN401 - fields of Row
        fields["client_id" if op == "place" else "parent"] = order.client_id
        row = Row(t_ns, order.session, f"session-{order.session}", op, level[0], **fields)
        self._rows.append(row)
        self._count += 1
