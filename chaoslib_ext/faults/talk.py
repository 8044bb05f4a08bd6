"""Times what passes through a link, with a question that changes nothing.

A TCP connect proves nothing: the proxy takes it itself, at once. So each service is asked something, on a connection of
its own. Two things are timed from the question on: the first byte that comes (a service that greets whoever connects
proves the way back alone), and the answer to the question (proves both ways).
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from chaoslib_ext.world import Link, World


@dataclass(frozen=True, slots=True)
class Question:
    """What to send, and bytes that only the answer to it holds."""

    ask: bytes
    answer: bytes


ENGINE = Question(b'{"q":[[0,"muster-witness","order","muster-witness"]]}\n', b'{"a":')
"""A status query for an order that nobody has: a leader answers null; a standby only greets."""
BUS = Question(b"PING\r\n", b"PONG")
ROUTE = Question(b"PING\r\n", b"-ERR")
"""A server of the bus sends a stranger away who speaks on its route port: an answer like any other."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds after `asked_ns` (CLOCK_MONOTONIC) of the first byte and of the answer; None for what did not come."""

    asked_ns: int
    first_s: float | None
    answer_s: float | None


def question(link: Link, world: World) -> Question:
    """What to ask the far end of a link."""
    far = world.instance(link.target)
    if far.service != "order-bus":
        return ENGINE
    return ROUTE if int(link.upstream.rpartition(":")[2]) == far.ports.get("routes") else BUS


def listen_to(address: str, asked: Question, budget_s: float, *, first_only: bool = False) -> Timing:
    """Connect to host:port, ask, and time what comes within `budget_s` seconds. Never raises for a silent link."""
    host, _, port = address.rpartition(":")
    start = time.monotonic_ns()
    first = None
    try:
        with socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), budget_s) as link:
            start, seen = time.monotonic_ns(), b""
            link.sendall(asked.ask)
            while chunk := _read(link, start, budget_s):
                now = (time.monotonic_ns() - start) / 1e9
                first = now if first is None else first
                seen += chunk
                if first_only or asked.answer in seen:
                    return Timing(start, first, None if first_only else now)
    except OSError:
        pass
    return Timing(start, first, None)


def _read(link: socket.socket, start_ns: int, budget_s: float) -> bytes:
    left = budget_s - (time.monotonic_ns() - start_ns) / 1e9
    if left <= 0:
        return b""
    link.settimeout(left)
    return link.recv(65536)
