"""How far the slowest standby is behind the leader, in commands."""

from __future__ import annotations

import time

from probes.base import Probe, Reading, Scene, probe
from probes.engine_leader import SERVICE, leader, silence
from probes.fetch import StatusPoll


@probe("engine-replication", unit="commands", summary="Commands by which the slowest standby is behind the leader.")
def make(scene: Scene) -> Probe:
    """The probe over the engines of a scene."""
    return EngineReplication(scene)


class EngineReplication:
    """Value: commands between the leader and the slowest standby; no data without a leader or a standby."""

    name = "engine-replication"
    unit = "commands"
    tick_s = 0.5
    timeout_s = 1.0

    def __init__(self, scene: Scene, within_s: float = 0.3) -> None:
        self._poll = StatusPoll(scene.urls(SERVICE))
        self._within_s = within_s

    def read(self) -> Reading:
        """Ask every engine at once."""
        answers, errors = self._poll.ask(self._within_s)
        now = time.monotonic_ns()
        found = leader(answers)
        standbys = {name: one for name, one in answers.items() if one.get("role") == "standby"}
        if found is None or not standbys:
            return Reading(now, self.name, self.unit, None, error=silence(errors, answers))
        head = int(answers[found[0]].get("applied_seq") or 0)
        slowest = min(standbys, key=lambda name: int(standbys[name].get("applied_seq") or 0))
        # the two answers are not of one instant: a standby asked last may seem ahead
        behind = max(0, head - int(standbys[slowest].get("applied_seq") or 0))
        return Reading(now, self.name, self.unit, float(behind), target=slowest, text=slowest)

    def close(self) -> None:
        """Close the connections."""
        self._poll.close()
