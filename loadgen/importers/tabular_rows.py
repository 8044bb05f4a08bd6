"""One record of a table to a row, as a mapping says."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from loadgen.builder import Row
from loadgen.importers.mapping import Column, Mapping, Skip, TimeColumn
from loadgen.importers.names import Names, Who
from loadgen.importers.report import Report
from loadgen.importers.values import Dealer, date_time_ns, symbol, units8

Record = Callable[[str], Any]
"""The value of a column, None where there is none."""

_SCALES = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 4096
_LARGEST = 2**61
_OF_ORDERS = ("place", "cancel", "amend")
_WORDS = {
    "op": ("place", "cancel", "amend", "withdraw", "transfer", "request", "read"),
    "side": ("Buy", "Sell"),
    "type": ("Limit", "Market"),
    "tif": ("GTC", "IOC", "PostOnly"),
}
_KNOWN = {field: {word.lower(): word for word in words} for field, words in _WORDS.items()}


class Unusable(ValueError):
    """A record that is not used; the text says why."""

    def __init__(self, reason: str, *, corrupt: bool = False) -> None:
        super().__init__(reason)
        self.corrupt = corrupt


def lookup(found: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON value
    """A value of a JSON object by its key, or by a path such as data.price."""
    if name in found:
        return found[name]
    value: Any = found
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


class RowMaker:
    """Makes rows of records; remembers which session is whose."""

    def __init__(self, mapping: Mapping, report: Report, sessions: int) -> None:
        self._mapping, self._report, self._pseudo = mapping, report, sessions
        self._dealer, self._names = Dealer(), Names()
        self._rules = [(rule, _reason(rule)) for rule in mapping.skip]
        self._zone = ZoneInfo(mapping.t.zone) if mapping.t.zone else UTC

    def row(self, number: int, record: Record) -> Row | None:
        """The row of a record; None where a rule skips it (counted). Raises Unusable."""
        for rule, reason in self._rules:
            value = _text(record(rule.column)) or ""
            if value in rule.is_ if rule.is_ is not None else value not in (rule.not_ or ()):
                self._report.skip(number, reason)
                return None
        op = self._word("op", record)
        if op is None:
            raise Unusable("no op", corrupt=True)
        t_ns, who = self._time(number, record), self._who(number, record)
        row = Row(t_ns, who.session, who.account, op, "")
        try:
            if op in _OF_ORDERS:
                self._order(row, who, number, record)
            else:
                row.payload = self._payload(op, record)
                asset = self._value("symbol", record)
                row.symbol = symbol(asset) if asset else ""
        except Unusable:
            raise
        except ValueError:
            raise Unusable(f"{op} with a value that cannot be read", corrupt=True) from None
        row.rec_status, row.rec_latency_us = self._value("status", record), self._latency(record)
        return row

    def _order(self, row: Row, who: Who, number: int, record: Record) -> None:
        name, price, qty = (self._value(field, record) for field in ("client_id", "price", "qty"))
        row.symbol = symbol(self._value("symbol", record))
        row.side, row.type, row.tif = (self._word(field, record) for field in ("side", "type", "tif"))
        row.price8 = units8(price) if price is not None else None
        row.qty8 = units8(qty) if qty is not None else None
        if row.op != "place":
            parent = self._value("parent", record) or name
            if parent is not None:
                row.parent, who = self._names.named(parent, who)
                row.session, row.account = who.session, who.account
            return
        row.client_id = self._names.placed(name or f"#{number}", who)
        row.type = row.type or ("Market" if price is None else "Limit")
        row.tif = row.tif or ("GTC" if row.type == "Limit" else "IOC")
        if row.type == "Market":
            row.price8 = None

    def _payload(self, op: str, record: Record) -> bytes:
        whole = record(self._mapping.payload.column) if self._mapping.payload and self._mapping.payload.column else None
        if whole not in (None, ""):
            return whole.encode() if isinstance(whole, str) else orjson.dumps(whole)
        message = self._value("message", record, None)
        if message is not None:
            return orjson.dumps({"message": message})
        path = self._value("path", record, None)
        if path is None:
            raise Unusable("no path, message or payload", corrupt=True)
        method = self._value("method", record) or ("GET" if op == "read" else "POST")
        content: dict[str, Any] = {"method": method.upper(), "path": path, "headers": {}}
        body = self._value("body", record, None)
        if body is not None:
            content["body"] = body
        return orjson.dumps(content)

    def _who(self, number: int, record: Record) -> Who:
        session, account = self._value("session", record), self._value("account", record)
        if session is not None or account is not None:
            client = ("session", session) if session is not None else ("account", account)
            dealt = self._dealer.session(client)
            return Who(dealt, account or f"acct-{dealt}")
        order = self._value("parent", record) or self._value("client_id", record) or str(number)
        dealt = zlib.crc32(order.encode()) % self._pseudo
        return Who(dealt, f"acct-{dealt}", sure=False)

    def _value(self, field: str, record: Record, longest: int | None = _LONGEST) -> str | None:
        """A field as text; None where the mapping or the record has none."""
        place: Column | None = getattr(self._mapping, field)
        if place is None:
            return None
        if place.column is None:
            return place.constant
        value = _text(record(place.column))
        if value is not None and longest is not None and len(value) > longest:
            raise Unusable(f"{field} of more than {longest:,} characters", corrupt=True)
        return place.map.get(value, value) if place.map and value is not None else value

    def _word(self, field: str, record: Record) -> str | None:
        """A field of a few words: as mapped, or one of them in any case."""
        value = self._value(field, record)
        if value is None:
            return None
        known = _KNOWN[field].get(value.lower())
        if known is None:
            raise Unusable(f'{field} "{value[:40]}" is not mapped', corrupt=True)
        return known

    def _latency(self, record: Record) -> int | None:
        place = self._mapping.latency
        value = self._value("latency", record)
        if place is None or value is None:
            return None
        try:
            latency_us = int(_number(value) * _SCALES[place.unit]) // 1000
        except (InvalidOperation, ValueError, OverflowError):
            raise Unusable("a latency that is no number", corrupt=True) from None
        return latency_us if latency_us >= 0 else None

    def _time(self, number: int, record: Record) -> int:
        place = self._mapping.t
        value = _text(record(place.column))
        if value is None:
            raise Unusable(f"no {place.column}", corrupt=True)
        try:
            if place.unit in (None, "auto") and place.format is None:
                return self._report.stamp(number, value)
            return self._report.at(number, self._clock(place, value))
        except (ValueError, InvalidOperation, OverflowError):
            raise Unusable("corrupt time", corrupt=True) from None

    def _clock(self, place: TimeColumn, value: str) -> int:
        """The time of a value whose form the mapping tells, in ns since 1970."""
        if place.format is not None:
            moment = datetime.strptime(value, place.format)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=self._zone)
            return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
        if place.unit == "iso":
            return self._local(date_time_ns(value), value)
        t_ns = int(_number(value) * _SCALES[str(place.unit)])
        if abs(t_ns) >= _LARGEST:
            raise ValueError("no time")
        return t_ns

    def _local(self, t_ns: int, text: str) -> int:
        """A time that was read as UTC, in the zone of the mapping where its text tells none."""
        if self._zone is UTC or text.rstrip().endswith(("Z", "UTC")) or "+" in text or "-" in text[11:]:
            return t_ns
        moment = _EPOCH + timedelta(seconds=t_ns // 10**9)
        offset = moment.replace(tzinfo=self._zone).utcoffset() or timedelta()
        return t_ns - int(offset.total_seconds()) * 10**9


def _number(text: str) -> Decimal:
    number = Decimal(text[:60])
    if not number.is_finite() or number.adjusted() > 19:
        raise ValueError("beyond all measure")
    return number


def _reason(rule: Skip) -> str:
    words = rule.is_ if rule.is_ is not None else rule.not_ or ()
    return f"rule: {rule.column} is{' not' if rule.is_ is None else ''} {', '.join(words)}"


def _text(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """A scalar as text; None where there is nothing. Raises Unusable for a list or an object."""
    if value is None or value == "":
        return None
    if isinstance(value, dict | list):
        raise Unusable("a column that holds a list or an object", corrupt=True)
    return str(value)
