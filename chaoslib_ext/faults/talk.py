"""Talks through a link, with a question that changes nothing, and times what comes.

A TCP connect proves nothing: the proxy takes it itself, at once. So each service is asked something, on a connection of
its own. Two things are timed from the question on: the first byte that comes (a service that greets whoever connects
proves the way back alone), and the answer to the question (proves both ways).
"""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass, replace

from chaoslib_ext.world import Link, World

NOBODY = "muster-witness"
"""An account and an order that nobody has: a leader answers null; a standby only greets."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to send, and bytes that only the answer to it holds."""

    ask: bytes
    answer: bytes


BUS = Question(b"PING\r\n", b"PONG\r\n")
ROUTE = Question(b"PING\r\n", b"-ERR")
"""A server of the bus sends a stranger away who speaks on its route port: an answer like any other."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds after `asked_ns` (CLOCK_MONOTONIC) of the first byte and of the answer; None for what did not come.

    `sent` and `received` count the bytes until then, `greeting` those that came first. `taken` says that a connection
    was; `ended_s` when the far side ended it, if it did, and `reset` that it did so by RST.
    """

    asked_ns: int
    first_s: float | None
    answer_s: float | None
    sent: int = 0
    received: int = 0
    greeting: int = 0
    taken: bool = False
    ended_s: float | None = None
    reset: bool = False


def question(link: Link, world: World, times: int = 1) -> Question:
    """What to ask the far end of a link, `times` at once where it takes more than one (a route of the bus does not)."""
    far = world.instance(link.target)
    port = int(link.upstream.rpartition(":")[2])
    if far.service != "order-bus":
        asked = [[number, NOBODY, "order", NOBODY] for number in range(times)]
        line = json.dumps({"q": asked}, separators=(",", ":")).encode() + b"\n"
        return Question(line, b'{"a":' if times == 1 else b"[%d,null]" % (times - 1))
    if port != far.ports.get("client", port):
        return ROUTE
    return Question(BUS.ask * times, BUS.answer * times)


def listen_to(address: str, asked: Question, budget_s: float, *, first_only: bool = False) -> Timing:
    """Connect to host:port, ask, and time what comes within `budget_s` seconds. Never raises for a silent link."""
    made = Timing(time.monotonic_ns(), None, None, sent=len(asked.ask))
    try:
        with dial(address, budget_s) as link:
            start = time.monotonic_ns()
            made, seen = replace(made, asked_ns=start, taken=True), b""
            link.sendall(asked.ask)
            while (chunk := _read(link, start, budget_s)) is not None:
                now = _since(start)
                if not chunk:
                    return replace(made, ended_s=now)
                seen += chunk
                if made.first_s is None:
                    made = replace(made, first_s=now, greeting=len(chunk))
                made = replace(made, received=len(seen))
                if first_only or asked.answer in seen:
                    return made if first_only else replace(made, answer_s=now)
    except (ConnectionResetError, BrokenPipeError):
        return replace(made, ended_s=_since(made.asked_ns), reset=True)
    except OSError:
        pass
    return made


def close_through(address: str, budget_s: float) -> Timing:
    """Connect to host:port, close our side, and time until the far side is closed too. Never raises."""
    made = Timing(time.monotonic_ns(), None, None)
    try:
        with dial(address, budget_s) as link:
            start = time.monotonic_ns()
            made = replace(made, asked_ns=start, taken=True)
            link.shutdown(socket.SHUT_WR)
            while (chunk := _read(link, start, budget_s)) is not None:
                if not chunk:
                    return replace(made, ended_s=_since(start))
    except (ConnectionResetError, BrokenPipeError):
        return replace(made, ended_s=_since(made.asked_ns), reset=True)
    except OSError:
        pass
    return made


def dial(address: str, timeout_s: float) -> socket.socket:
    """A connection to host:port. Raises OSError."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), timeout_s)


def _since(start_ns: int) -> float:
    return (time.monotonic_ns() - start_ns) / 1e9


def _read(link: socket.socket, start_ns: int, budget_s: float) -> bytes | None:
    """The next bytes, none where the far side has closed, None where the time is over."""
    left = budget_s - _since(start_ns)
    if left <= 0:
        return None
    link.settimeout(left)
    try:
        return link.recv(65536)
    except TimeoutError:
        return None
