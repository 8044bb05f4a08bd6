"""Looks at the instances each second, on a thread: is the node agent there, did anything restart that was not ours."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

from chaoslib_ext.agentclient import Process
from chaoslib_ext.world import World
from drills.errors import ComponentError

BEAT_S = 1.0
MISSES = 2
"""One look may fail while the machine is busy."""


class EnvironmentWatch:
    """Follows the instances of a world; `touched` are those that a fault of the run may stop and start."""

    def __init__(self, world: World, touched: Collection[str]) -> None:
        self._world, self._touched = world, frozenset(touched)
        self._known: dict[str, tuple[int | None, float | None]] = {}
        self._restarted: list[str] = []
        self._misses = 0
        self._stop = threading.Event()
        self.lost: str | None = None
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; idempotent."""
        self._stop.set()

    def news(self) -> list[str]:
        """One line for each restart since the last call."""
        found, self._restarted = self._restarted, []
        return found

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_S):
            self.look()

    def look(self) -> None:
        """Ask once."""
        try:
            processes = self._world.agent.instances()
        except ComponentError as error:
            self._misses += 1
            if self._misses >= MISSES:
                self.lost = str(error)
            return
        self._misses = 0
        self.compare(processes)

    def compare(self, processes: Sequence[Process]) -> None:
        """Take in how the instances are now."""
        for one in processes:
            if one.name in self._touched or one.pid is None:
                continue
            now = (one.pid, one.start_time)
            before = self._known.setdefault(one.name, now)
            if before != now:
                self._known[one.name] = now
                said = f"{one.name} was started anew (pid {before[0]}, now {one.pid}): not by a fault of this run"
                self._restarted.append(said)
