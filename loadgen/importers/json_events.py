"""JSON as a stream of events, however large it is, with no string and no nesting that could fill the memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import ijson

STRING_LIMIT = 16 * 1024 * 1024
"""A longer string is cut to about this many bytes, in the middle."""
DEPTH = 256
"""Deeper nesting is for the reader of the events to refuse."""
_CHUNK = 1 << 16
_INSIDE = re.compile(
    rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL
)  # up to the quote that ends a string, or a lone backslash
_BETWEEN = re.compile(rb'(?:[^"]*+"[^"\\]*+(?:\\.[^"\\]*+)*+")*+[^"]*+', re.DOTALL)  # whole strings and what is between
_SAFE = re.compile(rb"[ !#-\[\]-~]{7}")  # behind this, a string can be cut: no escape and no character is open


class Broken(Exception):
    """The text stops being JSON, or ends, before its value does."""


def events(file: BinaryIO) -> Iterator[tuple[str, Any]]:
    """ijson's basic events: (start_map | map_key | string | number | …, value); numbers are int or float.

    What comes out is ijson's own iterator: use it within `telling`.
    """
    found: Iterator[tuple[str, Any]] = ijson.basic_parse(_Cut(file), use_float=True, buf_size=_CHUNK)
    return found


@contextmanager
def telling() -> Iterator[None]:
    """Raise Broken where the events end too early."""
    try:
        yield
    except (ijson.JSONError, UnicodeDecodeError, OverflowError) as error:
        raise Broken("not JSON from here on, or cut") from error


class _Cut:
    """A file of JSON in which the middle of every overlong string is missing."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._open = False  # within a string
        self._escape = False  # its last byte so far is a lone backslash
        self._length = 0  # of that string so far
        self._dropping = False

    def read(self, size: int) -> bytes:
        """The next bytes; b"" at the end only."""
        while piece := self._file.read(size):  # ijson asks for 0 bytes first, to see the type
            kept = self._strings(piece)
            if kept:
                return kept
        return b""

    def _strings(self, piece: bytes) -> bytes:
        at = 0
        kept: list[bytes] = []
        if self._open:
            end = self._end(piece, 0)
            kept.append(self._part(piece[: len(piece) if end is None else end]))
            if end is None:
                return kept[0]
            self._open, self._dropping, at = False, False, end
        found = _BETWEEN.match(piece, at + 1 if kept else at)  # behind the quote that ends the string
        after = found.end() if found else len(piece)
        if after < len(piece):  # a string begins that does not end here
            self._open, self._length = True, len(piece) - after
            self._escape = False
            self._end(piece, after + 1)
        return b"".join(kept) + piece[at:]

    def _end(self, piece: bytes, at: int) -> int | None:
        """Where the open string ends; None where it goes on behind the piece."""
        if self._escape and at < len(piece):
            at, self._escape = at + 1, False
        found = _INSIDE.match(piece, at)
        end = found.end() if found else at
        if end < len(piece) and piece[end : end + 1] == b'"':
            return end
        self._escape = end < len(piece)  # a lone backslash
        return None

    def _part(self, part: bytes) -> bytes:
        """What is kept of a further part of the open string."""
        self._length += len(part)
        if self._dropping or self._length <= STRING_LIMIT:
            return b"" if self._dropping else part
        safe = _SAFE.search(part)
        if safe is None:
            return part
        self._dropping = True
        return part[: safe.end()]
