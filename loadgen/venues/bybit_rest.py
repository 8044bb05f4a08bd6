"""Bybit's V5 trading API over REST, as Bybit has it and as the sandbox has it.

Everything but timestamp, ids and signature is rendered once a row of the trace and kept.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from drills.errors import DefinitionError
from loadgen.trace import Trace
from loadgen.venues import keys
from loadgen.venues.bybit_v5 import BUSINESS_REJECTS, CODES, RECV_WINDOW_MS, Arguments
from loadgen.venues.rest import (
    Kept,
    Question,
    Request,
    RestWire,
    answer_of_status,
    json_object,
    not_found,
    whole_number,
)
from loadgen.venues.wire import Answer, Meaning

Dialect = Literal["bybit", "sandbox"]
_ACTS = {"place": "create", "cancel": "cancel", "amend": "amend"}
_WINDOW = str(RECV_WINDOW_MS)

BYBIT_CODES: Mapping[int, Meaning] = {
    **CODES,
    429: Meaning.UNAVAILABLE,  # the trading service is under high load
    10005: Meaning.REJECT,  # the key may not do this
    10006: Meaning.UNAVAILABLE,  # rate limit of the key
    10007: Meaning.REJECT,  # authentication failed
    10008: Meaning.REJECT,  # banned
    10009: Meaning.REJECT,  # address banned
    10010: Meaning.REJECT,  # address is not the key's
    10014: Meaning.DUPLICATE,  # the request was seen before
    10016: Meaning.UNKNOWN,  # "server error": unlike in the sandbox, it may have got anywhere
    10017: Meaning.REJECT,  # no such route
    10018: Meaning.UNAVAILABLE,  # rate limit of the address
    10024: Meaning.REJECT,  # compliance
    10027: Meaning.REJECT,  # trading banned
    10029: Meaning.REJECT,  # symbol
    33004: Meaning.REJECT,  # key expired
    110003: Meaning.REJECT,  # price out of range
    110004: Meaning.REJECT,  # balance
    110007: Meaning.REJECT,  # balance
    110008: Meaning.REJECT,  # already filled or cancelled
    110010: Meaning.REJECT,  # already cancelled
    110012: Meaning.REJECT,  # balance
    110017: Meaning.REJECT,  # reduce-only
    110020: Meaning.REJECT,  # too many open orders
}
"""What Bybit's retCodes mean; source: https://bybit-exchange.github.io/docs/v5/error."""

BYBIT_BUSINESS = BUSINESS_REJECTS | {110008, 110010}


class _Part(NamedTuple):
    """What never changes of a row's request."""

    kind: str
    head: bytes  # request line and headers; the length of the body is always the same
    args: bytes  # of the JSON body, from behind the ids


class BybitRest(RestWire):
    """See `RestWire`. Rows that are no orders are recorded requests: they are sent with the session's own signature.

    In the sandbox a cancel or amend is known by an id of its own. At Bybit it is not: nobody can ask what became of it.
    """

    kinds = frozenset({"place", "cancel", "amend", "withdraw", "transfer", "request", "read"})

    def __init__(
        self,
        trace: Trace,
        run_id: str,
        venue: Mapping[str, Any],
        *,
        dialect: Dialect = "bybit",
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._stamp = b""
        super().__init__(trace, run_id, venue, wall=wall)
        self.dialect = dialect
        self.codes = CODES if dialect == "sandbox" else BYBIT_CODES
        self.business = frozenset(str(code) for code in (BUSINESS_REJECTS if dialect == "sandbox" else BYBIT_BUSINESS))
        self._category = str(venue.get("category", "linear"))
        self._secret = keys.of(venue) if self._needs_keys(venue) else None
        self._signers: dict[int, tuple[bytes, bytes, bytes]] = {}
        self._name = self._prefix.encode()
        self._arguments = Arguments(trace, None if dialect == "sandbox" else self._category)
        self._parts = Kept(self._part)

    def tick(self) -> None:
        """Take the wall clock anew: requests rendered until the next call carry this timestamp."""
        super().tick()
        self._stamp = b"%d" % self.now_ms

    def warm(self, rows: Sequence[int]) -> None:
        """Render what never changes of rows."""
        for row in rows:
            self._parts.of(row)

    def operation(self, number: int, row: int, parent: int, session: int, server_id: bytes | None) -> bytes:
        """The signed request of one operation."""
        part = self._parts.of(row)
        if part.kind == "place":
            body = b'{"orderLinkId":"%b%010d"%b' % (self._name, number, part.args)
        elif part.kind == "request":
            body = part.args
        elif self.dialect == "sandbox":
            ids = (self._name, number, self._name, parent, part.args)
            body = b'{"reqId":"%b%010d","orderLinkId":"%b%010d"%b' % ids
        else:
            body = b'{"orderLinkId":"%b%010d"%b' % (self._name, parent, part.args)
        signed = body if part.head[:3] != b"GET" else part.head.partition(b" ")[2].partition(b" ")[0].partition(b"?")[2]
        return Request(part.head + self._signature(session, signed) + body)

    def status(self, number: int, row: int, session: int) -> bytes | None:
        """GET /v5/order/realtime; None for what Bybit does not know by an id of ours."""
        kind, name = self.rows.kind(row), self.name(number)
        if self.dialect == "sandbox":
            query = f"orderLinkId={name}" if kind == "place" else f"reqId={name}"
        elif kind == "place":
            query = f"category={self._category}&orderLinkId={name}"
        else:
            return None
        line = f"GET {self.base}/v5/order/realtime?{query} HTTP/1.1\r\n".encode()
        return Question(line + self._signature(session, query.encode()))

    def read(self, number: int, request: bytes, status: int, body: bytes) -> Answer:
        """By retCode; by HTTP status where there is none."""
        message = json_object(body)
        code = message.get("retCode")
        asked = isinstance(request, Question)
        if type(code) is not int:
            return self._without_code(number, request, status)
        meaning = self.codes.get(code, Meaning.UNKNOWN)
        result = message.get("result")
        result = result if isinstance(result, dict) else {}
        if asked:
            # a refused question says nothing of the operation
            return (
                self._told(number, result) if code == 0 else Answer(number, Meaning.UNAVAILABLE, str(code), asked=True)
            )
        answer = Answer(number, meaning, str(code) if code else None)
        answer.seq, answer.epoch = whole_number(result.get("seq")), whole_number(result.get("epoch"))
        order_id = result.get("orderId")
        if isinstance(order_id, str) and order_id.isascii():
            answer.server_id = order_id.encode()
        return answer

    def _without_code(self, number: int, request: bytes, status: int) -> Answer:
        answer = answer_of_status(number, request, status)
        if answer.meaning is Meaning.OK:
            answer.meaning, answer.code = Meaning.UNKNOWN, f"HTTP {status}"
        elif status == 403 and not answer.asked:
            answer.meaning = Meaning.UNAVAILABLE  # the rate limit of an address
        return answer

    def _told(self, number: int, result: dict[str, Any]) -> Answer:
        """The answer to a status question."""
        if self.dialect == "bybit":
            orders = result.get("list")
            if not isinstance(orders, list):
                return Answer(number, Meaning.UNAVAILABLE, "no list", asked=True)
            order = orders[0] if orders and isinstance(orders[0], dict) else None
            if order is None:
                return not_found(number)
            if order.get("orderStatus") == "Rejected":
                return Answer(number, Meaning.REJECT, str(order.get("rejectReason"))[:60], asked=True)
            return Answer(number, Meaning.OK, asked=True)
        if not result.get("found"):
            return not_found(number)
        code = result.get("code")
        answer = Answer(number, Meaning.REJECT if code else Meaning.OK, str(code) if code else None, asked=True)
        answer.seq, answer.epoch = whole_number(result.get("seq")), whole_number(result.get("epoch"))
        return answer

    def _needs_keys(self, venue: Mapping[str, Any]) -> bool:
        return True

    def _signature(self, session: int, signed: bytes) -> bytes:
        """The headers that depend on session, time and content, and the blank line."""
        signer = self._signers.get(session)
        if signer is None:
            signer = self._signers[session] = self._signer(session)
        head, secret, named = signer
        stamp = self._stamp
        sign = hmac.digest(secret, stamp + named + signed, "sha256").hex().encode()
        return b"%b%b\r\nX-BAPI-SIGN: %b\r\n\r\n" % (head, stamp, sign)

    def _signer(self, session: int) -> tuple[bytes, bytes, bytes]:
        if self._secret is None:
            raise DefinitionError("venue.keys", "no API key for orders", hint="write keys, or templates for orders")
        key, secret = self._secret(session)
        head = f"X-BAPI-API-KEY: {key}\r\nX-BAPI-RECV-WINDOW: {_WINDOW}\r\nX-BAPI-TIMESTAMP: "
        return head.encode(), secret, f"{key}{_WINDOW}".encode()

    def _part(self, row: int) -> _Part:
        kind = self.rows.kind(row)
        if kind not in _ACTS:
            return self._recorded(row)
        args = self._arguments.of(row)[:-2]  # without the end of a WebSocket message
        ids = len(f'{{"orderLinkId":"{self.name(0)}"')
        if kind != "place" and self.dialect == "sandbox":
            ids += len(f'"reqId":"{self.name(0)}",')
        head = f"POST {self.base}/v5/order/{_ACTS[kind]} HTTP/1.1\r\nContent-Type: application/json\r\n"
        return _Part(kind, f"{head}Content-Length: {ids + len(args)}\r\n".encode(), args)

    def _recorded(self, row: int) -> _Part:
        payload = self.rows.payload(row)
        body = str(payload.get("body") or "").encode()
        try:
            text = self.request(str(payload.get("method", "GET")), payload["path"], _content_type(payload), body)
        except ValueError as error:
            raise DefinitionError(self.trace_name, f"row {row}: {error}", hint="import it again") from error
        head, _, _ = text.partition(b"\r\n\r\n")
        return _Part("request", head + b"\r\n", body)


def _content_type(payload: Mapping[str, Any]) -> list[tuple[str, str]]:
    headers = payload.get("headers")
    pairs = headers.items() if isinstance(headers, Mapping) else ()
    return [("Content-Type", str(value)) for name, value in pairs if str(name).lower() == "content-type"]
