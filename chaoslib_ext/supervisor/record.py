"""The record of a run: its event log, what the screen shows of it, and what happens when the disk takes no more."""

from __future__ import annotations

import errno
import shutil
import time
from dataclasses import dataclass, field

from chaoslib_ext.screen import Screen
from drills.errors import ComponentError
from drills.events import Event, EventLog, Kind
from drills.evidence import RunDir

LEAST_FREE = 1 << 20
"""Bytes. With less, what a child said of its end may not have found room either."""

ADVICE = "give it room, or another --runs"


def disk_words(error: OSError) -> str:
    """Why the disk failed, in words; libraries wrap the same error in many ways."""
    if error.errno == errno.ENOSPC or f"Errno {errno.ENOSPC}" in str(error):
        return "no space left on device"
    return (error.strerror or str(error)).lower()[:200]


@dataclass
class Record:
    """Events go to the disk first, then to the screen; after the disk has failed, or the log is sealed, only there."""

    run: RunDir
    events: EventLog
    screen: Screen
    failed: str | None = None
    sealed: bool = False
    closed: dict[str, Kind] = field(default_factory=dict)  # faults that were verified or orphaned

    def emit(self, kind: Kind, /, **data: object) -> None:
        """Record an event. Raises ComponentError where the disk fails, the first time."""
        if kind in (Kind.FAULT_VERIFIED, Kind.FAULT_ORPHANED):
            self.closed[str(data["fault_id"])] = kind
        if self.failed is not None or self.sealed:
            self.screen.handle(Event(-1, time.monotonic_ns(), "", kind, data, "", ""))
            return
        try:
            self.events.emit(kind, **data)
        except OSError as error:
            raise self.fail(error) from error

    def note(self, text: str) -> None:
        """Record a note; where that fails, only show it."""
        try:
            self.emit(Kind.NOTE, text=text)
        except ComponentError as error:
            self.screen.say(str(error))

    def check_room(self) -> None:
        """A part of the run failed: where the disk is full, that is why. Raises ComponentError, the first time."""
        if self.failed is None and shutil.disk_usage(self.run.path).free < LEAST_FREE:
            raise self.fail(OSError(errno.ENOSPC, "no space left on device"))

    def fail(self, error: OSError) -> ComponentError:
        """The disk failed: from here on nothing more is written. What to raise or say about it."""
        self.failed = disk_words(error)
        return ComponentError("run directory", f"{self.run.path}: {self.failed}; {ADVICE}")

    def seal(self) -> None:
        """Close the log: nothing may change it any more."""
        self.sealed = True
        self.events.close()

    def discard(self) -> None:
        """Remove the run's folder: nothing was touched, so nothing is to be told."""
        self.seal()
        shutil.rmtree(self.run.path, ignore_errors=True)
