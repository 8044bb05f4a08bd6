"""HTTP exchanges and WebSocket messages to operations, for every format that records them.

Orders of Bybit V5 and Binance become place, cancel and amend; other writes whose path speaks of a withdrawal or a
transfer become those; GET and HEAD are reads; the rest are requests. What is no order keeps its content as payload,
with the few headers that say how to read it: keys, signatures and cookies stay behind.

A session is an API key; where none is sent, a connection, or else an address. An order that is named by the venue's id
alone is found through the answers, where they were recorded.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

from loadgen.builder import Row
from loadgen.importers import order_bodies
from loadgen.importers.names import Names, Who
from loadgen.importers.order_bodies import Order
from loadgen.importers.recent import Recent
from loadgen.importers.report import Report
from loadgen.importers.values import Dealer, symbol

ROW_HEADER = "x-muster-row"
"""What our exports say beside HTTP, as a query string: session, account, and of a payload its op and symbol."""
KEY_HEADERS = ("x-bapi-api-key", "x-mbx-apikey", "ok-access-key", "kc-api-key", "apikey", "api-key", "x-api-key")

_KEPT_HEADERS = frozenset({"accept", "accept-language", "content-type", "x-requested-with"})
_ADDED_HEADERS = frozenset({ROW_HEADER, "host", "content-length", "x-bapi-api-key"})
_ASSET_OPS = ("withdraw", "transfer")
_PAYLOAD_OPS = ("withdraw", "transfer", "request", "read")
_UPKEEP = {
    "auth": "sign-in",
    "login": "sign-in",
    "session.logon": "sign-in",
    "ping": "ping",
    "pong": "ping",
    "subscribe": "subscription",
    "unsubscribe": "subscription",
}
"""Messages that only keep a connection."""
_LINKS = 250_000
"""Orders whose two ids are surely remembered."""
_CALLS = 4096
"""Unanswered messages of a connection that are remembered."""
_NAME = 200
_QUERY = 65_536
"""A longer query string is no order."""
UNREADABLE = "order that a trace cannot say, kept as a request"


@dataclass(slots=True)
class Exchange:
    """One HTTP request, and what was answered where the recording has it; header names are in lower case."""

    number: int  # of the record
    t_ns: int
    method: str
    target: str  # path and query; a whole URL is cut to them
    headers: Mapping[str, str]
    body: bytes = b""
    connection: str | None = None
    client: str | None = None
    status: int | None = None
    answer: bytes = b""
    latency_us: int | None = None


@dataclass(slots=True)
class Talk:
    """One WebSocket connection: what it is called, the headers of its handshake as far as they are known, the key that
    signed in, and orders that wait for the venue's id."""

    name: str
    headers: Mapping[str, str]
    key: str | None = None
    waiting: dict[str, list[tuple[Order, str]]] = field(default_factory=dict)


class Operations:
    """Makes rows, and remembers what links them; one for each import."""

    def __init__(self, report: Report, sessions: int) -> None:
        self._report, self._pseudo = report, sessions
        self._dealer = Dealer()
        self._names = Names()
        self._unnamed = 0
        self._links = Recent[str, str](_LINKS)  # the venue's id to the client's

    def exchange(self, exchange: Exchange) -> list[Row]:
        """The rows of one HTTP exchange; a batch makes several. Raises ValueError where it cannot be used."""
        path, query = _split(exchange.target)
        told = _told(exchange.headers)
        if "op" not in told and order_bodies.is_order(exchange.method, path):
            fields = _fields(exchange, query)
            try:
                if fields is not None:
                    return self._orders(exchange, order_bodies.of_request(exchange.method, path, fields), told)
                self._report.note(exchange.number, "order without a readable body, kept as a request")
            except (ValueError, KeyError):
                self._report.note(exchange.number, UNREADABLE)
        return [self._payload(exchange, path, query, told)]

    def message(self, talk: Talk, number: int, t_ns: int, text: str) -> list[Row]:
        """The rows of one WebSocket text message that the client sent; what only keeps the connection is skipped."""
        told = _told(talk.headers)
        if told:
            return [self._told_message(told, t_ns, text)]
        message = _json(text)
        op = message.get("op", message.get("method", message.get("event")))
        why = _UPKEEP.get((op if isinstance(op, str) else text.strip()).lower())
        if why:
            args = message.get("args")
            if why == "sign-in" and isinstance(args, list) and args and isinstance(args[0], str):
                talk.key = args[0]
            self._report.skip(number, why)
            return []
        key = talk.key or _key(talk.headers)
        who = self._who(key or talk.name, number, key is not None)
        try:
            orders = order_bodies.of_message(message)
        except (ValueError, KeyError):
            self._report.note(number, UNREADABLE)
            orders = None
        if orders is None:
            return [_row(t_ns, who, "request", payload=orjson.dumps({"message": text}))]
        made = [self._order(order, t_ns, who, number) for order in orders]
        call = message.get("reqId")
        if isinstance(call, str) and orders[0].op == "place" and len(talk.waiting) < _CALLS:
            talk.waiting[call] = [(order, str(row.client_id)) for order, row in zip(orders, made, strict=True)]
        self._note(number, orders)
        return made

    def heard(self, talk: Talk, text: str) -> None:
        """Learn the venue's ids from a message that the client received."""
        message = _json(text) if '"reqId"' in text else {}
        call = message.get("reqId")
        waiting = talk.waiting.pop(call, None) if isinstance(call, str) else None
        if waiting:
            order_bodies.take_answer([order for order, _ in waiting], text.encode())
            for order, own in waiting:
                self._learn(order.server, own)

    def link(self, row: Row) -> Row:
        """The row, naming its order by the id of the client where only the venue's was known when it was made."""
        if row.parent is not None:
            row.parent = self._links.get(row.parent) or row.parent
        return row

    def _orders(self, exchange: Exchange, orders: list[Order], told: Mapping[str, str]) -> list[Row]:
        if exchange.answer:
            order_bodies.take_answer(orders, exchange.answer)
        first = orders[0].own or orders[0].server or exchange.number
        who = self._client(exchange, told, first)
        made = [
            _answered(self._order(order, exchange.t_ns, who, exchange.number), exchange, told, order.status)
            for order in orders
        ]
        self._note(exchange.number, orders)
        return made

    def _order(self, order: Order, t_ns: int, who: Who, number: int) -> Row:
        own, name, parent = order.own or order.server, None, None
        if order.op == "place":
            self._unnamed += own is None
            name = self._names.placed(own or f"#{number}.{self._unnamed}", who)
            self._learn(order.server, name)
        elif order.own:
            parent, who = self._names.named(order.own, who)
        elif order.server:
            parent, who = self._names.named(self._links.get(order.server) or order.server, who)
        row = _row(t_ns, who, order.op, order.symbol)
        row.side, row.type, row.tif = order.side, order.type, order.tif
        row.price8, row.qty8 = order.price8, order.qty8
        row.client_id, row.parent = name, parent
        return row

    def _learn(self, server: str | None, own: str) -> None:
        if server is not None and server != own:
            self._links.put(server, own)

    def _note(self, number: int, orders: list[Order]) -> None:
        for order in orders:
            if order.odd:
                self._report.note(number, order.odd)

    def _payload(self, exchange: Exchange, path: str, query: str, told: Mapping[str, str]) -> Row:
        op = told.get("op", "")
        if op not in _PAYLOAD_OPS:
            op = _kind(exchange.method, path)
        ours = bool(told)
        kept = {
            name: value
            for name, value in exchange.headers.items()
            if (name not in _ADDED_HEADERS if ours else name in _KEPT_HEADERS)
        }
        query = query if ours else _unsigned(query)
        content: dict[str, Any] = {"method": exchange.method, "path": path + query, "headers": kept}
        if exchange.body:
            content["body"] = exchange.body.decode("utf-8")
        asset = _asset(told if "symbol" in told else _fields(exchange, query) or {}) if op in _ASSET_OPS or ours else ""
        who = self._client(exchange, told, exchange.number)
        row = _row(exchange.t_ns, who, op, asset, payload=orjson.dumps(content))
        return _answered(row, exchange, told)

    def _client(self, exchange: Exchange, told: Mapping[str, str], spread: Hashable) -> Who:
        """Who sent an exchange; `spread` deals one that names no client."""
        if "session" in told:
            return self._told_who(told)
        key = _key(exchange.headers)
        return self._who(key or exchange.connection or exchange.client or "", spread, key is not None)

    def _told_who(self, told: Mapping[str, str]) -> Who:
        return Who(self._dealer.session(("ours", told.get("session"))), told.get("account", "")[:_NAME] or "acct")

    def _told_message(self, told: Mapping[str, str], t_ns: int, text: str) -> Row:
        op = told["op"] if told.get("op") in _PAYLOAD_OPS else "request"
        row = _row(t_ns, self._told_who(told), op, _asset(told), payload=orjson.dumps({"message": text}))
        row.rec_status, row.rec_latency_us = told.get("status"), _latency(told)
        return row

    def _who(self, name: str, spread: Hashable, sure: bool) -> Who:
        name = name[:_NAME]
        if name:
            return Who(self._dealer.session(name), name, sure)
        session = zlib.crc32(str(spread).encode()) % self._pseudo
        return Who(session, f"acct-{session}", False)


def _row(t_ns: int, who: Who, op: str, symbol_: str = "", payload: bytes | None = None) -> Row:
    return Row(t_ns, who.session, who.account, op, symbol_, payload=payload)


def _kind(method: str, path: str) -> str:
    if method in ("GET", "HEAD"):
        return "read"
    lower = path.lower()
    named = next((op for op in ("withdraw", "transfer") if op in lower), None)
    return named if named and "cancel" not in lower else "request"


def _answered(row: Row, exchange: Exchange, told: Mapping[str, str], status: str | None = None) -> Row:
    """The row with what came of it: the venue's word, or else the HTTP status."""
    if told:
        row.rec_status, row.rec_latency_us = told.get("status"), _latency(told)
        return row
    row.rec_status = status or (None if exchange.status is None else str(exchange.status))
    row.rec_latency_us = exchange.latency_us
    return row


def _latency(told: Mapping[str, str]) -> int | None:
    text = told.get("latency_us", "")
    return int(text) if text.isdecimal() and len(text) < 16 else None


def _key(headers: Mapping[str, str]) -> str | None:
    return next((headers[name] for name in KEY_HEADERS if headers.get(name)), None)


def _told(headers: Mapping[str, str]) -> dict[str, str]:
    """What the header of our own exports says; {} in recordings of others."""
    line = headers.get(ROW_HEADER)
    return dict(parse_qsl(line, keep_blank_values=True)) if line else {}


def _split(target: str) -> tuple[str, str]:
    """Path and query (with its ?) of a request's target; raises ValueError for one that is no URL."""
    if not target.startswith("/"):
        parts = urlsplit(target)
        target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    path, mark, query = target.partition("?")
    return path, mark + query


def _unsigned(query: str) -> str:
    """The query without the signature of the recorded request."""
    if "signature=" not in query:
        return query
    kept = [part for part in query[1:].split("&") if not part.startswith("signature=")]
    return "?" + "&".join(kept) if kept else ""


def _fields(exchange: Exchange, query: str) -> dict[str, Any] | None:
    """What an order request says: its JSON, else its query and form together; None where it says nothing readable."""
    body = exchange.body.strip()
    if body.startswith(b"{"):
        return _json(body) or None
    if len(query) > _QUERY:
        return None
    try:
        pairs = parse_qsl(query[1:]) + (parse_qsl(body.decode("utf-8")) if len(body) < _QUERY else [])
    except ValueError:
        return None
    return dict(pairs) or None


def _asset(fields: Mapping[str, Any]) -> str:
    for name in ("symbol", "coin", "asset", "currency"):
        try:
            return symbol(fields[name])
        except (KeyError, ValueError):
            continue
    return ""


def _json(text: str | bytes) -> dict[str, Any]:
    """The object that a text is; {} where it is none."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def row_header(values: Mapping[str, Any]) -> str:
    """What `ROW_HEADER` holds for a row."""
    return urlencode(values)
