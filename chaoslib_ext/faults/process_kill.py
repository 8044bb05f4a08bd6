"""process.kill: SIGKILL, the way a machine, a kernel or an operator ends a process without asking it."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.process import InstanceFault
from chaoslib_ext.guardian.verbs import accepts
from chaoslib_ext.world import World
from drills.plan import Target


@fault(
    "process.kill",
    summary="SIGKILL of an instance, held down until it is undone.",
    proof="its pid with its start time is gone, and its ports refuse connections",
    undo="release the instance; its node agent starts it again",
    plane="process",
    sample="engine-dies: {process.kill: {service: matching-engine, role: primary}}",
)
class ProcessKill(InstanceFault):
    """SIGKILL of instances."""

    hold: bool = Field(default=True, description="Keep it down until undo; false lets its agent restart it at once.")

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: SIGKILL engine-0, held down."""
        return f"SIGKILL {names(targets)}" + (", held down" if self.hold else "")

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Release each: it ran before."""
        return [
            {"verb": "agent.release", "args": world.of_agent(instance=target.name)}
            for target, _, _ in self.observe(targets, world)
        ]

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Kill them, in order."""
        for target in targets:
            self.process(target)
        for target in targets:
            world.agent.act(target.name, "kill", signal="KILL", hold=self.hold)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Each process has ended; where held, nothing listens on its ports."""
        texts = []
        for target in targets:
            seen = self.process(target)
            if self.state(target) is not None:
                return None
            texts.append(f"pid {seen.pid} of {target.name} is gone")
            if self.hold:
                instance = world.instance(target.name)
                addresses = sorted({instance.address(port) for port in instance.ports})
                if any(accepts(address) for address in addresses):
                    return None
                texts += [f"{address} of {target.name} refuses connections" for address in addresses]
        return Witness(tuple(texts))
