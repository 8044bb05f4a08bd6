"""Any HTTP API: recorded requests go out as they were recorded, orders by templates or else as Bybit's V5 has them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from drills.errors import DefinitionError
from loadgen.trace import Trace
from loadgen.venues import http1, keys
from loadgen.venues.bybit_rest import BybitRest
from loadgen.venues.rest import ORDER_KINDS, Kept, Question, Request, answer_of_status, not_found
from loadgen.venues.templates import fill_body, fill_path, pointed, templates
from loadgen.venues.wire import Answer, Meaning

ALLOWED = frozenset({"accept", "accept-language", "content-type", "idempotency-key", "user-agent"})
"""Recorded headers that are sent again; `allow_headers` of the venue adds to them. Host and length are our own."""
_NEVER = frozenset({"host", "content-length", "connection", "transfer-encoding", "expect", "upgrade", "te", "trailer"})


class Verbatim(Request):
    """A recorded or templated request, judged by its HTTP status; `of` is (session, row)."""

    of: tuple[int, int]


class Ask(Question):
    """A templated status question, judged by its HTTP status."""


class HttpWire(BybitRest):
    """See `RestWire`. Settings of the venue beside `rest`:

    `templates` (place, cancel, amend, status: an order without one cannot be sent then), `headers` and `headers_env`
    (added to every recorded or templated request, the latter from environment variables), `allow_headers`, and
    `correlate: {from: <JSON pointer>}`: where an answer holds the id that the venue gave, for `{{server_id}}` of the
    requests that name or depend on that operation.
    """

    def __init__(
        self, trace: Trace, run_id: str, venue: Mapping[str, Any], *, wall: Callable[[], float] = time.time
    ) -> None:
        super().__init__(trace, run_id, venue, wall=wall)
        self._templates = templates(venue)
        self._orders = Kept(lambda row: self.rows.order(row)._asdict())
        self._pointer = _pointer(venue)
        follow = [self._templates[kind] for kind in ("cancel", "amend") if kind in self._templates]
        self.needs_server_id = any(template.needs("server_id") for template in follow)
        if self.needs_server_id and not self._pointer:
            raise DefinitionError("venue.correlate", "missing, but a template needs {{server_id}}", hint="add from: /…")
        orders = ORDER_KINDS & self._templates.keys() if self._templates else ORDER_KINDS
        signed = self._templates or self._needs_keys(venue)
        self.kinds = (self.kinds - ORDER_KINDS) | (orders if signed else frozenset())
        own = _headers(venue, "headers") + keys.headers_from_environment(venue)
        self._own = [(name, value) for name, value in own if name.lower() not in _NEVER]
        allowed = ALLOWED | {str(name).lower() for name in venue.get("allow_headers") or ()}
        self._allowed = allowed - _NEVER - {name.lower() for name, _ in self._own}
        self._ids: dict[tuple[int, int], str] = {}  # what the venue called the outcome of (session, row)

    def operation(self, number: int, row: int, parent: int, session: int, server_id: bytes | None) -> bytes:
        """The request of one operation; only Bybit's are signed."""
        kind = self.rows.kind(row)
        if kind in ORDER_KINDS and kind not in self._templates:
            if self._templates:
                raise self.unsupported(row)
            return super().operation(number, row, parent, session, server_id)
        given = server_id.decode("ascii", "replace") if server_id is not None else ""
        if kind in ORDER_KINDS:
            values = self._values(number, row, parent, session) | {"server_id": given}
            made = self._templated(kind, row, values)
        else:
            made = self._recorded_request(number, row, session)
        made.of = (session, row)
        return made

    def status(self, number: int, row: int, session: int) -> bytes | None:
        """By the template, else as at Bybit; a recorded request cannot be asked for."""
        kind = self.rows.kind(row)
        if "status" in self._templates and kind in ORDER_KINDS:
            values = self._values(number, row, -1, session) | {"server_id": self._ids.get((session, row), "")}
            return Ask(self._templated("status", row, values))
        return super().status(number, row, session) if kind in ORDER_KINDS and not self._templates else None

    def read(self, number: int, request: bytes, status: int, body: bytes) -> Answer:
        """By the HTTP status, but for orders that went out as Bybit's."""
        if isinstance(request, Ask):
            if status in (404, 410):
                return not_found(number)
            return Answer(number, Meaning.OK, asked=True) if status < 400 else answer_of_status(number, request, status)
        if not isinstance(request, Verbatim):
            return super().read(number, request, status, body)
        answer = answer_of_status(number, request, status)
        if self._pointer and answer.meaning is Meaning.OK:
            found = pointed(_json(body), self._pointer)
            if found is not None:
                self._ids[request.of] = found
                answer.server_id = found.encode("ascii", "replace")
        return answer

    def _values(self, number: int, row: int, parent: int, session: int) -> dict[str, str]:
        order = self._orders.of(row)
        names = {"id": self.name(number), "parent": self.name(parent) if parent >= 0 else ""}
        return {**order, **names, "account": keys.account_of(session), "now_ms": str(self.now_ms)}

    def _templated(self, name: str, row: int, values: Mapping[str, str]) -> Verbatim:
        template = self._templates[name]
        path, body = template.fill(values)
        headers = dict(template.headers)
        if template.body is not None and "content-type" not in {key.lower() for key in headers}:
            headers["Content-Type"] = "application/json"
        return self._sent("GET" if name == "status" else template.method, path, headers, body, row)

    def _recorded_request(self, number: int, row: int, session: int) -> Verbatim:
        payload = self.rows.payload(row)
        path, body = payload["path"], str(payload.get("body") or "")
        if "{{" in path or "{{" in body:
            given = self._ids.get((session, self.rows.dependency(row)), "")
            values = {"id": self.name(number), "server_id": given, "account": keys.account_of(session)}
            path, body = fill_path(path, values), fill_body(body, values)
        raw = payload.get("headers")
        headers = (
            {str(k): str(v) for k, v in raw.items() if str(k).lower() in self._allowed} if isinstance(raw, dict) else {}
        )
        return self._sent(str(payload.get("method", "GET")), path, headers, body, row)

    def _sent(self, method: str, path: str, headers: Mapping[str, str], body: str, row: int) -> Verbatim:
        try:
            return Verbatim(http1.request(method, self.base + path, [*headers.items(), *self._own], body.encode()))
        except ValueError as error:
            raise DefinitionError(self.trace_name, f"row {row}: {error}", hint="import it again") from error

    def _needs_keys(self, venue: Mapping[str, Any]) -> bool:
        return bool(venue.get("secret_file") or venue.get("keys") or venue.get("key_env"))


def _pointer(venue: Mapping[str, Any]) -> str:
    given = venue.get("correlate") or {}
    pointer = str(given.get("from", "")) if isinstance(given, Mapping) else "?"
    if pointer and not pointer.startswith("/"):
        raise DefinitionError("venue.correlate.from", f"{pointer} is not a JSON pointer", hint="write /result/orderId")
    return pointer


def _headers(venue: Mapping[str, Any], key: str) -> list[tuple[str, str]]:
    given = venue.get(key) or {}
    if not isinstance(given, Mapping):
        raise DefinitionError(f"venue.{key}", "is not a mapping", hint="write {header: value}")
    return [(str(name), str(value)) for name, value in given.items()]


def _json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
