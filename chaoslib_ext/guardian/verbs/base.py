"""What every verb of an undo recipe is, and the few calls that they share."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Mapping
from typing import Any, Protocol

from chaoslib_ext import httpjson

Args = Mapping[str, Any]

TIMEOUT_S = 1.0


class NotUndone(Exception):
    """The system did not take the undo, or does not show it; the message says what was seen."""


class Verb(Protocol):
    """One kind of undo; an attribute `patience_s` asks for more time than others get before a person is called."""

    def undo(self, args: Args) -> None:
        """Order it; idempotent. Raises NotUndone, httpjson.Unreachable."""

    def observe(self, args: Args) -> str:
        """What shows that it is undone. Raises NotUndone, httpjson.Unreachable."""

    def by_hand(self, args: Args) -> str:
        """The exact shell command for a person."""


def accepts(address: str, timeout_s: float = 0.5) -> bool:
    """Whether something takes a TCP connection at host:port."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), timeout_s).close()
    except OSError:
        return False
    return True


def order(
    method: str, url: str, body: object = None, *, missing_ok: bool = False, headers: Mapping[str, str] | None = None
) -> None:
    """Send it. Raises NotUndone on a status that is no success, httpjson.Unreachable."""
    status, answer = httpjson.call(method, url, body, timeout_s=TIMEOUT_S, headers=headers)
    if status >= 300 and not (missing_ok and status == 404):
        raise NotUndone(f"{method} {url} answered {status}: {answer}")


def get(url: str) -> dict[str, Any]:
    """Its JSON object. Raises NotUndone where it is none, httpjson.Unreachable."""
    status, answer = httpjson.call("GET", url, timeout_s=TIMEOUT_S)
    if status != 200 or not isinstance(answer, dict):
        raise NotUndone(f"GET {url} answered {status}: {answer}")
    return answer


def curl(method: str, url: str, body: str | None = None) -> str:
    """The shell command of a request."""
    data = "" if body is None else f" -d {shlex.quote(body)}"
    return f"curl -fsS -X {method}{data} {shlex.quote(url)}"
