"""Signals as facts that the main loop reads: once means stop and undo, twice means at once."""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType
from typing import Self

WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class AtOnce(BaseException):
    """The second Ctrl-C while something slow and dispensable goes on; never raised during an undo."""


class Signals:
    """Counts the signals that ask to stop. `fd` becomes readable with each, so that a select wakes up."""

    def __init__(self) -> None:
        self.asked: list[signal.Signals] = []
        self.dispensable = False
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: dict[int, object] = {}

    @property
    def fd(self) -> int:
        """Readable after a signal."""
        return self._reader

    @property
    def stop(self) -> bool:
        """Whether somebody asked to stop."""
        return bool(self.asked)

    @property
    def at_once(self) -> bool:
        """Whether somebody asked twice."""
        return len(self.asked) > 1

    @property
    def interrupted(self) -> bool:
        """Whether a person at a terminal asked (Ctrl-C): exit 130."""
        return any(signum == signal.SIGINT for signum in self.asked)

    def name(self) -> str:
        """What asked, in words."""
        return "Ctrl-C" if self.interrupted else self.asked[0].name if self.asked else "nobody"

    def drain(self) -> None:
        """Empty the pipe behind `fd`."""
        try:
            while os.read(self._reader, 512):
                pass
        except BlockingIOError:
            return

    def _take(self, signum: int, frame: FrameType | None) -> None:
        self.asked.append(signal.Signals(signum))
        with contextlib.suppress(BlockingIOError):
            os.write(self._writer, b"!")
        if self.at_once and self.dispensable:
            raise AtOnce

    def __enter__(self) -> Self:
        for signum in WATCHED:
            self._before[signum] = signal.signal(signum, self._take)
        return self

    def __exit__(self, *exc: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]
        os.close(self._reader)
        os.close(self._writer)
