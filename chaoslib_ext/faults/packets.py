"""Which packets get from zone to zone: asked with datagrams of our own, in the namespaces of the zones themselves.

A packet from zone A to zone B goes out of A to the address that A dials for B, and comes into B from the address that B
dials for A: what carries the links between them (Toxiproxy) sits on both addresses. A datagram is sent on each half.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaoslib_ext.netns import Zone, sockets

Way = tuple[str, str]
"""From one zone to another."""

ARRIVES_S = 0.08
"""On one machine a datagram is there within a millisecond, on a busy one within some."""

SILENT_S = 0.25
"""A connection to an address of this machine is there at once, or refused at once."""


@dataclass(frozen=True, slots=True)
class Passed:
    """Which halves of a way let a datagram through."""

    out: bool
    into: bool


def passing(ways: Iterable[Way], zones: Mapping[str, Zone], hosts: Mapping[str, str]) -> dict[Way, Passed]:
    """Send a datagram on both halves of each way at once, and see which arrive; `hosts`: an address in each zone.

    Raises netns.ZoneGone.
    """
    asked = list(dict.fromkeys(ways))
    with contextlib.ExitStack() as stack:
        ends = [(_out(way, zones, stack), _into(way, zones, hosts, stack)) for way in asked]
        _wait([end for both in ends for end in both if end is not None])
        return {way: Passed(_came(out), _came(into)) for way, (out, into) in zip(asked, ends, strict=True)}


def silent(zone: Zone, addresses: Sequence[str]) -> dict[str, bool]:
    """Connect from within a zone to each host:port at once: whether nothing at all came back. Raises netns.ZoneGone."""
    return _silent(sockets(zone, [socket.SOCK_STREAM] * len(addresses)), addresses)


def silent_from_here(addresses: Sequence[str]) -> dict[str, bool]:
    """The same from this host, where clients are."""
    return _silent([socket.socket() for _ in addresses], addresses)


def _silent(made: Sequence[socket.socket], addresses: Sequence[str]) -> dict[str, bool]:
    with contextlib.ExitStack() as stack:
        waiting = set()
        for one, address in zip(made, addresses, strict=True):
            stack.enter_context(one).setblocking(False)
            host, _, port = address.rpartition(":")
            if one.connect_ex((host, int(port))) == errno.EINPROGRESS:  # else there is no way at all: as silent as any
                waiting.add(one)
        deadline, answered = time.monotonic() + SILENT_S, set[socket.socket]()
        while waiting and (rest := deadline - time.monotonic()) > 0:
            answered |= (found := set(select.select([], list(waiting), [], rest)[1]))
            waiting -= found
        return {address: one not in answered for one, address in zip(made, addresses, strict=True)}


def _out(way: Way, zones: Mapping[str, Zone], stack: contextlib.ExitStack) -> socket.socket | None:
    """The host's end of what `way` begins with, once a datagram is under way to it; None where it cannot be sent."""
    here, there = way
    end = _bound(zones[here].pairs[there], stack)
    (sender,) = sockets(zones[here], [socket.SOCK_DGRAM])
    return end if _sent(stack.enter_context(sender), end) else None


def _into(
    way: Way, zones: Mapping[str, Zone], hosts: Mapping[str, str], stack: contextlib.ExitStack
) -> socket.socket | None:
    """The zone's end of what `way` ends with, once a datagram is under way to it."""
    here, there = way
    (end,) = sockets(zones[there], [socket.SOCK_DGRAM])
    stack.enter_context(end).bind((hosts[there], 0))
    return end if _sent(_bound(zones[there].pairs[here], stack), end) else None


def _bound(address: str, stack: contextlib.ExitStack) -> socket.socket:
    end = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    end.bind((address, 0))
    return end


def _sent(sender: socket.socket, end: socket.socket) -> bool:
    try:
        sender.sendto(b"muster", end.getsockname())
    except OSError:  # no route at all: as lost as any
        return False
    return True


def _wait(ends: Sequence[socket.socket]) -> None:
    """Until everything has arrived, or nothing more can be on its way."""
    deadline, missing = time.monotonic() + ARRIVES_S, set(ends)
    while missing and (rest := deadline - time.monotonic()) > 0:
        missing -= set(select.select(list(missing), [], [], rest)[0])


def _came(end: socket.socket | None) -> bool:
    return end is not None and bool(select.select([end], [], [], 0)[0])


def ways_between(one: Sequence[str], other: Sequence[str]) -> Iterator[Way]:
    """From each zone of the one place to each of the other."""
    for here in one:
        for there in other:
            if here != there:
                yield here, there
