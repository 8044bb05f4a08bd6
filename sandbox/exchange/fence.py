"""The fence of an engine, as a file: an engine that dies behind it comes back behind it.

A fence that were memory alone would fall with the process, and an engine of a replaced region would lead there again.
The file lies in the pod's own volume and not in the bus: an engine is fenced while it is cut off from the bus.
"""

import os
from pathlib import Path


class Fence:
    """Up or down; with a `path` it outlives the process, and the power of the node."""

    def __init__(self, path: Path | None = None) -> None:
        """As the file says; without one it is down."""
        self._path = path
        self.up = path is not None and path.exists()

    def put_up(self) -> None:
        """From now on this engine does not lead; raises OSError where that will not last: it stands all the same."""
        self.up = True
        if self._path is not None:
            with self._path.open("wb") as handle:
                os.fsync(handle.fileno())
            self._sync_folder()

    def take_down(self) -> None:
        """The engine may lead again; raises OSError where the file stays, and the fence with it."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._sync_folder()
        self.up = False

    def _sync_folder(self) -> None:
        assert self._path is not None
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
