"""From host names to addresses, without ever waiting: by a resolver of the venue's own, or by the system's.

A name that is being looked up is asked for once, whatever waits for it. What a resolver says is kept for as long as it
says, and no longer: whoever connects after that lands where the name then leads.
"""

from __future__ import annotations

import _socket  # getaddrinfo itself, also where gevent has patched the module above it
import errno
import ipaddress
import os
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from loadgen import dnsmessage
from loadgen.engine.here import Here

MS = 1_000_000
AGAIN_NS = 300 * MS
"""A datagram may be lost: a question is put again after so long."""
ANSWER_NS = 900 * MS
"""So long may a resolver take."""
SYSTEM_TTL_NS = 1000 * MS
"""The system does not tell for how long an address is valid."""
_DATAGRAM = 4096
_IN_FLIGHT = (errno.EAGAIN, errno.EWOULDBLOCK)


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a question: addresses, or else why there are none."""

    host: str
    addresses: tuple[str, ...] = ()
    reason: str = ""


class Names(Protocol):
    """Looks up names."""

    def look(self, host: str, now_ns: int) -> tuple[str, ...] | None:
        """Addresses of a name (lower case), as far as they are known and valid; None: `poll` will tell."""

    def poll(self, now_ns: int) -> list[Found]:
        """What was found out since the last call."""

    def close(self) -> None:
        """Ask nothing more; idempotent."""


@cache
def is_address(host: str) -> bool:
    """Whether it is an address already."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@dataclass(slots=True)
class _Asked:
    ident: int
    began_ns: int
    sent_ns: int


class _Cache:
    """Addresses until they are no longer valid; with `only` none but those for which it holds."""

    def __init__(self, only: Here | None) -> None:
        self._only = only
        self._known: dict[str, tuple[tuple[str, ...], int]] = {}

    def valid(self, host: str, now_ns: int) -> tuple[str, ...] | None:
        addresses, until_ns = self._known.get(host, ((), 0))
        return addresses if now_ns < until_ns else None

    def keep(self, host: str, addresses: tuple[str, ...], until_ns: int) -> Found:
        elsewhere = [one for one in addresses if self._only is not None and not self._only(one)]
        if elsewhere:
            return Found(host, reason=f"{host} leads to {elsewhere[0]}, which is not on this machine")
        self._known[host] = addresses, until_ns
        return Found(host, addresses)


class ResolverNames:
    """Asks one resolver, "host:port" by address, over UDP; ports and questions are drawn at random."""

    def __init__(
        self, resolver: str, *, only: Here | None = None, make_socket: Callable[..., socket.socket] = socket.socket
    ) -> None:
        host, _, port = resolver.rpartition(":")
        self._resolver, self._peer = resolver, (host.strip("[]"), int(port))
        self._make_socket = make_socket
        self._socket: socket.socket | None = None
        self._cache = _Cache(only)
        self._asked: dict[str, _Asked] = {}
        self._found: list[Found] = []
        self._rng = random.SystemRandom()

    def look(self, host: str, now_ns: int) -> tuple[str, ...] | None:
        """See `Names`."""
        known = self._cache.valid(host, now_ns)
        if known is None and host not in self._asked:
            self._asked[host] = _Asked(self._rng.randrange(1 << 16), now_ns, now_ns)
            self._ask(host)
        return known

    def poll(self, now_ns: int) -> list[Found]:
        """See `Names`."""
        while self._asked and self._socket is not None:
            try:
                data = self._socket.recv(_DATAGRAM)
            except OSError as error:
                if error.errno not in _IN_FLIGHT:
                    self._broken(error)
                break
            self._hear(data, now_ns)
        for host, asked in list(self._asked.items()):
            if now_ns - asked.began_ns >= ANSWER_NS:
                self._over(Found(host, reason=f"DNS: no answer of {self._resolver} for {host}"))
            elif now_ns - asked.sent_ns >= AGAIN_NS:
                asked.sent_ns = now_ns
                self._ask(host)
        found, self._found = self._found, []
        return found

    def close(self) -> None:
        """See `Names`."""
        self._asked.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, host: str) -> None:
        try:
            if self._socket is None:
                family = socket.AF_INET6 if ":" in self._peer[0] else socket.AF_INET
                self._socket = self._make_socket(family, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
                self._socket.connect(self._peer)  # no one else's answers are heard, and a dead port is told
            self._socket.send(dnsmessage.question(self._asked[host].ident, host))
        except ValueError as error:
            self._over(Found(host, reason=f"DNS: {error}"))
        except OSError as error:
            if error.errno not in _IN_FLIGHT:
                self._broken(error)

    def _hear(self, data: bytes, now_ns: int) -> None:
        try:
            reply = dnsmessage.read(data)
        except ValueError:
            return  # not an answer to anything; the real one may follow
        asked = self._asked.get(reply.name)
        if asked is None or asked.ident != reply.ident:
            return
        if reply.addresses:
            until_ns = now_ns + reply.ttl * 1000 * MS
            self._over(self._cache.keep(reply.name, tuple(sorted(reply.addresses)), until_ns))
            return
        said = reply.rcode if reply.rcode != "NOERROR" else "no address"
        self._over(Found(reply.name, reason=f"DNS: {said} of {self._resolver} for {reply.name}"))

    def _broken(self, error: OSError) -> None:
        """The resolver is not there; a later question tries it anew, from another port."""
        why = error.strerror or str(error)
        for host in list(self._asked):
            self._over(Found(host, reason=f"DNS: {self._resolver}: {why.lower()}"))
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _over(self, found: Found) -> None:
        self._asked.pop(found.host, None)
        self._found.append(found)


class SystemNames:
    """Asks the system, each name on a real thread of its own that `spawn` starts: its answer may take half a minute."""

    def __init__(self, spawn: Callable[[Callable[[], None]], object], *, only: Here | None = None) -> None:
        self._spawn, self._cache = spawn, _Cache(only)
        self._asked: set[str] = set()
        self._answers: list[tuple[str, tuple[str, ...], str]] = []  # appended by threads, which is atomic

    def look(self, host: str, now_ns: int) -> tuple[str, ...] | None:
        """See `Names`."""
        known = self._cache.valid(host, now_ns)
        if known is None and host not in self._asked:
            self._asked.add(host)
            self._spawn(lambda: self._ask(host))
        return known

    def poll(self, now_ns: int) -> list[Found]:
        """See `Names`."""
        found = []
        while self._answers:
            host, addresses, reason = self._answers.pop(0)
            self._asked.discard(host)
            kept = self._cache.keep(host, addresses, now_ns + SYSTEM_TTL_NS) if addresses else Found(host, (), reason)
            found.append(kept)
        return found

    def close(self) -> None:
        """See `Names`; a thread that still waits ends with the system's answer."""

    def _ask(self, host: str) -> None:
        try:
            rows = _socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
        except (OSError, ValueError) as error:  # ValueError: a label that is too long
            self._answers.append((host, (), getattr(error, "strerror", None) or str(error)))
            return
        addresses = tuple(dict.fromkeys(str(row[4][0]) for row in rows))
        self._answers.append((host, addresses, "" if addresses else os.strerror(errno.EADDRNOTAVAIL)))
