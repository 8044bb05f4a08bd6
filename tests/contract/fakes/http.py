"""HTTP/1.1 as a server reads it, and the REST faces of venues on top."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from tests.contract.fakes import Book, Seen

SECRETS = {"key-0": "secret number nought", "key-1": "secret number one"}
NOW_MS = 1_700_000_000_123


@dataclass(slots=True)
class Call:
    method: str
    target: str
    headers: dict[str, str]  # names in small letters
    body: str

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}


def sign(secret: str, text: str) -> str:
    """Hex HMAC-SHA256 by its definition (RFC 2104), written down once more on the other side of the wire."""
    key = secret.encode().ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + text.encode()).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest()


def sandbox_secret(account: str) -> str:
    return hmac.new(b"not really a secret", account.encode(), "sha256").hexdigest()


class HttpFake:
    """One connection; `answer` gives (status, object to send as JSON) of a call."""

    def __init__(self, book: Book, answer: Callable[[Call], tuple[int, object]], host: str = "venue.test:8080") -> None:
        self.book, self._answer, self._host = book, answer, host
        self._rest = b""

    def receive(self, data: bytes) -> bytes:
        self._rest += data
        head, blank, rest = self._rest.partition(b"\r\n\r\n")
        if not blank:
            return b""
        line, *lines = head.decode().split("\r\n")
        pairs = [part.split(": ", 1) for part in lines]
        headers = {name.lower(): value for name, value in pairs}
        if len(headers) != len(pairs):
            self.book.problems.append("a header twice")
        size = int(headers.get("content-length", "0"))
        if len(rest) < size:
            return b""
        self._rest = rest[size:]
        method, target, version = line.split(" ")
        if version != "HTTP/1.1" or headers.get("host") != self._host:
            self.book.problems.append(f"{line}, host {headers.get('host')}")
        if self._rest:
            self.book.problems.append("a second request at once")
        status, value = self._answer(Call(method, target, headers, rest[:size].decode()))
        return response(status, b"" if value is None else json.dumps(value).encode()) if status else b""


def response(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


BYBIT_CODES = {"ok": 0, "reject": 110001, "duplicate": 110072, "unknown": 987654}


class BybitRestFake:
    """Bybit, or the sandbox with its own ids and answers."""

    def __init__(self, book: Book, *, sandbox: bool) -> None:
        self.book, self.sandbox = book, sandbox

    def connection(self) -> HttpFake:
        return HttpFake(self.book, self.answer)

    def answer(self, call: Call) -> tuple[int, object]:
        self._check(call)
        if call.method == "GET":
            return self._status(call)
        act = re.fullmatch(r"/v5/order/(create|cancel|amend)", call.path)
        assert act, call.path
        kind = {"create": "place"}.get(act[1], act[1])
        args = json.loads(call.body)
        link = args["orderLinkId"]
        own = link if kind == "place" else args.get("reqId", "")
        words = [args.get(name, "") for name in ("symbol", "side", "orderType", "timeInForce", "price", "qty")]
        if not self.sandbox and args.get("category") != "linear":
            self.book.problems.append("no category")
        word = self.book.take(Seen(kind, own, "" if kind == "place" else link, *words))
        if word == "silent":
            return 0, None
        if word == "unavailable":
            return (200, {"retCode": 10016, "result": {}}) if self.sandbox else (503, None)
        result: dict[str, object] = {"orderId": f"o-{link}", "orderLinkId": link}
        if self.sandbox:
            result |= {"seq": 7, "epoch": 2}
        return 200, {"retCode": BYBIT_CODES[word], "retMsg": word, "result": result if word == "ok" else {}}

    def _status(self, call: Call) -> tuple[int, object]:
        assert call.path == "/v5/order/realtime"
        ident = call.query.get("orderLinkId") or call.query["reqId"]
        self.book.asked.append(ident)
        if self.book.refuse_questions:
            return 200, {"retCode": 10001, "retMsg": "no", "result": {}}
        done = self.book.done.get(ident)
        if self.sandbox:
            told = {"found": True, "code": 0 if done else 110301, "seq": 7, "epoch": 2}
            return 200, {"retCode": 0, "result": {"found": False} if done is None else told}
        order = {"orderId": f"o-{ident}", "orderStatus": "New" if done else "Rejected", "rejectReason": "EC_Something"}
        return 200, {"retCode": 0, "result": {"list": [] if done is None else [order]}}

    def _check(self, call: Call) -> None:
        get = call.headers.get
        key, stamp, window = get("x-bapi-api-key", ""), get("x-bapi-timestamp", ""), get("x-bapi-recv-window", "")
        content = call.body if call.method == "POST" else urlsplit(call.target).query
        secret = sandbox_secret(key) if self.sandbox else SECRETS.get(key, "nobody's")
        if get("x-bapi-sign") != sign(secret, stamp + key + window + content):
            self.book.problems.append("signature")
        if stamp != str(NOW_MS):
            self.book.problems.append(f"timestamp {stamp}")


class BinanceFake:
    """Binance spot's order path."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def connection(self) -> HttpFake:
        return HttpFake(self.book, self.answer)

    def answer(self, call: Call) -> tuple[int, object]:
        assert call.path == "/api/v3/order"
        signed, _, signature = urlsplit(call.target).query.partition("&signature=")
        if signature != sign(SECRETS.get(call.headers.get("x-mbx-apikey", ""), "nobody's"), signed):
            self.book.problems.append("signature")
        query = call.query
        if query["timestamp"] != str(NOW_MS):
            self.book.problems.append(f"timestamp {query['timestamp']}")
        if call.method == "GET":
            return self._status(query["origClientOrderId"])
        kind = {"POST": "place", "DELETE": "cancel"}[call.method]
        maker = query.get("type") == "LIMIT_MAKER"
        tif = "PostOnly" if maker else query.get("timeInForce", "")
        words = [
            "Limit" if maker else query.get("type", "").title(),
            tif,
            query.get("price", ""),
            query.get("quantity", ""),
        ]
        seen = Seen(kind, query["newClientOrderId"], query.get("origClientOrderId", ""), query["symbol"])
        seen.side, (seen.type, seen.tif, seen.price, seen.qty) = query.get("side", "").title(), words
        word = self.book.take(seen)
        answers: dict[str, tuple[int, object]] = {
            "ok": (200, {"symbol": seen.symbol, "orderId": 28, "clientOrderId": seen.id}),
            "silent": (0, None),
            "reject": (400, {"code": -2011, "msg": "Unknown order sent."}),
            "duplicate": (400, {"code": -2010, "msg": "Duplicate order sent."}),
            "unavailable": (429, {"code": -1003, "msg": "Too many requests."}),
            "unknown": (400, {"code": -987, "msg": "Nobody has told us."}),
        }
        return answers[word]

    def _status(self, ident: str) -> tuple[int, object]:
        self.book.asked.append(ident)
        if self.book.refuse_questions:
            return 400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
        done = self.book.done.get(ident)
        if done is None:
            return 400, {"code": -2013, "msg": "Order does not exist."}
        return 200, {"orderId": 28, "status": "NEW" if done else "REJECTED"}


class PlainFake:
    """An API of orders as resources, told apart by HTTP status alone."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.calls: list[Call] = []

    def connection(self) -> HttpFake:
        return HttpFake(self.book, self.answer)

    def answer(self, call: Call) -> tuple[int, object]:
        self.calls.append(call)
        if call.headers.get("authorization") != "Bearer staging":
            self.book.problems.append("authorization")
        if call.method == "GET" and call.path.startswith("/api/orders/"):
            return self._status(call.path.rsplit("/", 1)[1])
        kind = {"POST": "place", "DELETE": "cancel", "PATCH": "amend"}[call.method]
        args = json.loads(call.body) if call.body else call.query
        parent = "" if kind == "place" else call.path.rsplit("/", 1)[1].removeprefix("o-")
        words = [str(args.get(name, "")) for name in ("symbol", "side", "type", "tif", "price", "qty")]
        word = self.book.take(Seen(kind, args["id"], parent, *words))
        status = {"ok": 201, "silent": 0, "reject": 409, "duplicate": 0, "unavailable": 503, "unknown": 500}[word]
        return status, {"order": {"id": f"o-{args['id']}"}}

    def _status(self, ident: str) -> tuple[int, object]:
        self.book.asked.append(ident)
        if self.book.refuse_questions:
            return 403, None
        return (200, {}) if self.book.done.get(ident) else (404, None)
