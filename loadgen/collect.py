"""Files of a worker on another host, put together from the pieces in which it sends them."""

from __future__ import annotations

import re
from pathlib import Path

from drills.errors import ComponentError

_NAMES = re.compile(r"load/[a-z-]+(-\d\d)?\.(arrow|bin|ndjson|json)|witness/chunk-\d\d-\d{5,}\.arrow")


class Parcels:
    """Writes pieces below the folder of a run; a file is there when its last piece is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, name: str, at: int, data: bytes, last: bool) -> bool:
        """Take the piece of a file that starts at byte `at`; whether the file is whole now.

        Raises ComponentError for a name that no worker writes, and for a piece whose predecessor is missing.
        """
        if not _NAMES.fullmatch(name):
            raise ComponentError("load", f"a worker sent {name[:80]!r}, which is no file of a replay")
        path = self._folder / name
        part = path.with_name(path.name + ".part")
        part.parent.mkdir(parents=True, exist_ok=True)
        if at != (part.stat().st_size if at and part.exists() else 0):
            raise ComponentError("load", f"{name}: a piece of it was lost on its way from a worker")
        with part.open("ab" if at else "wb") as file:
            file.write(data)
        if last:
            part.replace(path)
        return last
