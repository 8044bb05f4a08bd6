"""LOBSTER message files: the events of one share's order book, rebuilt from NASDAQ's feed, to an order flow.

A line is `time,type,order id,size,price,direction`: seconds after midnight with up to nine decimals, price × 10,000,
direction 1 for a buy order and -1 for a sell order. Symbol and date stand in the file's name
(`AAPL_2012-06-21_34200000_57600000_message_10.csv`) or are told; without a date the times count from 1970-01-01.

| type | event | row |
|---|---|---|
| 1 | new limit order | place: limit, GTC |
| 2 | part of an order cancelled | amend to what is left, with what was filled; cancel where nothing is |
| 3 | order deleted | cancel |
| 4 | visible order executed | place of the other side: limit, IOC, at that price and size: the order that took it |
| 5 | hidden order executed | the same: whoever took it sent that order; what it hit is not in the file |
| 6 | cross trade | skipped: an auction |
| 7 | halt or resumption | skipped |

An order that took several resting ones is one IOC for each. Orders from before the file are orphans where they are
cancelled. Orders are dealt to the pseudo-sessions by CRC-32 of their number, takers by that of their time and side.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from drills.errors import UsageError
from loadgen.builder import Row
from loadgen.importers import Options, Report, Source
from loadgen.importers.values import date_time_ns, symbol

_NAME = re.compile(r"(?P<symbol>[A-Za-z0-9.-]+)_(?P<date>\d{4}-\d\d-\d\d)_\d+_\d+_message_\d+\.csv(?:\.gz)?")
_DATE = re.compile(r"(?:19|20|21)\d\d-\d\d-\d\d", re.ASCII)
_LINE = re.compile(rb"(\d{1,6})(?:\.(\d{1,12}))?,([1-7]),(-?\d{1,19}),(\d{1,10}),(-?\d{1,12}),(-1|1)(?:,.*)?")
_SKIPPED = {b"6": "cross trade", b"7": "trading halt or resumption"}
_LOT8 = 10**8
_PRICE8 = 10**4
_TWO_DAYS_S = 2 * 86_400


@dataclass(slots=True)
class _Order:
    qty8: int  # as last placed or amended, with what was filled
    rest8: int


@dataclass(frozen=True, slots=True)
class _Event:
    t_ns: int
    type: bytes
    order: int
    qty8: int
    price8: int
    side: str


def rows(source: Source, report: Report, options: Options) -> Iterator[Row]:
    """The order flow behind a message file, in its order; holds the orders that rest.

    Raises UsageError where neither the file's name nor the options tell the symbol, or they tell no date.
    """
    flow = _Flow(*_what(source, options), options.sessions)
    for number, line in source.lines():
        if not line.strip():
            continue
        try:
            event = flow.event(line)
        except ValueError:
            report.skip(number, "corrupt line", corrupt=True)
            continue
        report.at(number, event.t_ns)
        if event.type in _SKIPPED:
            report.skip(number, _SKIPPED[event.type])
        elif event.price8 <= 0 or event.qty8 <= 0:
            report.skip(number, "no price or no size above zero", corrupt=True)
        else:
            yield flow.row(event, number)


def _what(source: Source, options: Options) -> tuple[str, int]:
    found = _NAME.fullmatch(source.path.name)
    name = options.symbol or (found["symbol"].upper() if found else None)
    if name is None:
        raise UsageError(f"{source.path}: its name does not tell the symbol; name it with --symbol")
    date = options.date or (found["date"] if found else "1970-01-01")
    try:
        if not _DATE.fullmatch(date):
            raise ValueError("not a date that a trace can hold")
        return symbol(name), date_time_ns(f"{date}T00:00:00")
    except ValueError as error:
        raise UsageError(f"symbol {name}, date {date}: the symbol is A-Z 0-9 . _ / -, the date YYYY-MM-DD") from error


class _Flow:
    def __init__(self, symbol_: str, midnight_ns: int, sessions: int) -> None:
        self._symbol, self._midnight_ns, self._sessions = symbol_, midnight_ns, sessions
        self._resting: dict[int, _Order] = {}

    def event(self, line: bytes) -> _Event:
        """One line; raises ValueError where it is none."""
        found = _LINE.fullmatch(line.strip())
        if not found or int(found[1]) >= _TWO_DAYS_S:
            raise ValueError("no message")
        t_ns = self._midnight_ns + int(found[1]) * 10**9 + int((found[2] or b"")[:9].ljust(9, b"0"))
        side = "Buy" if found[7] == b"1" else "Sell"
        return _Event(t_ns, found[3], int(found[4]), int(found[5]) * _LOT8, int(found[6]) * _PRICE8, side)

    def row(self, event: _Event, number: int) -> Row:
        """The row of an event of type 1 to 5; `number` is that of its line."""
        if event.type in (b"4", b"5"):
            return self._taken(event, number)
        if event.type == b"1":
            self._resting[event.order] = _Order(event.qty8, event.qty8)
            made = self._row(event, "place", str(event.order))
            made.side, made.type, made.tif = event.side, "Limit", "GTC"
            made.price8, made.qty8, made.client_id = event.price8, event.qty8, str(event.order)
            return made
        order = self._resting.get(event.order)
        if event.type == b"2" and (order is None or event.qty8 < order.rest8):
            return self._reduced(event, order)
        self._resting.pop(event.order, None)
        made = self._row(event, "cancel", str(event.order))
        made.parent = str(event.order)
        return made

    def _reduced(self, event: _Event, order: _Order | None) -> Row:
        made = self._row(event, "amend", str(event.order))
        made.parent, made.price8, made.qty8 = str(event.order), event.price8, event.qty8
        if order:  # else it is an orphan, whatever it says
            order.qty8, order.rest8 = order.qty8 - event.qty8, order.rest8 - event.qty8
            made.qty8 = order.qty8
        return made

    def _taken(self, event: _Event, number: int) -> Row:
        order = self._resting.get(event.order) if event.type == b"4" else None
        if order:
            order.rest8 -= event.qty8
            if order.rest8 <= 0:
                del self._resting[event.order]
        made = self._row(event, "place", f"{event.t_ns}:{event.side}")
        made.side, made.type, made.tif = "Sell" if event.side == "Buy" else "Buy", "Limit", "IOC"
        made.price8, made.qty8, made.client_id = event.price8, event.qty8, f"x{number}"
        return made

    def _row(self, event: _Event, op: str, dealt_by: str) -> Row:
        session = zlib.crc32(dealt_by.encode()) % self._sessions
        return Row(event.t_ns, session, f"session-{session}", op, self._symbol)
