"""What activities need and chaoslib does not hand them: the run they belong to.

One process is one run: chaoslib keeps global state itself, so a module variable is honest here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from chaoslib.exceptions import InterruptExecution

from chaoslib_ext.guardian.client import GuardianClient
from chaoslib_ext.world import World
from drills.events import Kind
from drills.plan import Plan
from probes.live import LiveTail
from probes.tail import Tail

Emit = Callable[..., None]


class Stopped(InterruptExecution):  # type: ignore[misc]  # chaoslib has no types
    """The run was told to stop while an activity waited."""


class Timing(Protocol):
    """A clock that may be faked."""

    def __call__(self) -> int:
        """CLOCK_MONOTONIC nanoseconds."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A reading as samples.ndjson has it; `value` None is "no data"."""

    t_ns: int
    probe: str
    value: float | None
    target: str | None
    error: str | None


class Samples:
    """Readings by probe, as the sampler writes them."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self._by_probe: dict[str, list[Sample]] = {}

    def of(self, probe: str) -> Sequence[Sample]:
        """Every reading of a probe so far, oldest first."""
        for row in self._tail.read():
            sample = Sample(int(row["t_ns"]), str(row["probe"]), row["value"], row.get("target"), row.get("error"))
            self._by_probe.setdefault(sample.probe, []).append(sample)
        return self._by_probe.get(probe, [])

    def before(self, probe: str, t_ns: int) -> Sample | None:
        """The last reading with a value not after `t_ns`."""
        return next((s for s in reversed(self.of(probe)) if s.t_ns <= t_ns and s.value is not None), None)


@dataclass(frozen=True, slots=True)
class Shot:
    """A fault that was applied: its targets, when the command went out (T0-) and when it was witnessed (T0+)."""

    fault_id: str
    targets: tuple[str, ...]
    issued_ns: int
    effect_ns: int | None = None


@dataclass
class Context:
    """The run of this process. `plan`, `live` and `samples` are None under plain `chaos run`."""

    run_id: str
    world: World
    guardian: GuardianClient
    emit: Emit
    plan: Plan | None = None
    live: LiveTail | None = None
    samples: Samples | None = None
    activity: str | None = None
    shots: dict[str, Shot] = field(default_factory=dict)
    reported: set[str] = field(default_factory=set)
    pending: dict[str, Any] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    why: str | None = None
    phase: int = 0

    def pause(self, seconds: float) -> None:
        """Wait, and raise Stopped as soon as the run is told to stop."""
        if self.stop.wait(max(0.0, seconds)):
            raise Stopped(self.why or "the run was told to stop")

    def until(self, condition: Callable[[], bool], deadline_ns: int, every_s: float = 0.05) -> bool:
        """Ask `condition` until it holds (True) or the deadline passes (False)."""
        while not condition():
            if time.monotonic_ns() >= deadline_ns:
                return False
            self.pause(every_s)
        return True

    @property
    def last_shot(self) -> Shot | None:
        """The fault that was applied last."""
        return max(self.shots.values(), key=lambda shot: shot.issued_ns, default=None)

    @property
    def first_ns(self) -> int:
        """T0- of the first fault; now, where there was none."""
        return min((shot.issued_ns for shot in self.shots.values()), default=time.monotonic_ns())

    def undo(self, fault_ids: Sequence[str] | str, by: str) -> list[Mapping[str, Any]]:
        """Have the guardian undo these faults ("all": all that are open) and report every one that is closed now."""
        state = {one["fault_id"]: one for one in self.guardian.state().get("faults", [])}
        wanted = list(state) if fault_ids == "all" else list(fault_ids)
        for fault_id in wanted:
            if fault_id in state and state[fault_id]["state"] not in ("VERIFIED", "ORPHANED"):
                self.emit(Kind.FAULT_UNDOING, fault_id=fault_id, by=by)
        if fault_ids == "all":
            self.guardian.undo("all", by=by)
        else:
            for fault_id in reversed(wanted):
                self.guardian.undo(fault_id, by=by)
        return self.report(by)

    def report(self, by: str) -> list[Mapping[str, Any]]:
        """Emit what became of each fault that was not reported yet; return those."""
        done = []
        for one in self.guardian.state().get("faults", []):
            fault_id, state = one["fault_id"], one["state"]
            if fault_id in self.reported or state not in ("VERIFIED", "ORPHANED"):
                continue
            self.reported.add(fault_id)
            done.append(one)
            if state == "VERIFIED":
                self.emit(Kind.FAULT_VERIFIED, fault_id=fault_id, by=by, undone_ns=one["undone_ns"])
            else:
                self.emit(Kind.FAULT_ORPHANED, fault_id=fault_id, by_hand=one["by_hand"])
        return done


_current: Context | None = None


def use(context: Context | None) -> None:
    """Make this the run of the process."""
    global _current
    _current = context


def current() -> Context | None:
    """The run of the process, or None where nobody set one."""
    return _current
