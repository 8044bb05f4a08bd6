"""FIX messages in the lines of a log: found, verified, and split into fields."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from loadgen.importers.values import date_time_ns, stamp_ns

_SOH = b"\x01"
_START = re.compile(rb"(?<![0-9])8=FIXT?\.\d\.\d(\x01|\||\^A)")
_TRAILER = re.compile(rb"\x0110=(\d{3})(?![0-9])")
_LENGTH = re.compile(rb"9=(\d{1,7})")
_STAMP = re.compile(r"(?<!\d)\d{4}-?\d\d-?\d\d[-T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?")
_CLOCK = re.compile(r"(?<!\d)\d\d:\d\d:\d\d(?:[.,]\d{1,9})?")
_EPOCH = re.compile(r"(?<![\d.])\d{10,19}(?:\.\d{1,9})?(?![\d.])")


@dataclass(frozen=True, slots=True)
class Message:
    """The fields of one message by tag (of a tag in a group, the first), and what its line says before it."""

    fields: dict[str, str]
    prefix: bytes

    def t_ns(self, date: str | None) -> int:
        """When it was sent (tag 52) in ns since 1970; else when it was logged, by the line's own stamp.

        `date` (YYYY-MM-DD) is that of a log which writes the time of day only. Raises ValueError where nothing tells.
        """
        if "52" in self.fields:
            return date_time_ns(self.fields["52"])
        text = self.prefix[-400:].decode("latin-1")
        if found := _STAMP.search(text):
            return date_time_ns(found[0])
        if found := _EPOCH.search(text):
            return stamp_ns(found[0])[0]
        found = _CLOCK.search(text)
        if not found or not date:
            raise ValueError("no time")
        return date_time_ns(f"{date}T{found[0]}")


def messages(line: bytes) -> Iterator[Message | str]:
    """Every message of a line, whatever stands between them; what is wrong with it, in words, for a damaged one.

    Fields are separated by SOH, `|` or `^A`. Checksum (tag 10) and body length (tag 9) count the bytes as they were on
    the wire, with SOH.
    """
    starts = list(_START.finditer(line))
    before = 0
    ends = [*(start.start() for start in starts[1:]), len(line)]
    for start, end in zip(starts, ends, strict=False):
        text = line[start.start() : end]
        yield _message(text if start[1] == _SOH else text.replace(start[1], _SOH), line[before : start.start()])
        before = start.end()


def _message(text: bytes, prefix: bytes) -> Message | str:
    trailer = _TRAILER.search(text)
    if not trailer:
        return "cut message: it has no checksum"
    counted = text[: trailer.start() + 1]
    if sum(counted) % 256 != int(trailer[1]):
        return "wrong checksum"
    _, length, body = counted.split(_SOH, 2) if counted.count(_SOH) > 1 else (b"", b"", b"")
    found = _LENGTH.fullmatch(length)
    if not found or len(body) != int(found[1]):
        return "wrong body length"
    fields: dict[str, str] = {}
    for field in body[:-1].decode("latin-1").split("\x01"):
        tag, equals, value = field.partition("=")
        if not equals or not tag.isdigit():
            return "a field without a tag"
        fields.setdefault(tag, value)
    return Message(fields, prefix)
