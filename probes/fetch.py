"""Asks several instances for their /status at the same time, over connections that stay open.

A frozen instance must not delay the answer of a healthy one: requests go out to all first, then answers are collected
until one common deadline.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

STALE_S = 2.0
"""An unanswered connection is given up and opened anew after this."""


class Peer:
    """One kept connection; at most one request is on its way."""

    def __init__(self, url: str, path: str) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "127.0.0.1", parts.port or 80)
        host = f"{self.address[0]}:{self.address[1]}"
        self._request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n\r\n".encode()
        self.link: socket.socket | None = None
        self.error: str | None = None
        self._buffer = b""
        self._asked: float | None = None

    def ask(self, now: float) -> None:
        """Send a request unless one is still unanswered; `error` is set where nothing can be sent."""
        self.error = None
        if self._asked is not None and now - self._asked < STALE_S:
            return
        if self._asked is not None:
            self.close()
        try:
            link = self.link or socket.create_connection(self.address, timeout=0.05)
            self.link = link
            link.setblocking(False)
            link.sendall(self._request)
        except OSError as error:
            self._fail(error)
            return
        self._asked = now

    def receive(self) -> dict[str, Any] | None:
        """Read what has come; the decoded answer once it is whole."""
        if self.link is None:
            return None
        try:
            data = self.link.recv(65536)
            if not data:
                raise ConnectionResetError("closed by the instance")
            self._buffer += data
            return self._parse()
        except BlockingIOError:
            return None
        except (OSError, ValueError) as error:
            self._fail(error)
            return None

    def close(self) -> None:
        """Drop the connection and what was on its way; idempotent."""
        if self.link is not None:
            self.link.close()
        self.link, self._buffer, self._asked = None, b"", None

    def _fail(self, error: Exception) -> None:
        self.error = getattr(error, "strerror", None) or str(error) or type(error).__name__
        self.close()

    def _parse(self) -> dict[str, Any] | None:
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        lines = head.split(b"\r\n")
        headers = {key.strip().lower(): value.strip() for key, _, value in (line.partition(b":") for line in lines[1:])}
        if b"content-length" not in headers:
            raise ValueError("answer without a length")
        if len(body) < int(headers[b"content-length"]):
            return None
        self._buffer, self._asked = b"", None
        if headers.get(b"connection", b"").lower() == b"close":
            self.close()
        if b" 200" not in lines[0]:
            raise ValueError(f"answered {lines[0].decode(errors='replace')}")
        answer = json.loads(body)
        if not isinstance(answer, dict):
            raise ValueError("answer is not an object")
        return answer


class StatusPoll:
    """The /status of several instances at once."""

    def __init__(self, urls: Mapping[str, str], path: str = "/status") -> None:
        self._peers = {name: Peer(url, path) for name, url in urls.items()}

    def ask(self, timeout_s: float) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """Ask all; return the answers that came within `timeout_s` seconds, and why the others are missing."""
        now = time.monotonic()
        deadline = now + timeout_s
        for peer in self._peers.values():
            peer.ask(now)
        answers: dict[str, dict[str, Any]] = {}
        errors = {name: peer.error for name, peer in self._peers.items() if peer.error is not None}
        with selectors.DefaultSelector() as selector:
            for name, peer in self._peers.items():
                if peer.link is not None:
                    selector.register(peer.link, selectors.EVENT_READ, name)
            while selector.get_map() and (left := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    self._collect(selector, key, answers, errors)
            errors |= {
                str(key.data): f"no answer within {timeout_s * 1000:.0f} ms" for key in selector.get_map().values()
            }
        return answers, errors

    def _collect(
        self,
        selector: selectors.BaseSelector,
        key: selectors.SelectorKey,
        answers: dict[str, dict[str, Any]],
        errors: dict[str, str],
    ) -> None:
        peer = self._peers[key.data]
        answer = peer.receive()
        if answer is not None:
            answers[key.data] = answer
        elif peer.error is not None:
            errors[key.data] = peer.error
        if answer is not None or peer.error is not None:
            selector.unregister(key.fileobj)

    def close(self) -> None:
        """Close every connection."""
        for peer in self._peers.values():
            peer.close()
