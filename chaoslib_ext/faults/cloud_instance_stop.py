"""cloud.instance-stop: the instances of a zone, or one of them, lose their power through the cloud."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from chaoslib_ext.cloud import Machine
from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.cloud import CloudFault, addresses, gone, names_target, nothing, running, silent
from chaoslib_ext.world import World
from drills import registry
from drills.errors import FaultError
from drills.plan import Target


@fault(
    "cloud.instance-stop",
    summary="Stop the instances of a zone, or one, by force: everything on them dies.",
    proof="the processes on them are gone, and their ports refuse connections",
    undo="start them again; a scaling group that was kept from replacing them may do so again",
    plane="cloud",
    sample="node-off: {cloud.instance-stop: {node: tyo-a}}",
    needs={"aws"},
)
class InstanceStop(CloudFault):
    """Stop instances."""

    zone: str | None = Field(default=None, description="Zone whose instances are stopped.")
    node: str | None = Field(default=None, description="One instance by its Name.")

    @model_validator(mode="after")
    def _one_way(self) -> InstanceStop:
        if (self.zone is None) == (self.node is None):
            raise ValueError("give either zone or node")
        return self

    def targets(self, world: World) -> list[Target]:
        """The nodes. Raises Refused `target-matches-nothing`."""
        return [names_target("node", one.node, one.zone, world) for one in self._machines(world)]

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: stop instance tyo-a by force."""
        return f"stop instance{'s' if len(targets) > 1 else ''} {names(targets)} by force"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Start each again; first let a scaling group that would terminate them keep still."""
        machines = self._chosen(targets, world)
        ids, zone = [one.id for one in machines], machines[0].zone
        if stopped := [f"{one.node} is {one.state}" for one in machines if one.state != "running"]:
            raise FaultError(f"{self.name}: {', '.join(stopped)}; nothing was touched")
        self.rehearse("stop", {"zone": zone, "ids": ids}, world)
        groups = self.cloud(world).suspended(ids)
        here = [one for one in world.instances if one.zone in {machine.zone for machine in machines}]
        ports = addresses(here)
        if not ports:
            raise FaultError(f"{self.name}: nothing listens on {names(targets)}: no effect could be seen")
        self.remember("*", (ids, groups, ports, running(here, world)))
        recipes = [self.recipe("cloud.resume_scaling", world, **one) for one in groups]
        return [*recipes, self.recipe("cloud.start", world, zone=zone, ids=ids, ports=ports)]

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Suspend what would replace them, then stop them in one call a region."""
        ids, groups, *_ = self.before("*")
        reached = self.cloud(world)
        for group in groups:
            reached.suspend(group)
        reached.stop(ids)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Look at the processes and dial the ports that took connections before."""
        _, _, ports, processes = self.before("*")
        ended = gone(processes)
        refused = None if ended is None else silent(ports, world)
        return None if ended is None or refused is None else Witness((*ended, *refused))

    def _chosen(self, targets: Sequence[Target], world: World) -> list[Machine]:
        wanted = {target.name for target in targets}
        return [one for one in self._machines(world) if one.node in wanted]

    def _machines(self, world: World) -> list[Machine]:
        if self.zone is not None:
            found = self.cloud(world).instances(self.zone_of(self.zone, world))
            if not found:
                raise nothing(f"zone {self.zone!r}", "it has no instance")
            return found
        every = self.cloud(world).instances()
        found = [one for one in every if one.node == self.node]
        if not found:
            hint = registry.did_you_mean(str(self.node), [one.node for one in every])
            raise nothing(f"node {self.node!r}", hint)
        return found
