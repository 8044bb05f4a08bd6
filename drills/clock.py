"""One clock: CLOCK_MONOTONIC of the driving host measures, wall time is display."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

NS = 1_000_000_000


class Clock(Protocol):
    """What code that measures or waits may ask."""

    def monotonic_ns(self) -> int:
        """Nanoseconds of CLOCK_MONOTONIC."""

    def wall(self) -> str:
        """ISO 8601 UTC with microseconds and Z, for display only."""

    def sleep(self, seconds: float) -> None:
        """Wait; seconds below zero do not wait."""


class SystemClock:
    """The real clock."""

    def monotonic_ns(self) -> int:
        """Nanoseconds of CLOCK_MONOTONIC."""
        return time.monotonic_ns()

    def wall(self) -> str:
        """ISO 8601 UTC with microseconds and Z."""
        return _iso(datetime.now(UTC))

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        time.sleep(max(0.0, seconds))


class FakeClock:
    """A clock for tests: it moves only when told, and sleeping moves it."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns
        self._epoch = datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic_ns(self) -> int:
        """The fake instant, in nanoseconds."""
        return self._now_ns

    def wall(self) -> str:
        """The fake instant after 2026-01-01T00:00:00Z."""
        return _iso(self._epoch + timedelta(microseconds=self._now_ns // 1000))

    def sleep(self, seconds: float) -> None:
        """Move the clock by `seconds`."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move the clock by `seconds` (not below zero)."""
        self._now_ns += max(0, round(seconds * NS))


def _iso(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
