"""HTTP archives: one entry a row; a WebSocket message is an entry that holds it, as Chrome writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import IO, Any
from urllib.parse import urlsplit

import orjson

from loadgen.export import Exported
from loadgen.export.operations import Operation, Request, Unsayable, operations, request
from loadgen.trace import Trace

_HEAD = b'{"log":{"version":"1.2","creator":{"name":"muster","version":"1"},"pages":[],"entries":['
_ORIGIN = "://exchange.example"


def write(trace: Trace, file: IO[bytes], epoch_ns: int, done: Exported) -> None:
    """Write every row; those whose payload is none are left out, and counted."""
    file.write(_HEAD)
    for operation in operations(trace):
        try:
            entry = _entry(operation, epoch_ns + operation.t_ns, request(operation))
        except Unsayable as error:
            done.left_out[str(error)] += 1
            continue
        file.write((b",\n" if done.rows else b"\n") + orjson.dumps(entry))
        done.rows += 1
    file.write(b"\n]}}\n")


def _entry(operation: Operation, t_ns: int, made: Request) -> dict[str, Any]:
    seconds, nanos = divmod(t_ns, 10**9)
    took_ms = (operation.latency_us or 0) / 1000
    talk = made.message is not None
    entry: dict[str, Any] = {
        "startedDateTime": f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09}Z",
        "time": took_ms,
        "connection": str(operation.session),
        "request": _request(made, ("wss" if talk else "https") + _ORIGIN + made.target),
        "response": _response(),
        "cache": {},
        "timings": {"send": 0, "wait": took_ms, "receive": 0},
    }
    if talk:
        # a double of seconds is 0.2 µs coarse, so the exact time stands beside it
        message = {"type": "send", "time": t_ns / 1e9, "_t_ns": t_ns, "opcode": 1, "data": made.message}
        entry |= {"_resourceType": "websocket", "_webSocketMessages": [message]}
    return entry


def _request(made: Request, url: str) -> dict[str, Any]:
    said: dict[str, Any] = {
        "method": made.method,
        "url": url,
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": [{"name": name, "value": value} for name, value in made.headers.items()],
        "queryString": [{"name": name, "value": value} for name, value in _query(made.target)],
        "headersSize": -1,
        "bodySize": len(made.body),
    }
    if made.body:
        kind = next((value for name, value in made.headers.items() if name.lower() == "content-type"), "")
        said["postData"] = {"mimeType": kind, "text": made.body.decode("utf-8")}
    return said


def _query(target: str) -> list[tuple[str, str]]:
    parts = [part.partition("=") for part in urlsplit(target).query.split("&") if part]
    return [(name, value) for name, _, value in parts]


def _response() -> dict[str, Any]:
    """No answer is claimed: what came of the row stands in the header of its own."""
    return {
        "status": 0,
        "statusText": "",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": [],
        "content": {"size": 0, "mimeType": ""},
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": -1,
    }
