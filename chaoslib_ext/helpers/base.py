"""Inside a helper: its orders, its permission to begin, and whether it is still wanted.

Between `ready` and `go` a helper does nothing. Who started it may have died, or may have been overtaken by the undo:
then there is no `go`, and the helper ends without having touched anything.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Sequence

RUN_LOOK_S = 0.5
"""How often it is looked whether anybody is still responsible for the run."""

UNGUARDED_S = 2.0
"""A supervisor starts a dead guardian again within this time; a guardian undoes for a dead supervisor within it."""

SAME_START_S = 1.5
"""As chaoslib_ext.processes has it: start times are derived from a boot time that moves by fractions."""


class Helper:
    """One helper process. Orders are pairs `--name value`; `--target PID:START` may come more than once."""

    def __init__(self, argv: Sequence[str]) -> None:
        """Raises ValueError for orders that are no pairs, KeyError without `--tag` and `--seconds`."""
        if len(argv) % 2:
            raise ValueError(f"helper: orders are pairs, got {list(argv)}")
        pairs = [(name.removeprefix("--"), value) for name, value in zip(argv[::2], argv[1::2], strict=True)]
        self.options = dict(pairs)
        self.tag = self.options["tag"]
        self.targets = [_identity(value) for name, value in pairs if name == "target"]
        self._until = time.monotonic() + float(self.options["seconds"])
        self._marker = self.options.get("marker")
        self._look_at = 0.0
        self._responsible = time.monotonic()
        self._told = False
        self._wake_r, wake_w = os.pipe()
        os.set_blocking(wake_w, False)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._tell)

    def _tell(self, *_: object) -> None:
        self._told = True

    def may_begin(self) -> bool:
        """Say `ready`, wait for `go`; False where whoever started it is gone or has been overtaken."""
        os.write(1, b"ready\n")
        said = os.read(0, 16)
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1):
            os.dup2(null, number)
        return said == b"go\n" and not self._told

    def wanted(self) -> bool:
        """Whether there is a reason to go on."""
        now = time.monotonic()
        if self._told or now >= self._until:
            return False
        if self.targets:
            self.targets = [one for one in self.targets if lives(*one)]
            if not self.targets:
                return False
        if self._marker is not None and now >= self._look_at:
            self._look_at = now + RUN_LOOK_S
            if _looked_after(self._marker):
                self._responsible = now
            return now - self._responsible < UNGUARDED_S
        return True

    def rest(self, seconds: float) -> None:
        """Sleep; a signal that tells it to end, or the deadline, cuts it short."""
        left = min(seconds, self._until - time.monotonic())
        if left > 0 and not self._told:
            select.select([self._wake_r], [], [], left)


def lives(pid: int, start_time: float) -> bool:
    """Whether that very process still runs; the standard library is enough for it on Linux."""
    if sys.platform != "linux":
        from chaoslib_ext import processes

        return processes.alive(pid, start_time)
    started = _started(pid)
    return started is not None and abs(started - start_time) <= SAME_START_S


def stat_fields(pid: int) -> list[str] | None:
    """What /proc/PID/stat says from the state on (the third field); None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def _started(pid: int) -> float | None:
    fields = stat_fields(pid)
    if fields is None or fields[0] in "ZX":
        return None
    return _boot_time() + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _boot_time() -> float:
    with open("/proc/stat", encoding="ascii") as file:
        return next(float(line.split()[1]) for line in file if line.startswith("btime"))


def _looked_after(marker: str) -> bool:
    """Whether the run of this marker is open, and its supervisor or its guardian lives."""
    import json

    try:
        with open(marker, encoding="utf-8") as file:
            raw = json.load(file)
        owners = [raw["supervisor"], raw["guardian"]]
        return any(one is not None and lives(int(one[0]), float(one[1])) for one in owners)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return False


def _identity(text: str) -> tuple[int, float]:
    pid, _, start = text.partition(":")
    return int(pid), float(start)
