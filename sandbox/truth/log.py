"""The truth log: what really happened inside the sandbox, written before its effect is visible.

One file per component, NDJSON, opened with O_APPEND and written without any buffer of ours: a process
that is killed the instant after `append` returned has lost nothing. Only tests and benchmarks may read it.
"""

import os
from pathlib import Path
from typing import Any

import orjson


class TruthLog:
    """An append-only NDJSON file; every `append` is one write of whole lines."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open `path` for appending, creating it and its folder; raises OSError when that is not possible."""
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def append(self, records: list[dict[str, Any]]) -> None:
        """Write `records`, one line each, in a single system call; nothing is written for an empty list.

        Raises OSError when the disk does not take the whole block: a truth that is silently cut is none.
        """
        if not records:
            return
        block = b"".join(orjson.dumps(record) + b"\n" for record in records)
        if os.write(self._fd, block) != len(block):
            raise OSError(f"{self.path}: the truth log was cut short; is the disk full?")

    def close(self) -> None:
        """Close the file; further `append` calls raise OSError. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
