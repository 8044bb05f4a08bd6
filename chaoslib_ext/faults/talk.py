"""Times a round trip through a link, with a question that changes nothing.

A TCP connect proves nothing: the proxy takes it itself, at once. So each service is asked something it answers, on a
connection of its own; both directions are timed, from the question to the first byte of its answer.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """What to send, and the bytes that begin the answer to it (services also speak unasked)."""

    ask: bytes
    answer: bytes


QUESTIONS = {
    # a status query for an order that nobody has: engines answer with null, leader or not
    "matching-engine": Question(b'{"q":[[0,"muster-witness","order","muster-witness"]]}\n', b'{"a":'),
    "order-bus": Question(b"PING\r\n", b"PONG"),
}
ECHO = Question(b"PING\r\n", b"")
"""For a service that is not known: any answer counts."""


def round_trip_s(address: str, service: str, *, timeout_s: float) -> float | None:
    """Seconds from the question to its answer through host:port; None when no answer came within `timeout_s`."""
    host, _, port = address.rpartition(":")
    question = QUESTIONS.get(service, ECHO)
    deadline = time.monotonic() + timeout_s
    try:
        with socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), timeout_s) as link:
            asked = time.monotonic()
            link.sendall(question.ask)
            return _until(link, question.answer, deadline) - asked
    except OSError:
        return None


def _until(link: socket.socket, token: bytes, deadline: float) -> float:
    seen = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        link.settimeout(left)
        chunk = link.recv(65536)
        if not chunk:
            raise ConnectionResetError
        seen = (seen + chunk)[-65536:]
        if token in seen:
            return time.monotonic()
