"""A process is its pid and its start time: a pid alone may belong to somebody else by now."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

import psutil

SAME_START_S = 1.5
"""psutil derives start times from the boot time, which each process reads for itself and NTP moves by fractions."""

STOPPED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)

GONE = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


def me() -> tuple[int, float]:
    """Pid and start time of this process."""
    return os.getpid(), psutil.Process().create_time()


def state(pid: int, start_time: float | None) -> str | None:
    """psutil's word for its state; None when it has ended, or the pid belongs to another process."""
    try:
        process = psutil.Process(pid)
        status = process.status()
        started = process.create_time()
    except psutil.Error:
        return None
    if status in GONE or (start_time is not None and abs(started - start_time) > SAME_START_S):
        return None
    return str(status)


def alive(pid: int, start_time: float | None) -> bool:
    """Whether that very process still runs (or is stopped); a zombie has ended."""
    return state(pid, start_time) is not None


def tree(pid: int, start_time: float) -> list[tuple[int, float]]:
    """A process and everything it started that still lives; empty when it has ended."""
    if not alive(pid, start_time):
        return []
    try:
        below = psutil.Process(pid).children(recursive=True)
        return [(pid, start_time), *((one.pid, one.create_time()) for one in below)]
    except psutil.Error:
        return [(pid, start_time)]


def send(targets: Sequence[tuple[int, float]], signum: signal.Signals) -> None:
    """Signal those that are still the same processes; one that ended in between is fine."""
    for pid, start in targets:
        if alive(pid, start):
            try:
                os.kill(pid, signum)
            except (ProcessLookupError, PermissionError):
                continue


def wait_gone(targets: Sequence[tuple[int, float]], timeout_s: float) -> list[tuple[int, float]]:
    """Wait until all have ended; return those that have not within `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    left = [one for one in targets if alive(*one)]
    while left and time.monotonic() < deadline:
        time.sleep(0.005)
        left = [one for one in left if alive(*one)]
    return left


def end(targets: Sequence[tuple[int, float]], grace_s: float) -> list[tuple[int, float]]:
    """Terminate, wait `grace_s` seconds, kill what is left; return what even that did not end."""
    send(targets, signal.SIGCONT)  # a stopped process takes no SIGTERM
    send(targets, signal.SIGTERM)
    left = wait_gone(targets, grace_s)
    send(left, signal.SIGKILL)
    return wait_gone(left, 5.0) if left else []
