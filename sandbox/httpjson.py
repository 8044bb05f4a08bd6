"""One JSON request over plain HTTP with a hard timeout, with nothing but the standard library."""

import http.client
from typing import Any
from urllib.parse import urlsplit

import orjson

from sandbox.errors import SandboxError


def call(method: str, url: str, body: object = None, timeout_s: float = 2.0) -> tuple[int, Any]:
    """Send one request; the status and the JSON of the answer (None where it has none).

    Raises SandboxError naming the address when nobody answers within `timeout_s`.
    """
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=timeout_s)
    try:
        connection.request(method, place.path or "/", None if body is None else orjson.dumps(body))
        answer = connection.getresponse()
        raw = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise SandboxError(f"no answer from {url}: {error or type(error).__name__}") from error
    finally:
        connection.close()
    try:
        return answer.status, orjson.loads(raw) if raw else None
    except orjson.JSONDecodeError:
        return answer.status, raw.decode(errors="replace")
