"""Hours in which drills are allowed, as an environment writes them: "Mon-Fri 09:00-16:00 Asia/Singapore"."""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from datetime import datetime, time

from drills.registry import did_you_mean

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EXAMPLE = "Mon-Fri 09:00-16:00 Asia/Singapore"
_DAY = "|".join(DAYS)
_FORM = re.compile(rf"({_DAY})(?:-({_DAY}))? ([0-2]\d:[0-5]\d)-([0-2]\d:[0-5]\d) (\S+)")


@dataclass(frozen=True, slots=True)
class Window:
    """Days of the week (0 is Monday) and the time of day from `start` to before `end`, on the clocks of a place.

    An `end` not after `start` is that of the next day; the hours after midnight belong to the day on which they began.
    """

    days: frozenset[int]
    start: time
    end: time
    zone: zoneinfo.ZoneInfo

    def contains(self, now: datetime) -> bool:
        """Whether an instant (with a time zone) lies inside."""
        local = now.astimezone(self.zone)
        at, day = local.time(), local.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= at < self.end
        return (day in self.days and at >= self.start) or ((day - 1) % 7 in self.days and at < self.end)


def parse_window(text: str) -> Window:
    """Read a window. Raises ValueError that names the part that is wrong."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is not a window; write {EXAMPLE}')
    first = DAYS.index(match[1])
    last = DAYS.index(match[2]) if match[2] else first
    days = frozenset((first + n) % 7 for n in range((last - first) % 7 + 1))
    try:
        start, end = time.fromisoformat(match[3]), time.fromisoformat(match[4])
    except ValueError as error:
        raise ValueError(f'"{match[3]}-{match[4]}" is not a time of day; write 09:00-16:00') from error
    try:
        zone = zoneinfo.ZoneInfo(match[5])
    except (zoneinfo.ZoneInfoNotFoundError, ValueError) as error:
        hint = did_you_mean(match[5], zoneinfo.available_timezones())
        raise ValueError(f'no time zone "{match[5]}"; {hint}') from error
    return Window(days, start, end, zone)
