"""Binary side of a gateway: one session per connection, logged in once, fixed messages in, fixed answers out.

It has the rules of the WebSocket side, and the same desk behind it; what it cannot read ends the connection.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from functools import partial
from typing import Final, cast

from prometheus_client import Gauge

from sandbox.exchange import binary
from sandbox.exchange.binary import BadStream, Cutter, OrderMessage, Type
from sandbox.exchange.codes import RetCode
from sandbox.exchange.commands import MAX8, Command
from sandbox.exchange.gateway_desk import Desk
from sandbox.exchange.gateway_outbox import Asked
from sandbox.exchange.gateway_requests import STATUS_OP, BadRequest, Query, Reply, status_reply
from sandbox.exchange.signing import check_window

MAX_UNREAD = 4 * 1024 * 1024
log = logging.getLogger("gateway")

_PREFIX = re.compile(r"[A-Za-z0-9_-]{0,26}", re.ASCII)
_SYMBOL = re.compile(r"[A-Z0-9]{4,20}", re.ASCII)
_SIDES = ("", "Buy", "Sell")
_TYPES = ("", "Limit", "Market")
_TIFS = ("", "GTC", "IOC", "PostOnly")
_KINDS: Final[dict[int, str]] = {Type.PLACE: "place", Type.CANCEL: "cancel", Type.AMEND: "amend"}
_OPS: Final[dict[int, str]] = {Type.PLACE: "order.create", Type.CANCEL: "order.cancel", Type.AMEND: "order.amend"}
_ASKED: Final[dict[int, str]] = {Type.ORDER_STATUS: "order", Type.REQUEST_STATUS: "request"}


class BinaryDoor:
    """Lets clients in and knows who is there."""

    def __init__(self, desk: Desk) -> None:
        self.sessions: set[BinarySession] = set()
        self._desk = desk
        self._gauge = Gauge(
            "exchange_binary_connections", "Open connections of the binary protocol", registry=desk.metrics.registry
        )

    async def open(self, host: str, port: int) -> asyncio.Server:
        """Listen; raises OSError when the port fails."""
        return await asyncio.get_running_loop().create_server(self.accept, host, port)

    def accept(self) -> BinarySession:
        """A session for a new connection."""
        return BinarySession(self._desk, self)

    def close(self) -> None:
        """Send every client away: this gateway stops."""
        for session in list(self.sessions):
            session.hang_up(RetCode.OK, "the gateway stops")

    def count(self) -> None:
        """Tell the metrics how many are here."""
        self._gauge.set(len(self.sessions))


class BinarySession(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, desk: Desk, door: BinaryDoor) -> None:
        self._desk, self._door = desk, door
        self._account, self._prefix = "", ""
        self._window_ms: int | None = None
        self._symbols: list[str] = []  # "" where the declared name is none
        self._cutter = Cutter()
        self._transport: asyncio.Transport | None = None
        self._deaf = False  # nothing more is read: the connection is about to end

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is here."""
        self._transport = cast(asyncio.Transport, transport)
        self._door.sessions.add(self)
        self._door.count()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone; what it waits for is answered to nobody."""
        self._transport = None
        self._door.sessions.discard(self)
        self._door.count()

    def data_received(self, data: bytes) -> None:
        """Some messages, the last perhaps in part."""
        if self._deaf:
            return
        now_ms, now_ns = time.time_ns() // 1_000_000, time.monotonic_ns()
        try:
            for kind, message in self._cutter.feed(data):
                if kind >= Type.PLACE:
                    self._order(binary.read_order(message), now_ms, now_ns)
                elif kind == Type.PING:
                    self._write(binary.pong())
                elif kind == Type.LOGIN:
                    self._login(message, now_ms)
                else:
                    self._declare(message)
        except BadStream as error:
            self._deaf = True
            self._desk.refuse("", "", error.code, str(error), self._send_away, self._alive)

    def _alive(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() > MAX_UNREAD:
            log.warning("%s does not read its answers: cut off", self._account or "a client")
            transport.abort()
            return
        transport.write(data)

    def hang_up(self, code: int, reason: str) -> None:
        """Say why, and end the connection once everything is written."""
        self._deaf = True
        self._write(binary.bye(code, reason))
        if self._transport is not None:
            self._transport.close()

    def _send_away(self, reply: Reply) -> None:
        self.hang_up(reply.code, reply.text)

    def _login(self, message: bytes, now_ms: int) -> None:
        login = binary.read_login(message)
        if self._account:
            raise BadStream(RetCode.BAD_REQUEST, "logged in already")
        if _PREFIX.fullmatch(login.prefix) is None:
            raise BadStream(RetCode.BAD_REQUEST, "bad prefix of ids")
        code = self._desk.keyring.check_login(login.account, login.expires_ms, login.signature, now_ms)
        self._write(binary.logged_in(code))
        if code != RetCode.OK:
            raise BadStream(code, "log-in refused")
        self._account, self._prefix, self._window_ms = login.account, login.prefix, login.window_ms or None

    def _declare(self, message: bytes) -> None:
        if not self._account:
            raise BadStream(RetCode.BAD_KEY, "log in first")
        names = binary.read_symbols(message)
        if len(self._symbols) + len(names) > binary.MAX_SYMBOLS:
            raise BadStream(RetCode.BAD_REQUEST, "too many symbols")
        self._symbols += [name if _SYMBOL.fullmatch(name) else "" for name in names]

    def _order(self, message: OrderMessage, now_ms: int, now_ns: int) -> None:
        if not self._account:
            raise BadStream(RetCode.BAD_KEY, "log in first")
        kind, number = message.type, message.number
        ident = f"{self._prefix}{number:010}"
        if kind in _ASKED:
            op, send = STATUS_OP, partial(self._tell, number)
        else:
            op, send = _OPS[kind], partial(self._answer, number)
        code = check_window(message.sent_ms, self._window_ms, now_ms)
        if code != RetCode.OK:
            self._desk.refuse(op, ident, code, "", send, self._alive)
        elif number > binary.MAX_NUMBER:
            self._desk.refuse(op, "", RetCode.BAD_REQUEST, f"number {number}", send, self._alive)
        elif kind in _ASKED:
            query = Query(self._account, _ASKED[kind], ident)
            self._desk.ask("status", query, status_reply, send, self._alive)
        else:
            try:
                wanted = self._command(message, ident, now_ns)
            except BadRequest as error:
                self._desk.refuse(op, ident, RetCode.BAD_REQUEST, str(error), send, self._alive)
                return
            link_id = wanted.parent or wanted.client_id
            self._desk.router.submit(Asked(wanted.kind, ident, link_id, now_ns, send, self._alive), wanted)

    def _command(self, message: OrderMessage, ident: str, now_ns: int) -> Command:
        """The command that a message asks for, by the rules of `gateway_requests.command`; raises BadRequest."""
        number = message.symbol
        symbol = self._symbols[number] if number < len(self._symbols) else ""
        if not symbol:
            raise BadRequest(f"symbol {number} is not declared, or no symbol")
        if message.type == Type.PLACE:
            return _place(message, self._account, symbol, ident, now_ns)
        if message.parent > binary.MAX_NUMBER:
            raise BadRequest(f"parent {message.parent}")
        return _change(message, self._account, symbol, (ident, f"{self._prefix}{message.parent:010}"), now_ns)

    def _answer(self, number: int, reply: Reply) -> None:
        data = reply.data
        self._write(binary.answer(number, reply.code, data.get("seq", 0), data.get("epoch", 0), data.get("status", "")))

    def _tell(self, number: int, reply: Reply) -> None:
        data = reply.data
        found, code = data.get("found", False), data.get("code", reply.code)
        self._write(
            binary.status(number, code, data.get("seq", 0), data.get("epoch", 0), found, data.get("status", ""))
        )


def _one_of(name: str, value: int, words: tuple[str, ...], default: str = "") -> str:
    word = words[value] if value < len(words) else ""
    if not word and (value or not default):
        raise BadRequest(f"{name} {value}")
    return word or default


def _amount(name: str, value: int) -> int:
    if not 0 < value <= MAX8:
        raise BadRequest(f"{name}: out of range: {value}")
    return value


def _place(message: OrderMessage, account: str, symbol: str, ident: str, now_ns: int) -> Command:
    side = _one_of("side", message.side, _SIDES)
    kind = _one_of("type", message.order_type, _TYPES)
    qty8 = _amount("qty", message.qty8)
    if kind == "Market":
        tif, price8 = "IOC", None
    else:
        tif, price8 = _one_of("tif", message.tif, _TIFS, "GTC"), _amount("price", message.price8)
    return Command(now_ns, "place", account, ident, symbol, side, kind, tif, price8, qty8, ident, None)


def _change(message: OrderMessage, account: str, symbol: str, ids: tuple[str, str], now_ns: int) -> Command:
    kind, side = _KINDS[message.type], _one_of("side", message.side, _SIDES, "Buy")
    price8, qty8 = None, 0
    if message.type == Type.AMEND:
        price8 = _amount("price", message.price8) if message.price8 else None
        qty8 = _amount("qty", message.qty8) if message.qty8 else 0
        if price8 is None and not qty8:
            raise BadRequest("an amend needs price or qty")
    ident, parent = ids
    return Command(now_ns, kind, account, ident, symbol, side, "Limit", "GTC", price8, qty8, "", parent)
