"""One question to one resolver, waited for: for whoever is in no hurry."""

from __future__ import annotations

import secrets
import socket
import time

from loadgen import dnsmessage
from loadgen.dnsmessage import Reply

QUERY_S = 2.0
"""A healthy resolver answers within milliseconds, one on a starved machine within this."""


def ask(address: str, name: str, timeout_s: float = QUERY_S) -> Reply | None:
    """What the resolver at host:port says of a name now; None where it stays silent.

    Raises ConnectionRefusedError where nothing listens there: that is no silence of a resolver.
    """
    host, _, port = address.rpartition(":")
    host, ident = host.strip("[]"), secrets.randbelow(1 << 16)
    deadline = time.monotonic() + timeout_s
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((host, int(port)))
        sock.send(dnsmessage.question(ident, name))
        while (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                reply = dnsmessage.read(sock.recv(4096))
            except (TimeoutError, ValueError):
                continue
            if reply.ident == ident:
                return reply
    return None
