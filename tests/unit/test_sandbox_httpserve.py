"""What a handler of the sandbox raises becomes: JSON with one line, and a status that says whose fault it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import orjson
import pytest
from aiohttp import web

from sandbox.dns.admin import Admin, DnsMetrics
from sandbox.dns.zone import Zone
from sandbox.errors import BadUse, Refused, SandboxError
from sandbox.httpserve import errors_as_json, json_answer

NO_REQUEST = cast(web.Request, None)


def answered(handler: Callable[[], object]) -> tuple[int, object]:
    """Status and JSON of a handler behind the middleware."""

    async def called(_: web.Request) -> web.StreamResponse:
        return json_answer(handler())

    answer = asyncio.run(errors_as_json(NO_REQUEST, called))
    assert isinstance(answer, web.Response)
    assert answer.content_type == "application/json"
    return answer.status, orjson.loads(cast(bytes, answer.body))


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (web.HTTPNotFound(text="no record x"), 404, "no record x"),
        (web.HTTPNotFound(), 404, "404: Not Found"),
        (BadUse("kill: no signal SIGFOO"), 400, "kill: no signal SIGFOO"),
        (SandboxError("nats-0 does not end"), 500, "nats-0 does not end"),
        (Refused("a port is in use"), 500, "refused: a port is in use"),
        (OSError(28, "No space left on device"), 500, "[Errno 28] No space left on device"),
    ],
)
def test_an_error_is_one_line_of_json(error: Exception, status: int, said: str) -> None:
    def fails() -> object:
        raise error

    assert answered(fails) == (status, {"error": said})
    assert answered(lambda: {"name": "x"}) == (200, {"name": "x"})


def test_a_record_that_cannot_be_written_down_says_that_it_is_valid() -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    zone = Zone("exchange.test")
    admin = Admin(zone, DnsMetrics(zone), full, "resolver")
    said = "the record is valid now but could not be written down: [Errno 28] No space left on device"
    assert answered(admin._save) == (500, {"error": said})
