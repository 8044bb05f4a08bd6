"""The wire format of Bybit's V5 trading API: signing, rendering, answers, and what each answer means."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import orjson

from loadgen.trace import Symbol, Trace

RECV_WINDOW_MS = 5000
_OPS = {"place": "order.create", "cancel": "order.cancel", "amend": "order.amend"}
_WINDOW = str(RECV_WINDOW_MS).encode()


class Meaning(Enum):
    """What an answer says about the operation."""

    OK = "executed"
    REJECT = "refused for good, not executed"
    UNAVAILABLE = "surely not executed now; may be tried again"
    DUPLICATE = "its id was seen before: ask for its status"
    UNKNOWN = "may or may not have been executed"


CODES: Mapping[int, Meaning] = {
    0: Meaning.OK,
    10000: Meaning.UNKNOWN,  # the gateway lost sight of it
    10001: Meaning.REJECT,  # bad request
    10002: Meaning.REJECT,  # timestamp outside the receive window
    10003: Meaning.REJECT,  # key
    10004: Meaning.REJECT,  # signature
    10016: Meaning.UNAVAILABLE,  # nobody to execute it
    110001: Meaning.REJECT,  # no such order, or already closed
    110072: Meaning.DUPLICATE,
    110301: Meaning.REJECT,  # post-only would have traded
}
BUSINESS_REJECTS = frozenset({110001, 110301})
"""Rejects that are a correct answer of a healthy venue."""


def classify(code: int) -> Meaning:
    """The meaning of a retCode; a code nobody has told us about leaves the outcome unknown."""
    return CODES.get(code, Meaning.UNKNOWN)


def secret_of(master: bytes, account: str) -> bytes:
    """The API secret of an account of the sandbox, hex as its clients use it."""
    return hmac.digest(master, account.encode(), "sha256").hex().encode()


def signature(secret: bytes, message: str) -> str:
    """Hex HMAC-SHA256 of what the API asks to be signed."""
    return hmac.digest(secret, message.encode(), "sha256").hex()


def rest_headers(secret: bytes, account: str, payload: str, now_ms: int) -> dict[str, str]:
    """Headers of a signed REST call; `payload` is the body of a POST or the query string of a GET."""
    window = str(RECV_WINDOW_MS)
    return {
        "X-BAPI-API-KEY": account,
        "X-BAPI-TIMESTAMP": str(now_ms),
        "X-BAPI-RECV-WINDOW": window,
        "X-BAPI-SIGN": signature(secret, f"{now_ms}{account}{window}{payload}"),
        "Content-Type": "application/json",
    }


class Wire:
    """Renders the operations of one trace as WebSocket messages; the part that never changes is rendered once."""

    def __init__(self, trace: Trace, run_id: str, master: bytes, wall: Callable[[], float] = time.time) -> None:
        self._prefix = f"{run_id}-"
        self._master, self._wall = master, wall
        self._trace = trace
        self._kinds: list[str] = trace.table["op"].to_pylist()
        self._args: list[bytes | None] = [None] * len(self._kinds)
        self._columns = {
            name: trace.table[name] for name in ("symbol", "side", "type", "tif", "price_ticks", "qty_lots")
        }
        self._head = b""
        self.tick()

    def tick(self) -> None:
        """Take the wall clock anew: messages rendered until the next call carry this timestamp."""
        stamp = str(int(self._wall() * 1000)).encode()
        self._head = b'","header":{"X-BAPI-TIMESTAMP":"' + stamp + b'","X-BAPI-RECV-WINDOW":"' + _WINDOW + b'"},"op":"'

    def auth(self, account: str) -> bytes:
        """The message that signs a connection in."""
        expires = int(self._wall() * 1000) + RECV_WINDOW_MS
        sign = signature(secret_of(self._master, account), f"GET/realtime{expires}")
        return orjson.dumps({"reqId": "auth", "op": "auth", "args": [account, expires, sign]})

    def operation(self, n: int, row: int, parent: int) -> bytes:
        """Operation n, which is `row` of the trace; `parent` is the n of the order it names (ignored for a place)."""
        kind, args = self._kinds[row], self._args[row]
        if args is None:
            args = self._args[row] = self._render(row)
        link = n if kind == "place" else parent
        op_id = f'{{"reqId":"{self._prefix}{n}'.encode()
        op = f'{_OPS[kind]}","args":[{{"orderLinkId":"{self._prefix}{link}"'.encode()
        return op_id + self._head + op + args

    def status(self, n: int, kind: str) -> bytes:
        """The question what became of operation n."""
        field = "orderLinkId" if kind == "place" else "reqId"
        rest = f'order.status","args":[{{"{field}":"{self._prefix}{n}"}}]}}'
        return f'{{"reqId":"q{self._prefix}{n}'.encode() + self._head + rest.encode()

    def number(self, request_id: str) -> tuple[int, bool] | None:
        """(n, whether it answers a status question) of an answer's reqId; None where it is not ours."""
        asked = request_id.startswith("q")
        name = request_id[1:] if asked else request_id
        number = name[len(self._prefix) :]
        return (int(number), asked) if name.startswith(self._prefix) and number.isdecimal() else None

    def _render(self, row: int) -> bytes:
        value: dict[str, Any] = {name: column[row].as_py() for name, column in self._columns.items()}
        grid: Symbol = self._trace.grid[value["symbol"]]
        fields: dict[str, str] = {"symbol": value["symbol"]}
        if self._kinds[row] == "place":
            fields |= {"side": value["side"], "orderType": value["type"], "timeInForce": value["tif"]}
        if value["price_ticks"] is not None:
            fields["price"] = f"{value['price_ticks'] * grid.tick:f}"
        if value["qty_lots"] is not None:
            fields["qty"] = f"{value['qty_lots'] * grid.lot:f}"
        return b"," + orjson.dumps(fields)[1:] + b"]}"
