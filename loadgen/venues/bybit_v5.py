"""The wire format of Bybit's V5 trading API: signing, rendering, answers, and what each answer means."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

import orjson

from loadgen.trace import Trace
from loadgen.venues.wire import Meaning

RECV_WINDOW_MS = 5000


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


class Arguments:
    """The part of an operation's arguments that stands in its row of the trace, as JSON from behind the order's id."""

    def __init__(self, trace: Trace, category: str | None = None) -> None:
        self._category = category
        self._op, self._symbol, self._side, self._type, self._tif = (
            trace.codes(name) for name in ("op", "symbol", "side", "type", "tif")
        )
        self._price, self._qty = trace.ints("price_ticks"), trace.ints("qty_lots")
        self._grid = [trace.grid.get(name) for name in self._symbol[1]]

    def of(self, row: int) -> bytes:
        """`,"symbol":...}]}` of a row."""
        symbol = int(self._symbol[0][row])
        grid, price, qty = self._grid[symbol], int(self._price[row]), int(self._qty[row])
        fields: dict[str, str] = {"symbol": self._symbol[1][symbol]}
        if self._category:
            fields["category"] = self._category
        if self._op[1][self._op[0][row]] == "place":
            names = (("side", self._side), ("orderType", self._type), ("timeInForce", self._tif))
            fields |= {name: values[codes[row]] for name, (codes, values) in names}
        if grid is not None and price >= 0:
            fields["price"] = f"{price * grid.tick:f}"
        if grid is not None and qty >= 0:
            fields["qty"] = f"{qty * grid.lot:f}"
        return b"," + orjson.dumps(fields)[1:] + b"]}"
