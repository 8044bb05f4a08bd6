"""Reads what was appended to an NDJSON file since the last look."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

CHUNK = 1 << 20


class Tail:
    """Follows a file that may not exist yet; half a last line waits for its rest."""

    def __init__(self, path: Path, *, from_end: bool = False) -> None:
        self.path = path
        self._fd = -1
        self._rest = b""
        self._skip = from_end

    def read(self) -> list[dict[str, Any]]:
        """The whole lines appended since the last call; a line that is no JSON object is left out."""
        if not self._open():
            return []
        lines: list[dict[str, Any]] = []
        while data := os.read(self._fd, CHUNK):
            *whole, self._rest = (self._rest + data).split(b"\n")
            lines += [parsed for line in whole if (parsed := _parse(line)) is not None]
        return lines

    def close(self) -> None:
        """Close the file; a later read opens it again at its beginning."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._rest = -1, b""

    def _open(self) -> bool:
        if self._fd >= 0:
            return True
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        if self._skip:
            os.lseek(self._fd, 0, os.SEEK_END)
        return True


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
