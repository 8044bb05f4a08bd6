"""What the faults on instances share: how targets are named, and which process it was before."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from chaoslib_ext import processes
from chaoslib_ext.agentclient import Process
from chaoslib_ext.faults.base import Fault, select_instances
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.plan import Target


class InstanceFault(Fault):
    """Base of faults on instances: one by name, or those of a service (and role)."""

    service: str | None = Field(default=None, description="Service whose instances are hit.")
    instance: str | None = Field(default=None, description="One instance by name.")
    role: str | None = Field(default=None, description="Only those in this role when it is injected, such as primary.")

    @model_validator(mode="after")
    def _one_way(self) -> InstanceFault:
        if (self.service is None) == (self.instance is None):
            raise ValueError("give either service or instance")
        return self

    def targets(self, world: World) -> list[Target]:
        """The instances as named, by the roles of this moment. Raises Refused `target-matches-nothing`."""
        return select_instances(world, self.service, self.instance, self.role)

    def observe(self, targets: Sequence[Target], world: World) -> list[tuple[Target, int, float]]:
        """Remember the running process of each target: (target, pid, start time).

        Raises FaultError for one that does not run: the fault would prove nothing, and its undo would start it.
        """
        found = []
        for target in targets:
            seen = world.agent.instance(target.name)
            if seen.phase not in ("running", "starting") or seen.pid is None or seen.start_time is None:
                raise FaultError(f"{self.name}: {target.name} is {seen.phase}, not running; nothing was touched")
            self.remember(target.name, seen)
            found.append((target, seen.pid, seen.start_time))
        return found

    def process(self, target: Target) -> Process:
        """The process of a target as plan_undo saw it."""
        seen = self.before(target.name)
        assert isinstance(seen, Process)
        return seen

    def state(self, target: Target) -> str | None:
        """State of that very process now, by psutil; None when it has ended."""
        seen = self.process(target)
        return processes.state(seen.pid or 0, seen.start_time)
