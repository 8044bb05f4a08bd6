"""What clients ask for, checked field by field, and how they are answered; shared by REST and WebSocket."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.exchange.codes import MESSAGES, RetCode
from sandbox.exchange.commands import Command, parse8, text8

KINDS: Final = {"order.create": "place", "order.cancel": "cancel", "order.amend": "amend"}
STATUS_OP: Final = "order.status"

_ID = re.compile(r"[A-Za-z0-9_-]{1,36}", re.ASCII)
_SYMBOL = re.compile(r"[A-Z0-9]{4,20}", re.ASCII)
_SIDES = ("Buy", "Sell")
_TYPES = ("Limit", "Market")
_TIFS = ("GTC", "IOC", "PostOnly")


class BadRequest(ValueError):
    """A request that cannot be carried out; the message names the field and shows its value."""


@dataclass(slots=True)
class Query:
    """A question to the leader: `what` is order, request or book."""

    account: str
    what: str
    ident: str


@dataclass(slots=True)
class Reply:
    """The answer to a request: a return code, and data where the leader answered."""

    code: int
    data: dict[str, Any]
    message: str = ""

    @property
    def text(self) -> str:
        """The message for a person."""
        return self.message or MESSAGES.get(self.code, "error")


def _text(args: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = args.get(name, default)
    if not isinstance(value, str):
        raise BadRequest(f"{name} is missing" if value is None else f"{name} must be text")
    return value


def _one_of(args: Mapping[str, Any], name: str, allowed: tuple[str, ...], default: str | None = None) -> str:
    value = _text(args, name, default)
    if value not in allowed:
        raise BadRequest(f"{name} must be one of {', '.join(allowed)}: {value[:40]!r}")
    return value


def _matching(args: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = _text(args, name)
    if pattern.fullmatch(value) is None:
        raise BadRequest(f"{name} must match {pattern.pattern}: {value[:40]!r}")
    return value


def _number8(args: Mapping[str, Any], name: str) -> int:
    try:
        return parse8(_text(args, name))
    except BadRequest:
        raise
    except ValueError as error:
        raise BadRequest(f"{name}: {error}") from None


def safe_id(value: object) -> str:
    """`value` when it is a well-formed id, else an empty text: what may be echoed and logged."""
    return value if isinstance(value, str) and _ID.fullmatch(value) is not None else ""


def command(kind: str, account: str, req_id: object, args: object, now_ns: int) -> Command:
    """The command that `args` asks for; raises BadRequest.

    A place is known by its orderLinkId, a cancel or amend by `req_id`.
    """
    if not isinstance(args, dict):
        raise BadRequest("the order must be an object")
    if args.get("category", "linear") != "linear":
        raise BadRequest("category must be linear")
    symbol = _matching(args, "symbol", _SYMBOL)
    link_id = _matching(args, "orderLinkId", _ID)
    if kind == "place":
        return _place(account, symbol, link_id, args, now_ns)
    op_id = safe_id(req_id)
    if not op_id:
        raise BadRequest("reqId is missing or not an id of at most 36 letters, digits, - and _")
    price8 = _number8(args, "price") if kind == "amend" and "price" in args else None
    qty8 = _number8(args, "qty") if kind == "amend" and "qty" in args else 0
    if kind == "amend" and price8 is None and qty8 == 0:
        raise BadRequest("an amend needs price or qty")
    side = _one_of(args, "side", _SIDES, "Buy")
    return Command(now_ns, kind, account, op_id, symbol, side, "Limit", "GTC", price8, qty8, "", link_id)


def _place(account: str, symbol: str, link_id: str, args: dict[str, Any], now_ns: int) -> Command:
    side = _one_of(args, "side", _SIDES)
    kind = _one_of(args, "orderType", _TYPES)
    qty8 = _number8(args, "qty")
    if kind == "Market":
        tif, price8 = "IOC", None
    else:
        tif, price8 = _one_of(args, "timeInForce", _TIFS, "GTC"), _number8(args, "price")
    return Command(now_ns, "place", account, link_id, symbol, side, kind, tif, price8, qty8, link_id, None)


def status_query(account: str, args: object) -> Query:
    """The question by orderLinkId or reqId; raises BadRequest."""
    if not isinstance(args, Mapping):
        raise BadRequest("the question must be an object")
    if "orderLinkId" in args:
        return Query(account, "order", _matching(args, "orderLinkId", _ID))
    return Query(account, "request", _matching(args, "reqId", _ID))


def book_query(args: Mapping[str, Any]) -> Query:
    """The question for an order book; raises BadRequest."""
    limit = _text(args, "limit", "25")
    if not (limit.isascii() and limit.isdecimal() and len(limit) <= 3 and 1 <= int(limit) <= 500):
        raise BadRequest(f"limit must be 1..500: {limit[:40]!r}")
    return Query("", "book", f"{_matching(args, 'symbol', _SYMBOL)}:{int(limit)}")


def executed(link_id: str, result: list[Any]) -> Reply:
    """The reply for a result row `[code, seq, epoch, order_id, status, filled8]` of the leader."""
    code, seq, epoch, order_id, status, filled8 = result
    if code == RetCode.UNAVAILABLE:
        return Reply(code, {})
    data = {"orderId": order_id, "orderLinkId": link_id, "seq": seq, "epoch": epoch, "status": status}
    data["filled"] = text8(filled8)
    return Reply(code, data)


def status_reply(answer: dict[str, Any] | None) -> Reply:
    """The reply for a status object of the leader; an id it does not know is `found: false`, not an error."""
    if answer is None:
        return Reply(RetCode.OK, {"found": False})
    data = {
        "found": True,
        "seq": answer["seq"],
        "epoch": answer["epoch"],
        "code": answer["code"],
        "status": answer["status"],
        "orderId": answer["order_id"],
        "orderLinkId": answer["client_id"],
        "symbol": answer["symbol"],
        "filled": text8(answer["filled8"]),
    }
    if "qty8" in answer:
        price8 = answer["price8"]
        data |= {"side": answer["side"], "qty": text8(answer["qty8"]), "price": price8 and text8(price8)}
    return Reply(RetCode.OK, data)
