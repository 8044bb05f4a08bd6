"""Loopback ports for one sandbox.

They are taken below the kernel's ephemeral range: a port inside it could be taken by any outgoing
connection while its instance is held down by a fault, and a client that dials a dead port in that range may
even connect to itself.
"""

import contextlib
import random
import socket
from collections.abc import Sequence
from pathlib import Path

from sandbox.errors import Refused

LOOPBACK = "127.0.0.1"
_LOWEST = 20000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_EPHEMERAL_DEFAULT = 32768


def allocate(count: int, hosts: Sequence[str] = (LOOPBACK,), taken: frozenset[int] = frozenset()) -> list[int]:
    """`count` different ports, free on every host; raises Refused when the range does not hold as many."""
    span = range(_LOWEST, ceiling())
    start = random.randrange(len(span))
    found: list[int] = []
    for step in range(len(span)):
        if len(found) == count:
            return found
        port = span[(start + step) % len(span)]
        if port not in taken and all(is_free(port, host) for host in hosts):
            found.append(port)
    raise Refused(f"ports: only {len(found)} of {count} loopback ports are free in {span.start}-{span.stop - 1}")


def ceiling() -> int:
    """The first port that outgoing connections may take."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        low = int(_EPHEMERAL.read_text().split()[0])
        if low > _LOWEST + 1000:
            return low
    return _EPHEMERAL_DEFAULT


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether nobody listens on (or still closes) this port of a loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
