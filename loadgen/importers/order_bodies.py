"""Orders as venues' APIs write them, in requests and answers: Bybit V5 (JSON) and Binance (query strings).

What a trace cannot say (conditional orders, quantities in quote currency) raises ValueError, as does any other value
that is no order: its request is then kept as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from loadgen.importers.values import symbol, units8

Fields = Mapping[str, Any]

_BYBIT = re.compile(r"/v5/order/(create|cancel|amend)(-batch)?")
_BINANCE = re.compile(r"/(?:api/v3|[fd]api/v1|sapi/v1/margin)/order")
_BYBIT_OPS = {"create": "place", "cancel": "cancel", "amend": "amend"}
_BINANCE_OPS = {"POST": "place", "DELETE": "cancel", "PUT": "amend"}
_TIFS = {"GTC": "GTC", "IOC": "IOC", "FOK": "IOC", "PostOnly": "PostOnly", "GTX": "PostOnly"}
_ID_LENGTH = 256
FOK = "fill-or-kill, taken as IOC"


@dataclass(slots=True)
class Order:
    """One place, cancel or amend; `own` and `server` are the ids that a place gets, or that a cancel or amend names."""

    op: str
    symbol: str
    side: str | None = None
    type: str | None = None
    tif: str | None = None
    price8: int | None = None
    qty8: int | None = None
    own: str | None = None
    server: str | None = None
    status: str | None = None
    odd: str | None = None  # what of it a trace does not say


def is_order(method: str, path: str) -> bool:
    """Whether a request goes where orders go."""
    return (method == "POST" and bool(_BYBIT.fullmatch(path))) or _binance(method, path)


def of_request(method: str, path: str, fields: Fields) -> list[Order]:
    """The orders of a request that goes where orders go; `fields` are those of its body, or of its query."""
    found = _BYBIT.fullmatch(path)
    if found:
        op = _BYBIT_OPS[found[1]]
        return [of_bybit(op, one, fields.get("category")) for one in (_batch(fields) if found[2] else [fields])]
    return [of_binance(_BINANCE_OPS[method], fields)]


def of_message(message: Fields) -> list[Order] | None:
    """The orders of a message of Bybit's trade WebSocket; None where it is about something else."""
    name, _, kind = str(message.get("op")).partition(".")
    op, _, batch = kind.partition("-")
    if name != "order" or op not in _BYBIT_OPS or batch not in ("", "batch"):
        return None
    args = message.get("args")
    if not isinstance(args, list) or not args or not all(isinstance(one, dict) for one in args):
        raise ValueError("no args")
    several = [(one, arg.get("category")) for arg in args for one in (_batch(arg) if batch else [arg])]
    return [of_bybit(_BYBIT_OPS[op], one, category) for one, category in several]


def of_bybit(op: str, fields: Fields, category: object = None) -> Order:
    """One order of Bybit V5."""
    order = Order(op, symbol(fields["symbol"]))
    order.own, order.server = _id(fields, "orderLinkId"), _id(fields, "orderId")
    if op == "place":
        _bybit_terms(order, fields, category)
    elif not (order.own or order.server):
        raise ValueError("names no order")
    if op == "amend":
        _changes(order, fields, "price", "qty")
    return order


def of_binance(op: str, fields: Fields) -> Order:
    """One order of Binance, spot or futures."""
    order = Order(op, symbol(fields["symbol"]))
    order.own = _id(fields, "newClientOrderId" if op == "place" else "origClientOrderId")
    server = _id(fields, "orderId")
    order.server = _binance_server(order.symbol, server) if server else None
    if op == "place":
        kind = fields["type"]
        if kind not in ("LIMIT", "MARKET", "LIMIT_MAKER"):
            raise ValueError("a conditional order")
        tif = "PostOnly" if kind == "LIMIT_MAKER" else fields.get("timeInForce")
        _terms(order, fields["side"], "Market" if kind == "MARKET" else "Limit", tif)
        order.price8 = None if kind == "MARKET" else units8(fields["price"])
        order.qty8 = units8(fields["quantity"])
    elif not (order.own or order.server):
        raise ValueError("names no order")
    if op == "amend":
        _changes(order, fields, "price", "quantity")
    return order


def take_answer(orders: list[Order], answer: bytes) -> None:
    """Give orders the ids and outcomes that the answer to their request tells; an answer that is none tells nothing."""
    try:
        told = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return
    if not isinstance(told, dict):
        return
    parts, codes = _parts(told, len(orders))
    for order, part, code in zip(orders, parts, codes, strict=True):
        if code is not None:
            order.status = "ok" if code == 0 else f"Rejected {code}"
        server = part.get("orderId")
        if order.op == "place" and isinstance(server, str | int) and not isinstance(server, bool):
            text = str(server)[:_ID_LENGTH]
            order.server = text if "retCode" in told else _binance_server(order.symbol, text)


def _parts(told: Fields, count: int) -> tuple[list[Fields], list[int | None]]:
    """One part of an answer for each order, and its code."""
    code = told.get("retCode", told.get("code", 0 if "orderId" in told else None))
    code = code if isinstance(code, int) else None
    result = told.get("result", told.get("data", told if "retCode" not in told else {}))
    listed = result.get("list") if isinstance(result, dict) else None
    if not isinstance(listed, list):
        return [result if isinstance(result, dict) else {}] * count, [code] * count
    more = told.get("retExtInfo")
    codes = more.get("list") if isinstance(more, dict) else None
    parts: list[Fields] = [one if isinstance(one, dict) else {} for one in listed[:count]]
    parts += [{}] * (count - len(parts))
    if not isinstance(codes, list) or len(codes) != count:
        return parts, [code] * count
    return parts, [one.get("code") if isinstance(one, dict) else None for one in codes]


def _binance(method: str, path: str) -> bool:
    return method in _BINANCE_OPS and bool(_BINANCE.fullmatch(path))


def _binance_server(symbol_: str, server: str) -> str:
    return f"{symbol_}/{server}"  # Binance numbers the orders of each symbol


def _batch(fields: Fields) -> list[Fields]:
    found = fields.get("request")
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise ValueError("no batch")
    return found


def _bybit_terms(order: Order, fields: Fields, category: object) -> None:
    if fields.get("triggerPrice") or fields.get("orderFilter") not in (None, "", "Order"):
        raise ValueError("a conditional order")
    kind = fields["orderType"]
    order.server = None  # a place names none
    _terms(order, fields["side"], kind, fields.get("timeInForce"))
    if kind == "Market":
        # https://bybit-exchange.github.io/docs/v5/order/create-order: a spot market buy counts in quote currency
        unit = "quoteCoin" if category == "spot" and order.side == "Buy" else "baseCoin"
        if (fields.get("marketUnit") or unit) == "quoteCoin":
            raise ValueError("a quantity in quote currency")
    else:
        order.price8 = units8(fields["price"])
    order.qty8 = units8(fields["qty"])


def _terms(order: Order, side: object, kind: object, tif: object) -> None:
    order.side, order.type = str(side).capitalize(), str(kind)
    if order.side not in ("Buy", "Sell") or order.type not in ("Limit", "Market"):
        raise ValueError("no side or type")
    tif = str(tif) if tif else "GTC" if order.type == "Limit" else "IOC"
    if tif not in _TIFS:
        raise ValueError(f"time in force {tif[:20]}")
    order.tif, order.odd = _TIFS[tif], FOK if tif == "FOK" else None


def _changes(order: Order, fields: Fields, price: str, qty: str) -> None:
    order.price8 = units8(fields[price]) if fields.get(price) else None
    order.qty8 = units8(fields[qty]) if fields.get(qty) else None
    if order.price8 is None and order.qty8 is None:
        raise ValueError("amends neither price nor quantity")


def _id(fields: Fields, name: str) -> str | None:
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > _ID_LENGTH:
        raise ValueError(f"no {name}")
    return str(value)
