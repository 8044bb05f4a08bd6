"""Binance spot as a venue: signed requests over REST, and what the answers mean.

Left out: amends. Binance changes an order by replacing it with one of another id, which later cancels would have to
name; so the replay counts them as not to be sent here.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from loadgen.trace import Trace
from loadgen.venues import keys
from loadgen.venues.rest import Kept, Question, RestWire, answer_of_status, json_object, not_found
from loadgen.venues.unaudited import Unaudited
from loadgen.venues.wire import Answer, Meaning, Wire

PATH = "/api/v3/order"
CODES: Mapping[int, Meaning] = {
    -1002: Meaning.REJECT,  # not authorised
    -1003: Meaning.UNAVAILABLE,  # too many requests
    -1008: Meaning.UNAVAILABLE,  # server busy
    -1013: Meaning.REJECT,  # a filter of the symbol; it never reached the matching engine
    -1015: Meaning.UNAVAILABLE,  # too many orders
    -1016: Meaning.UNAVAILABLE,  # shutting down
    -1021: Meaning.REJECT,  # timestamp outside the receive window
    -1022: Meaning.REJECT,  # signature
    -1100: Meaning.REJECT,  # illegal characters
    -1102: Meaning.REJECT,  # a parameter is missing
    -1111: Meaning.REJECT,  # precision
    -1121: Meaning.REJECT,  # symbol
    -2010: Meaning.REJECT,  # the order is refused; why stands in the message
    -2011: Meaning.REJECT,  # the cancel is refused
    -2014: Meaning.REJECT,  # key
    -2015: Meaning.REJECT,  # key, address or permission
}
"""https://developers.binance.com/en/docs/products/spot/errors; any other code leaves the outcome unknown."""
DUPLICATE = "Duplicate order sent."
POST_ONLY = "Order would immediately match and take."
NO_ORDER = -2013


class BinanceWire(RestWire):
    """See `loadgen.venues.rest.RestWire`."""

    kinds = frozenset({"place", "cancel"})
    business = frozenset({f"-2010 {POST_ONLY}", "-2011 Unknown order sent."})

    def __init__(
        self, trace: Trace, run_id: str, venue: Mapping[str, Any], *, wall: Callable[[], float] = time.time
    ) -> None:
        super().__init__(trace, run_id, venue, wall=wall)
        self._secret = keys.of(venue)
        self._fields = Kept(self._parameters)

    def operation(self, number: int, row: int, parent: int, session: int, server_id: bytes | None) -> bytes:
        """POST for a place, DELETE for a cancel."""
        kind = self.rows.kind(row)
        if kind not in self.kinds:
            raise self.unsupported(row)
        named = "" if kind == "place" else f"&origClientOrderId={self.name(parent)}"
        query = f"{self._fields.of(row)}&newClientOrderId={self.name(number)}{named}"
        target, headers = self._signed(query, session)
        return self.request("POST" if kind == "place" else "DELETE", target, headers)

    def status(self, number: int, row: int, session: int) -> bytes | None:
        """By client id; a cancel leaves no trace of its own id that could be asked for."""
        if self.rows.kind(row) != "place":
            return None
        return self.question(
            *self._signed(f"symbol={self.rows.order(row).symbol}&origClientOrderId={self.name(number)}", session)
        )

    def read(self, number: int, request: bytes, status: int, body: bytes) -> Answer:
        """By the code in the body; by HTTP status where there is none."""
        message, asked = json_object(body), isinstance(request, Question)
        code, text = message.get("code"), str(message.get("msg", ""))
        if status == 200 and "orderId" in message:
            refused = asked and message.get("status") == "REJECTED"
            return Answer(number, Meaning.REJECT if refused else Meaning.OK, asked=asked)
        if asked and code == NO_ORDER:
            return not_found(number)
        if asked or not isinstance(code, int):
            answer = answer_of_status(number, request, status)
            return answer if answer.meaning is not Meaning.OK else Answer(number, Meaning.UNKNOWN, f"HTTP {status}")
        meaning = Meaning.DUPLICATE if text == DUPLICATE else CODES.get(code, Meaning.UNKNOWN)
        return Answer(number, meaning, f"{code} {text}"[:60] if code in (-2010, -2011) else str(code))

    def _signed(self, query: str, session: int) -> tuple[str, list[tuple[str, str]]]:
        key, secret = self._secret(session)
        query = f"{query}&recvWindow=5000&timestamp={self.now_ms}"
        sign = hmac.digest(secret, query.encode(), "sha256").hex()
        return f"{PATH}?{query}&signature={sign}", [("X-MBX-APIKEY", key)]

    def _parameters(self, row: int) -> str:
        """The parameters of a row that never change."""
        order = self.rows.order(row)
        if order.kind == "cancel":
            return urlencode({"symbol": order.symbol})
        type_ = "LIMIT_MAKER" if order.tif == "PostOnly" else order.type.upper()
        fields = {"symbol": order.symbol, "side": order.side.upper(), "type": type_, "quantity": order.qty}
        if type_ != "MARKET":
            fields["price"] = order.price
        if type_ == "LIMIT":
            fields["timeInForce"] = order.tif
        return urlencode({**fields, "newOrderRespType": "ACK"})


class BinanceSpot(Unaudited):
    """The venue; its description holds `type: binance-spot`, `rest` and `keys`."""

    name = "binance-spot"

    def wire(self, trace: Trace, run_id: str, venue: Mapping[str, Any], seed: int) -> Wire:
        """See `loadgen.venues.Venue`."""
        return BinanceWire(trace, run_id, venue)
