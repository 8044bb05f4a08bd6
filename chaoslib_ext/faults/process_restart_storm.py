"""process.restart-storm: an instance dies again and again, as with a bad release or a poisoned message."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.host import end_tagged
from chaoslib_ext.faults.process import InstanceFault
from chaoslib_ext.helpers import spawn
from chaoslib_ext.world import World
from drills.plan import Target
from drills.units import Duration, format_duration


@fault(
    "process.restart-storm",
    summary="SIGKILL of an instance again and again; its agent starts it again each time.",
    proof="the process that ran before is gone, and the agent counts restarts",
    undo="end what kills it, and release the instance from its agent's back-off",
    plane="process",
    sample="gateway-crash-loops: {process.restart-storm: {instance: gateway-1, every: 2s, times: 5}}",
)
class ProcessRestartStorm(InstanceFault):
    """Kill instances again and again."""

    every: Duration = Field(default=2.0, gt=0.05, description="From one kill to the next.")
    times: int | None = Field(default=None, gt=0, description="Kills in all; without it, until it is undone.")
    duration: Duration | None = Field(default=None, description="Undone by itself after this long.")

    @property
    def expires_s(self) -> float | None:
        """The duration."""
        return self.duration

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: SIGKILL gateway-1 every 2s, 5 times."""
        times = f", {self.times} times" if self.times else ""
        return f"SIGKILL {names(targets)} every {format_duration(self.every)}{times}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """End the storm, then release each: it ran before."""
        releases: list[Recipe] = [
            {"verb": "agent.release", "args": world.of_agent(instance=target.name)}
            for target, _, _ in self.observe(targets, world)
        ]
        return [*releases, end_tagged(world)]

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Start one helper that kills all of them on one beat, the first time at once."""
        for target in targets:
            self.process(target)
        instances = ",".join(target.name for target in targets)
        spawn.start(
            "restart_storm",
            world,
            seconds=self.duration,
            agent=world.agent.url,
            instances=instances,
            every=self.every,
            times=self.times or 0,
        )

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Each process that ran before has ended; the first kill is enough."""
        texts = []
        for target in targets:
            if self.state(target) is not None:
                return None
            texts.append(f"pid {self.process(target).pid} of {target.name} is gone, more kills follow")
        return Witness(tuple(texts))
