"""Values as recordings write them: times, prices and quantities, symbols, who sent it.

Every function raises ValueError (or its child UnicodeDecodeError) for a value that it cannot use, and nothing else.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Hashable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from loadgen.builder import to_units

_MAX = 2**63 - 1
_SCALES = ((10**11, "s", 9), (10**14, "ms", 6), (10**17, "µs", 3))
_NUMBER = re.compile(r"\s*(\d{1,19})(?:\.(\d{1,40}))?\s*", re.ASCII)
_SYMBOL = re.compile(r"[A-Z0-9._/-]{1,32}", re.ASCII)
_TIME = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)[-T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,12}))?)?\s*(?:Z|UTC|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)


def stamp_ns(value: object) -> tuple[int, str]:
    """A number or its text in ns since 1970, and its unit, told by its size: s < 1e11 ≤ ms < 1e14 ≤ µs < 1e17 ≤ ns."""
    text = value.decode("ascii") if isinstance(value, bytes) else str(value)
    found = _NUMBER.fullmatch(text)
    if not found:
        raise ValueError(f"{text[:40]} is no time")
    whole, fraction = int(found[1]), found[2] or ""
    for limit, unit, digits in _SCALES:
        if whole < limit:
            return whole * 10**digits + int(fraction[:digits].ljust(digits, "0")), unit
    if whole > _MAX:
        raise ValueError(f"{text[:40]} is no time")
    return whole, "ns"


def date_time_ns(text: str) -> int:
    """ISO 8601 (`2026-11-21T10:00:00.123456789+01:00`) or FIX (`20261121-10:00:00.123`) in ns since 1970.

    It is UTC where it tells no zone; a leap second counts as the second before it.
    """
    found = _TIME.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text[:40]} is no date and time")
    year, month, day, hour, minute, second = (int(found[n] or 0) for n in range(1, 7))
    moment = datetime(year, month, day, hour, minute, min(second, 59) if second <= 60 else second, tzinfo=UTC)
    offset_s = (int(found[9]) * 3600 + int(found[10]) * 60) * (-1 if found[8] == "-" else 1) if found[8] else 0
    t_ns = (int(moment.timestamp()) - offset_s) * 1_000_000_000 + int((found[7] or "")[:9].ljust(9, "0"))
    if not 0 <= t_ns <= _MAX:
        raise ValueError(f"{text[:40]} is out of range")
    return t_ns


def units8(value: object) -> int:
    """A price or quantity (text or number) in 1e-8: above zero, not finer than that, below 9.2e10."""
    text = str(value)
    if len(text) > 40:
        raise ValueError(f"{text[:40]} is no price or quantity")
    return _units8(text)


@lru_cache(maxsize=16_384)
def _units8(text: str) -> int:
    try:
        number = Decimal(text)
        if number.is_finite() and number.adjusted() > 10:
            raise ValueError(f"{text} is too large")
        units = to_units(number)
    except (InvalidOperation, OverflowError) as error:
        raise ValueError(f"{text} is no number") from error
    if units > _MAX:
        raise ValueError(f"{text} is too large")
    return units


def symbol(text: object) -> str:
    """A symbol as it may stand in a trace: [A-Z0-9._/-]{1,32}."""
    if not isinstance(text, str) or not _SYMBOL.fullmatch(text):
        raise ValueError("not a symbol")
    return text


class Dealer:
    """Deals what a recording calls a client to sessions: 0, 1, … as they appear, at most `limit` of them.

    Clients beyond the limit share the sessions that there are, by CRC-32 of their name.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._known: dict[Hashable, int] = {}

    def session(self, client: Hashable) -> int:
        """The session of a client, always the same one."""
        found = self._known.get(client)
        if found is None:
            found = len(self._known)
            if found >= self._limit:
                return zlib.crc32(repr(client).encode()) % self._limit
            self._known[client] = found
        return found
