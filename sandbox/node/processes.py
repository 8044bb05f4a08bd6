"""Processes: a process is its pid and its start time, and a child never outlives its agent unseen.

Three lines of defence, because a kill -9 of the agent must leave nothing: the kernel kills the child when
the agent dies (Linux); the list of children on disk names it by pid and start time; and every child carries
the sandbox's folder in its environment, so that a scan finds one that was started but not yet listed.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import psutil

MARK = "MUSTER_SANDBOX_DIR"
"""The environment variable by which a scan knows a process of a sandbox."""

_START_TOLERANCE_S = 1.0  # psutil derives start times from the boot time, which moves when the clock is set
_PR_SET_PDEATHSIG = 1


def same_process(pid: int, start_time: float) -> psutil.Process | None:
    """The live process of this pid and start time; None when it is gone, a zombie, or another by now."""
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - start_time) > _START_TOLERANCE_S or process.status() == psutil.STATUS_ZOMBIE:
            return None
    except psutil.Error:
        return None
    return process


def recorded_children(path: Path) -> list[psutil.Process]:
    """The live ones of a list of children on disk; half a last line is skipped."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError):
            row = orjson.loads(line)
            if process := same_process(row["pid"], row["start_time"]):
                found.append(process)
    return found


def sweep_shared_memory(path: Path) -> None:
    """Remove what libfaketime keeps in memory by the pid of its process, for the ended ones of a list of children.

    It removes that itself only where its process ends in order.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        rows = [orjson.loads(line) for line in path.read_bytes().splitlines() if line.endswith(b"}")]
        ended = {row["pid"] for row in rows} - {process.pid for process in recorded_children(path)}
        for pid in ended:
            for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
                Path("/dev/shm", name).unlink(missing_ok=True)


def marked(root: Path) -> list[psutil.Process]:
    """Every live process of this user that carries the sandbox `root` in its environment, but ourselves."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(root):
                found.append(process)
    return found


def end_all(processes: Iterable[psutil.Process], timeout_s: float = 5.0) -> list[psutil.Process]:
    """Kill processes and wait until they are gone; returns those that are still there after `timeout_s`."""
    left = list(processes)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()  # SIGKILL ends a stopped process as well
    return wait_gone(left, timeout_s)


def wait_gone(processes: Iterable[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Wait until processes have ended; returns those that are still there after `timeout_s`.

    A zombie has ended: it is only not yet reaped, which the init of some containers does seldom.
    """
    left = list(processes)
    deadline = time.monotonic() + timeout_s
    while left := [process for process in left if _alive(process)]:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.01)
    return []


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def spawn(argv: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path) -> "subprocess.Popen[bytes]":
    """Start a child in its own session, its output appended to `log`; raises OSError when it cannot be run."""
    with log.open("ab") as output:
        return subprocess.Popen(
            list(argv),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent(),
        )


def _die_with_parent() -> Callable[[], None] | None:
    """A function that makes the kernel kill the calling child when its parent dies; None where it cannot."""
    if sys.platform != "linux":
        return None
    prctl: Any = ctypes.CDLL(None).prctl  # looked up before the fork: nothing but system calls after it
    parent = os.getpid()

    def arm() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os._exit(1)

    return arm
