"""The deterministic market: the same commands give the same trades, statuses and hash, on every engine and every day.

No clock, no randomness, no floats, nothing that depends on the order of a set. Each command takes the next sequence
number, also when it is rejected or a duplicate, and goes into a chain of hashes.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import orjson

from sandbox.exchange.book import Book, Fill, Order
from sandbox.exchange.codes import RetCode, Status
from sandbox.exchange.commands import MAX8, Command, Result, text8
from sandbox.exchange.journal import FillRow, Journal, JournalRow

HASH_EVERY = 500
_OPEN = (Status.NEW, Status.PARTIAL)


class Market:
    """Books of all symbols, the table of ids, the journal and the hash chain.

    `seq` is the last command applied, `hash` the 16-byte state of the chain after it, `hashes` that state in hex at
    every 500th command.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.hash = bytes(16)
        self.hashes: dict[int, str] = {}
        self.journal = Journal()
        self._books: dict[str, Book] = {}
        self._orders: dict[str, Order] = {}
        self._requests: dict[str, int] = {}
        self._forgotten = 0

    def apply(self, epoch: int, cmd: Command) -> Result:
        """Carry out `cmd` under `epoch`; never raises for a well-typed command: a senseless one is a reject."""
        self.seq = seq = self.seq + 1
        trades: list[Fill] = []
        order: Order | None
        if cmd.kind == "place":
            code, order = self._place(seq, epoch, cmd, trades)
        elif cmd.kind in ("cancel", "amend"):
            code, order = self._change(seq, cmd, trades)
        else:
            code, order = RetCode.BAD_REQUEST, None
        result = _result(code, seq, epoch, order)
        self._record(cmd, order, result, trades)
        return result

    def _record(self, cmd: Command, order: Order | None, result: Result, trades: list[Fill]) -> None:
        row = [result.seq, result.epoch, *cmd.to_row(), result.code, result.order_id, result.status, result.filled8]
        if order is not None and cmd.kind != "place":  # a cancel or amend need not name these, its order knows
            row[6], row[7] = order.book.symbol, "Buy" if order.buy else "Sell"
        row.append(trades)
        encoded = orjson.dumps(row)
        self.hash = blake2b(self.hash + encoded, digest_size=16).digest()
        self.journal.append(encoded)
        if result.seq % HASH_EVERY == 0:
            self.hashes[result.seq] = self.hash.hex()

    def _place(self, seq: int, epoch: int, cmd: Command, trades: list[Fill]) -> tuple[int, Order | None]:
        key = f"{cmd.account}/{cmd.client_id}"
        known = self._orders.get(key)
        if known is not None and known.seq > self._forgotten:
            return RetCode.DUPLICATE_ID, known
        book = self._books.get(cmd.symbol)
        if book is None:
            book = self._books[cmd.symbol] = Book(cmd.symbol)
        limit8 = None if cmd.type == "Market" else cmd.price8
        order = Order(seq, epoch, cmd.client_id, book, cmd.side == "Buy", limit8, cmd.qty8)
        order.post_only = limit8 is not None and cmd.tif == "PostOnly"
        self._orders[key] = order
        if not _placeable(cmd):
            code = RetCode.BAD_REQUEST
        elif order.post_only and limit8 is not None and book.crosses(order.buy, limit8):
            code = RetCode.POST_ONLY_WOULD_TRADE
        else:
            trades += book.take(order, limit8)
            _settle(order, rest=limit8 is not None and cmd.tif != "IOC")
            return RetCode.OK, order
        order.code, order.status = code, Status.REJECTED
        return code, order

    def _change(self, seq: int, cmd: Command, trades: list[Fill]) -> tuple[int, Order | None]:
        key = f"{cmd.account}/{cmd.op_id}"
        order = self._orders.get(f"{cmd.account}/{cmd.parent}")
        if self._requests.get(key, 0) > self._forgotten:
            return RetCode.DUPLICATE_ID, order
        self._requests[key] = seq
        if order is None or order.level is None:
            return RetCode.ORDER_NOT_FOUND, order
        if cmd.kind == "amend":
            return _amend(order, cmd, trades), order
        order.book.withdraw(order)
        order.status = Status.CANCELLED
        return RetCode.OK, order

    def fills(self, first: int = 1, last: int | None = None) -> Iterator[FillRow]:
        """Trades of commands `first`..`last`, both included."""
        for row in self.journal.rows(first, last):
            yield from row.fills()

    def status_of(self, account: str, what: str, ident: str) -> dict[str, Any] | None:
        """What became of an id, or None when it is not known.

        `what` is "order" (a client id: state now), "request" (the op id of a cancel or amend: its result then) or
        "book" (`ident` is `SYMBOL` or `SYMBOL:levels`; at most 500 levels).
        """
        key = f"{account}/{ident}"
        if what == "order":
            order = self._orders.get(key)
            return None if order is None else _order_status(order)
        if what == "request":
            seq = self._requests.get(key)
            return None if seq is None else _request_status(self.journal.row(seq))
        return self._depth(ident) if what == "book" else None

    def _depth(self, ident: str) -> dict[str, Any] | None:
        symbol, _, text = ident.partition(":")
        book = self._books.get(symbol)
        limit = min(int(text), 500) if text.isdecimal() else 25
        bids, asks = ([], []) if book is None else (book.bids.depth(limit), book.asks.depth(limit))
        return {
            "symbol": symbol,
            "seq": self.seq,
            "bids": [[text8(price8), text8(open8)] for price8, open8 in bids],
            "asks": [[text8(price8), text8(open8)] for price8, open8 in asks],
        }

    def forget_ids(self) -> None:
        """Forget which ids were used: a later repetition is executed again (a planted weakness).

        Engines that must stay alike have to call it after the same command.
        """
        self._forgotten = self.seq

    def book(self, symbol: str) -> Book | None:
        """The book of `symbol`, None when no order ever named it."""
        return self._books.get(symbol)


def _placeable(cmd: Command) -> bool:
    if not 0 < cmd.qty8 <= MAX8 or cmd.side not in ("Buy", "Sell"):
        return False
    if cmd.type == "Market":
        return True
    return cmd.type == "Limit" and cmd.price8 is not None and 0 < cmd.price8 <= MAX8


def _settle(order: Order, rest: bool) -> None:
    """Status of an order that has traded what it could, and its place in the book when it may rest."""
    if order.filled8 == order.qty8:
        order.status = Status.FILLED
    elif rest:
        order.status = Status.PARTIAL if order.filled8 else Status.NEW
        order.book.rest(order)
    else:
        order.status = Status.CANCELLED


def _amend(order: Order, cmd: Command, trades: list[Fill]) -> int:
    """Change a resting order: less quantity keeps its place, more or another price goes to the back and may trade.

    A quantity that is already filled closes the order.
    """
    book, level = order.book, order.level
    price8 = order.price8 if cmd.price8 is None else cmd.price8
    qty8 = cmd.qty8 or order.qty8
    if price8 is None or level is None or not (0 < price8 <= MAX8 and 0 < qty8 <= MAX8):
        return RetCode.BAD_REQUEST
    if price8 == order.price8 and order.filled8 < qty8 <= order.qty8:
        level.open8 -= order.qty8 - qty8
        order.qty8 = qty8
        return RetCode.OK
    if order.post_only and qty8 > order.filled8 and book.crosses(order.buy, price8):
        return RetCode.POST_ONLY_WOULD_TRADE
    book.withdraw(order)
    if qty8 <= order.filled8:
        order.status = Status.CANCELLED
        return RetCode.OK
    order.price8, order.qty8 = price8, qty8
    trades += book.take(order, price8)
    _settle(order, rest=True)
    return RetCode.OK


def _result(code: int, seq: int, epoch: int, order: Order | None) -> Result:
    if order is None:
        return Result(int(code), seq, epoch, "", Status.REJECTED, 0)
    status = order.status if code == RetCode.OK else Status.REJECTED
    return Result(int(code), seq, epoch, order.order_id, status, order.filled8)


def _order_status(order: Order) -> dict[str, Any]:
    return {
        "seq": order.seq,
        "epoch": order.epoch,
        "code": int(order.code),
        "order_id": order.order_id,
        "client_id": order.client_id,
        "symbol": order.book.symbol,
        "side": "Buy" if order.buy else "Sell",
        "price8": order.price8,
        "qty8": order.qty8,
        "filled8": order.filled8,
        "status": order.status,
    }


def _request_status(row: JournalRow) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "epoch": row.epoch,
        "code": row.code,
        "order_id": row.order_id,
        "client_id": row.parent or "",
        "symbol": row.symbol,
        "filled8": row.filled8,
        "status": row.status,
    }
