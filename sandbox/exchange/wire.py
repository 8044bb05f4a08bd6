"""Lines of JSON between gateways and engines."""

from __future__ import annotations

from typing import Any

import orjson

MAX_LINE = 16 * 1024 * 1024


class WireError(Exception):
    """The other end sent something that is not a line of JSON with an object in it."""


def encode(message: dict[str, Any]) -> bytes:
    """One message as a line."""
    return orjson.dumps(message) + b"\n"


class Lines:
    """Cuts a byte stream into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The messages completed by `data`; raises WireError, after which the stream is of no use."""
        parts = (self._rest + data if self._rest else data).split(b"\n")
        self._rest = parts.pop()
        if len(self._rest) > MAX_LINE:
            raise WireError(f"a line longer than {MAX_LINE} bytes")
        try:
            messages = [orjson.loads(part) for part in parts if part]
        except orjson.JSONDecodeError as error:
            raise WireError(f"not JSON: {error}") from error
        if not all(isinstance(message, dict) for message in messages):
            raise WireError("not an object")
        return messages
