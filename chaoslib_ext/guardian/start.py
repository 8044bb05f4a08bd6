"""Starts the guardian of a run, and starts it again when it was killed."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from chaoslib_ext import scope
from chaoslib_ext.guardian.client import GuardianClient
from chaoslib_ext.guardian.marker import Marker
from drills.errors import FaultError

LEASE_S = 1.5
START_S = 10.0

_LEFT: list[subprocess.Popen[bytes]] = []
"""Guardians that outlive this process; kept, so that nobody takes them for forgotten."""


class GuardianProcess:
    """The guardian of one run, owned by the process that made this object: it undoes when that process dies."""

    def __init__(self, marker: Marker, *, lease_s: float, max_duration_s: float) -> None:
        self.marker, self._lease_s = marker, lease_s
        self._max_until = time.monotonic() + max_duration_s
        self.client = GuardianClient(marker.socket)
        self._process: subprocess.Popen[bytes] = self._spawn()

    @classmethod
    def start(
        cls, run_dir: Path, scopes: Sequence[str], *, lease_s: float = LEASE_S, max_duration_s: float
    ) -> GuardianProcess:
        """Take the scopes and start the guardian; it answers when this returns. Beat at least each third of the lease.

        Raises Refused (scope taken, orphan open), FaultError (it did not start).
        """
        run_dir.mkdir(parents=True, exist_ok=True)
        marker = scope.claim(run_dir.name, run_dir, scopes)
        try:
            return cls(marker, lease_s=lease_s, max_duration_s=max_duration_s)
        except (FaultError, OSError):
            scope.release(run_dir.name)
            raise

    @property
    def pid(self) -> int:
        """Its pid."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def end(self) -> None:
        """End it at once; what it kept is on the disk."""
        self._process.kill()

    def restart(self) -> None:
        """End what is left of it and start it on the same ledger. Raises FaultError."""
        self._process.kill()
        self._process.wait()
        self._close_pipes()
        self._process = self._spawn()

    def close(self, timeout_s: float = 5.0) -> int:
        """Close the run (nothing may be open) and wait for the exit; returns its exit code. Raises FaultError."""
        self.client.close()
        code = self._process.wait(timeout_s)
        self._close_pipes()
        return code

    def let_go(self, timeout_s: float = 90.0) -> int:
        """Close the pipe: the guardian undoes everything, ends the children and exits; returns its exit code."""
        self._close_pipes()
        return self._process.wait(timeout_s)

    def leave(self) -> None:
        """Close the pipe and go: the guardian holds what a person must decide, and outlives this process."""
        self._close_pipes()
        _LEFT.append(self._process)

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()

    def _spawn(self) -> subprocess.Popen[bytes]:
        logs = Path(self.marker.run_dir) / "logs"
        logs.mkdir(exist_ok=True)
        left = max(0.0, self._max_until - time.monotonic())
        argv = [sys.executable, "-m", "chaoslib_ext.guardian", "--run-dir", self.marker.run_dir]
        argv += ["--socket", self.marker.socket, "--marker", str(scope.marker_path(self.marker.run_id))]
        argv += ["--lease", str(self._lease_s), "--max-duration", str(left)]
        with (logs / "guardian.log").open("ab") as log:
            # its own session: a Ctrl-C in the terminal, or a signal to our group, must not reach it
            process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        said = _first_line(process)
        if said != "ready":
            process.kill()
            process.wait()
            raise FaultError(f"{said or 'guardian: did not start'}; see {logs / 'guardian.log'}; no fault")
        return process


def _first_line(process: subprocess.Popen[bytes]) -> str:
    if process.stdout is None or not select.select([process.stdout], [], [], START_S)[0]:
        return ""
    return process.stdout.readline().decode(errors="replace").strip()
