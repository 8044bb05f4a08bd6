"""The clocks of several hosts: whether two processes read the same one, and how far two others are apart.

The offset is measured as NTP does (RFC 5905, section 8): a question and its answer carry times of both clocks, and of
several rounds the one that took least is believed. Its half is the largest error that the offset can have.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROUNDS = 8
"""Questions that are asked of each clock."""


@dataclass(frozen=True, slots=True)
class Offset:
    """A clock read `ns` more than ours, to within `error_ns`."""

    ns: int
    error_ns: int


SAME = Offset(0, 0)
"""The offset of a process that reads our own clock."""


def identity() -> str:
    """A text that two processes share exactly where CLOCK_MONOTONIC gives both the same time; "" where none is known.

    It is that of the boot of the machine, unless a time namespace moves the clock of some of its processes.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/time')}"
    except OSError:
        return ""


def offset(rounds: Iterable[tuple[int, int, int]]) -> Offset:
    """From (asked, read, heard) in ns: our clock, the other, ours again. Raises ValueError where there is no round."""
    asked, read, heard = min(rounds, key=lambda times: times[2] - times[0])
    return Offset(read - (asked + heard) // 2, -((asked - heard) // 2))
