"""JSON over HTTP with a hard timeout, for small control interfaces.

The guardian uses it too, so it stays with the standard library: requests alone costs a quarter of a second of start-up.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit


class Unreachable(OSError):
    """No answer; `refused` is true where nothing listens at all (not: slow, reset or unroutable)."""

    def __init__(self, url: str, reason: str, *, refused: bool) -> None:
        super().__init__(f"{url} does not answer ({reason})")
        self.url, self.refused = url, refused
        self.host = urlsplit(url).netloc


class _Whole(http.client.HTTPConnection):
    """Sends head and body in one piece: Toxiproxy waits for a body behind a lock that its other orders need.

    A runner that is frozen between the two would keep everybody else from undoing what it did.
    """

    _pieces: list[bytes] | None = None

    def send(self, data: Any) -> None:  # noqa: ANN401 - as the base has it
        """Keep it back while a request is put together."""
        if self._pieces is None:
            super().send(data)
        else:
            self._pieces.append(bytes(data))

    def order(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> None:
        """Send one request."""
        self._pieces = []
        self.request(method, path, body, headers)
        whole, self._pieces = b"".join(self._pieces), None
        super().send(whole)


def segment(name: str) -> str:
    """One path segment: the name of a link holds `>`."""
    return quote(name, safe="")


def call(
    method: str,
    url: str,
    body: object = None,
    *,
    timeout_s: float = 1.0,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any]:
    """Send one request; return the status and the decoded JSON (text where it is not JSON, None where it is empty).

    `body` is sent as JSON. Raises Unreachable when there is no complete answer within about `timeout_s`.
    """
    parts = urlsplit(url)
    connection = _Whole(parts.hostname or "", parts.port or 80, timeout=timeout_s)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    data = None if body is None else json.dumps(body).encode()
    try:
        said = {"Content-Type": "application/json", "Connection": "close", **(headers or {})}
        connection.order(method, path or "/", data, said)
        answer = connection.getresponse()
        raw = answer.read()
    except ConnectionRefusedError as error:
        raise Unreachable(url, "connection refused", refused=True) from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(url, str(error) or type(error).__name__, refused=False) from error
    finally:
        connection.close()
    return answer.status, _decode(raw)


def _decode(raw: bytes) -> Any:  # noqa: ANN401 - whatever JSON the server sent
    if not raw.strip():
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace").strip()


def is_gone(error: Unreachable) -> bool:
    """Whether nothing listens on a port of this host: what the server kept in memory is gone with it.

    Elsewhere a refused connection may be a balancer or a firewall, and proves nothing.
    """
    return error.refused and is_loopback(urlsplit(error.url).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host, by address or name, is this one: the whole of 127.0.0.0/8 is."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
