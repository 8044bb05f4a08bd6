"""Rows of a trace one after the other, with prices and quantities as decimals, and as HTTP requests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from loadgen.importers.http_ops import ROW_HEADER, row_header
from loadgen.trace import Symbol, Trace

_BATCH = 4096
_ACTS = {"place": "create", "cancel": "cancel", "amend": "amend"}
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_METHOD = re.compile(r"[A-Z]{1,20}", re.ASCII)
_TARGET = re.compile(r"/[!\"$-~]*", re.ASCII)  # not #, which no server gets to see
_VALUE = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?", re.ASCII)
_OF_THE_WIRE = frozenset({"host", "connection", "content-length", "content-encoding", "transfer-encoding"})
_ID_LENGTH = 256


@dataclass(slots=True)
class Operation:
    """One row; `price` and `qty` as decimal strings, None where the row has none."""

    t_ns: int
    session: int
    account: str
    op: str
    symbol: str
    side: str | None
    type: str | None
    tif: str | None
    price: str | None
    qty: str | None
    client_id: str | None
    parent: str | None
    status: str | None
    latency_us: int | None
    payload: bytes | None


@dataclass(slots=True)
class Request:
    """An operation as an HTTP request, or as one WebSocket message."""

    method: str = "GET"
    target: str = "/"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    message: str | None = None


class Unsayable(ValueError):
    """A row that the format cannot say; the text is one of a few."""


_NAMES = (
    "t_ns",
    "session",
    "account",
    "op",
    "symbol",
    "side",
    "type",
    "tif",
    "price_ticks",
    "qty_lots",
    "client_id",
    "parent",
    "rec_status",
    "rec_latency_us",
    "payload",
)


def operations(trace: Trace) -> Iterator[Operation]:
    """Every row, in order."""
    grid = trace.grid
    for batch in trace.table.select(_NAMES).to_batches(max_chunksize=_BATCH):
        columns = [column.to_pylist() for column in batch.columns]
        for values in zip(*columns, strict=True):
            operation = Operation(*values)
            symbol = grid.get(operation.symbol)
            operation.price, operation.qty = _decimal(symbol, 0, values[8]), _decimal(symbol, 1, values[9])
            yield operation


def _decimal(symbol: Symbol | None, which: int, count: int | None) -> str | None:
    return None if symbol is None or count is None else f"{count * symbol[which]:f}"


def request(operation: Operation) -> Request:
    """The request of an operation; raises Unsayable where no HTTP request and no message says it."""
    told: dict[str, Any] = {"session": operation.session, "account": operation.account}
    told |= {"status": operation.status} if operation.status is not None else {}
    told |= {"latency_us": operation.latency_us} if operation.latency_us is not None else {}
    if operation.op in _ACTS:
        made = Request("POST", f"/v5/order/{_ACTS[operation.op]}", {"content-type": "application/json"})
        made.body = orjson.dumps(_order(operation))
    else:
        made = _recorded(operation.payload)
        told |= {"op": operation.op, "symbol": operation.symbol}
    if _VALUE.fullmatch(operation.account) and made.message is None:
        made.headers["x-bapi-api-key"] = operation.account
    made.headers[ROW_HEADER] = row_header(told)
    return made


def _order(operation: Operation) -> Mapping[str, str]:
    """The body of a request of Bybit's V5 API."""
    name = operation.client_id if operation.op == "place" else operation.parent
    if len(name or "") > _ID_LENGTH:
        raise Unsayable(f"a client id of more than {_ID_LENGTH} characters")
    terms = {
        "category": "linear",
        "symbol": operation.symbol,
        "orderLinkId": name,
        "price": operation.price if operation.op != "cancel" else None,
        "qty": operation.qty if operation.op != "cancel" else None,
    }
    if operation.op == "place":
        terms |= {"side": operation.side, "orderType": operation.type, "timeInForce": operation.tif}
    return {name: value for name, value in terms.items() if value is not None}


def _recorded(payload: bytes | None) -> Request:
    try:
        content = orjson.loads(payload or b"")
    except orjson.JSONDecodeError:
        raise Unsayable("its payload is not JSON") from None
    if not isinstance(content, dict):
        raise Unsayable("its payload is not JSON")
    if "message" in content:
        return Request(message=str(content["message"]))
    method, target, headers = (content.get(name) for name in ("method", "path", "headers"))
    headers = {} if headers is None else headers
    if not (isinstance(method, str) and _METHOD.fullmatch(method) and isinstance(target, str)):
        raise Unsayable("its method or path is not HTTP")
    if not _TARGET.fullmatch(target) or not isinstance(headers, dict) or not all(map(_sayable, headers.items())):
        raise Unsayable("its path or headers are not HTTP")
    kept = {name: value for name, value in headers.items() if name.lower() not in _OF_THE_WIRE}
    return Request(method, target, kept, str(content.get("body", "")).encode())


def _sayable(header: tuple[str, Any]) -> bool:
    name, value = header
    return bool(isinstance(value, str) and _TOKEN.fullmatch(name) and _VALUE.fullmatch(value))
