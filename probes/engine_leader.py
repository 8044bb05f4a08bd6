"""Who leads: the epoch of the engine that says so and answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from probes.base import Probe, Reading, Scene, probe
from probes.fetch import StatusPoll

SERVICE = "matching-engine"


def leader(answers: Mapping[str, Mapping[str, Any]]) -> tuple[str, int] | None:
    """(instance, epoch) of the primary with the highest epoch; None where none of the answers says that it leads.

    A former leader that was paused still calls itself primary, with the older epoch.
    """
    found = [(int(one.get("epoch") or 0), name) for name, one in answers.items() if one.get("role") == "primary"]
    return (max(found)[1], max(found)[0]) if found else None


def writers(answers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Instances that claim to lead in the same epoch as another one: more than one breaks single-writer."""
    primaries = [(int(one.get("epoch") or 0), name) for name, one in answers.items() if one.get("role") == "primary"]
    epochs = [epoch for epoch, _ in primaries]
    return sorted(name for epoch, name in primaries if epochs.count(epoch) > 1)


def silence(errors: Mapping[str, str], answers: Mapping[str, Mapping[str, Any]]) -> str:
    """Why there is no leader, in one line."""
    said = [f"{name} is {one.get('role') or 'silent'}" for name, one in sorted(answers.items())]
    return ", ".join(said + [f"{name}: {why}" for name, why in sorted(errors.items())]) or "no engine to ask"


@probe("engine-leader", unit="epoch", summary="Epoch of the matching engine that leads and answers.")
def make(scene: Scene) -> Probe:
    """The probe over the engines of a scene."""
    return EngineLeader(scene)


class EngineLeader:
    """Value: epoch of the leader that answers; text and target: its name; no data where none does.

    A second engine that claims the same epoch is named in `error`, beside the value.
    """

    name = "engine-leader"
    unit = "epoch"
    tick_s = 0.1
    timeout_s = 0.5

    def __init__(self, scene: Scene, within_s: float = 0.08) -> None:
        self._poll = StatusPoll(scene.urls(SERVICE))
        self._within_s = within_s

    def read(self) -> Reading:
        """Ask every engine at once."""
        answers, errors = self._poll.ask(self._within_s)
        now = time.monotonic_ns()
        found = leader(answers)
        if found is None:
            return Reading(now, self.name, self.unit, None, error=silence(errors, answers))
        instance, epoch = found
        both = writers(answers)
        error = f"{' and '.join(both)} claim epoch {epoch}" if len(both) > 1 else None
        return Reading(now, self.name, self.unit, float(epoch), target=instance, text=instance, error=error)

    def close(self) -> None:
        """Close the connections."""
        self._poll.close()
