"""How many engines could lead: ready, and no more than a second behind the log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from probes.base import Probe, Reading, Scene, probe
from probes.engine_leader import SERVICE, silence
from probes.fetch import StatusPoll

BEHIND_NS = 1_000_000_000


@probe("engine-redundancy", unit="instances", summary="Matching engines that are ready and within 1 s of the log.")
def make(scene: Scene) -> Probe:
    """The probe over the engines of a scene."""
    return EngineRedundancy(scene)


class Progress:
    """Remembers how far the log was applied, so that a standby's place in it becomes seconds."""

    def __init__(self) -> None:
        self._head: deque[tuple[int, int]] = deque()

    def note(self, t_ns: int, head: int) -> None:
        """The furthest command applied by anybody at `t_ns`."""
        self._head.append((t_ns, head))
        while len(self._head) > 1 and self._head[1][0] <= t_ns - BEHIND_NS:
            self._head.popleft()

    def near(self, applied: int) -> bool:
        """Whether `applied` commands are what the furthest one had a second ago, or more."""
        return not self._head or applied >= self._head[0][1]


def in_step(answers: Mapping[str, Mapping[str, Any]], progress: Progress, t_ns: int) -> list[str]:
    """Names of the engines that are primary or standby and near the head of the log."""
    progress.note(t_ns, max((int(one.get("applied_seq") or 0) for one in answers.values()), default=0))
    return sorted(
        name
        for name, one in answers.items()
        if one.get("role") in ("primary", "standby") and progress.near(int(one.get("applied_seq") or 0))
    )


class EngineRedundancy:
    """Value: engines ready and in step; text: their names; no data where none answers."""

    name = "engine-redundancy"
    unit = "instances"
    tick_s = 0.5
    timeout_s = 1.0

    def __init__(self, scene: Scene, within_s: float = 0.3) -> None:
        self._poll = StatusPoll(scene.urls(SERVICE))
        self._within_s = within_s
        self._progress = Progress()

    def read(self) -> Reading:
        """Ask every engine at once."""
        answers, errors = self._poll.ask(self._within_s)
        now = time.monotonic_ns()
        if not answers:
            return Reading(now, self.name, self.unit, None, error=silence(errors, answers))
        ready = in_step(answers, self._progress, now)
        return Reading(now, self.name, self.unit, float(len(ready)), text=" ".join(ready) or None)

    def close(self) -> None:
        """Close the connections."""
        self._poll.close()
