"""Who carries which tag: helpers are found by what they are called with, never by what somebody wrote down."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass

PACKAGE = "chaoslib_ext.helpers."


@dataclass(frozen=True, slots=True)
class Found:
    """A live process with a tag in its arguments: the pair `--tag T`, so that no `grep T` is ever meant."""

    pid: int
    argv: tuple[str, ...]

    def order(self, name: str) -> str | None:
        """The value behind `--name`."""
        flag = f"--{name}"
        return next((value for key, value in zip(self.argv, self.argv[1:], strict=False) if key == flag), None)

    @property
    def what(self) -> str:
        """Which helper it is: `cpu_starve`."""
        return next((word.removeprefix(PACKAGE) for word in self.argv if word.startswith(PACKAGE)), self.argv[0])


def tagged(tag: str | None = None) -> list[Found]:
    """Every live process of this user with that tag (None: with any tag, where it is a helper of ours)."""
    return [
        one
        for one in (Found(pid, argv) for pid, argv in _processes() if "--tag" in argv)
        if (one.order("tag") == tag if tag is not None else any(word.startswith(PACKAGE) for word in one.argv))
    ]


def _processes() -> Iterator[tuple[int, tuple[str, ...]]]:
    """Pid and arguments of every process of this user but ourselves; a zombie has no arguments any more."""
    if sys.platform != "linux":
        yield from _by_psutil()
        return
    me, user = os.getpid(), os.geteuid()
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == me:
            continue
        try:
            with open(f"/proc/{entry.name}/cmdline", "rb") as file:
                raw = file.read()
            if b"--tag" not in raw or os.stat(entry.path).st_uid != user:
                continue
        except OSError:
            continue  # it ended in between
        yield int(entry.name), tuple(word.decode(errors="replace") for word in raw.split(b"\0")[:-1])


def _by_psutil() -> Iterator[tuple[int, tuple[str, ...]]]:
    import psutil

    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.uids().effective == os.geteuid():
                yield process.pid, tuple(process.cmdline())
        except psutil.Error:
            continue
