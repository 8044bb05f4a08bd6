"""Looks at the instances each second, on a thread: is the node agent there, did anything restart that was not ours."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

from chaoslib_ext.agentclient import Process
from chaoslib_ext.world import World
from drills.errors import ComponentError

BEAT_S = 1.0
MISSES = 2
"""One look may fail while the machine is busy, and an instance that dies may be back before the next."""

DOWN = ("held", "stopped", "paused", "backoff")
LINKS = "links"
NOT_OURS = "not by a fault of this run"


class EnvironmentWatch:
    """Follows the instances of a world; `touched` are those that a fault of the run may stop and start.

    What happens to the other instances of the drilled `services` may be what the drill is there to find: a restart is
    news. Any other service that stays down, or links that lost their faults with a restart, end the run: see `lost`.
    """

    def __init__(self, world: World, touched: Collection[str], services: Collection[str] = ()) -> None:
        self._world, self._touched = world, frozenset(touched)
        self._links = frozenset(one.name for one in world.instances if one.service == LINKS)
        self._drilled = frozenset(one.name for one in world.instances if one.service in services)
        self._down: dict[str, int] = {}
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
            if one.name in self._touched:
                continue
            self._watch_down(one)
            if one.pid is None:
                continue
            now = (one.pid, one.start_time)
            before = self._known.setdefault(one.name, now)
            if before != now:
                self._known[one.name] = now
                said = f"{one.name} was started anew (pid {before[0]}, now {one.pid}): {NOT_OURS}"
                self._restarted.append(said)
                if one.name in self._links:
                    self.lost = f"{said}; every toxic went with the old one"

    def _watch_down(self, one: Process) -> None:
        looks = self._down.get(one.name, 0) + 1 if one.phase in DOWN else 0
        self._down[one.name] = looks
        if looks >= MISSES and one.name not in self._drilled and self.lost is None:
            self.lost = f"{one.name} is {one.phase}: {NOT_OURS}; see `muster sandbox status`"
