"""The child processes of a run: started in their own session, known by pid and start time, ended with certainty."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from chaoslib_ext import processes
from drills.errors import ComponentError

KILLED = "was killed by signal {n} ({name})"


@dataclass
class Child:
    """One child. `log` takes its stderr (and stdout, unless that is a pipe)."""

    role: str
    process: subprocess.Popen[bytes]
    start_time: float
    log: Path

    @property
    def identity(self) -> tuple[int, float, str]:
        """(pid, start time, role), as the guardian wants it."""
        return self.process.pid, self.start_time, self.role

    @property
    def ended(self) -> str | None:
        """How it ended, in words; None while it runs."""
        code = self.process.poll()
        return None if code is None else how(code)

    def stop(self, grace_s: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """SIGTERM, wait `grace_s` (less when `hurry` says so), then SIGKILL it and everything under it; idempotent."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            deadline = time.monotonic() + grace_s
            while not hurry() and not self.wait(0.05) and time.monotonic() < deadline:
                continue
        self.kill()

    def freeze(self) -> None:
        """SIGSTOP it, until `thaw` or its end; one that has ended stays ended."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on; idempotent."""
        self._signal(signal.SIGCONT)

    def _signal(self, signum: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signum)

    def kill(self, *, pipes: bool = True) -> None:
        """SIGKILL the process and everything under it, reap it, and close its pipes; idempotent."""
        if self.process.poll() is None:
            processes.send(processes.tree(self.process.pid, self.start_time), signal.SIGKILL)
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout) if pipes else ():
            close(pipe)

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; False when it still runs after `timeout_s` seconds."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def last_words(self) -> str:
        """The last line of its log, cut to one line's length; empty where it said nothing."""
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1].strip()[:200] if lines else ""


def how(code: int) -> str:
    """How a process ended, in words, from its return code."""
    if code >= 0:
        return f"ended with {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return KILLED.format(n=-code, name=name)


def start(
    role: str,
    argv: Sequence[str],
    log: Path,
    *,
    pipes: bool = False,
    stdin: bool = False,
    env: Mapping[str, str] | None = None,
) -> Child:
    """Start a child in its own session (a Ctrl-C at the terminal is the supervisor's alone).

    `pipes` gives it pipes as stdin and stdout, `stdin` only a stdin pipe. Raises ComponentError where it cannot start.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("ab") as sink:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.PIPE if pipes or stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else sink,
                stderr=sink,
                env=None if env is None else {**os.environ, **env},
                start_new_session=True,
            )
    except OSError as error:
        raise ComponentError(role, f"cannot be started: {(error.strerror or str(error)).lower()}") from error
    try:
        born = psutil.Process(process.pid).create_time()
    except psutil.Error as error:
        raise ComponentError(role, f"{how(process.wait())} at once; see {log}") from error
    return Child(role, process, born, log)


def close(pipe: IO[bytes] | None) -> None:
    """Close one end of a pipe; a broken one is closed too."""
    if pipe is None:
        return
    with contextlib.suppress(OSError):
        pipe.close()
