"""cloud.zone-isolate: a zone's subnets get a network ACL that denies everything, in and out."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.cloud import CloudFault, addresses, names_target, nothing, silent
from chaoslib_ext.guardian.verbs import accepts
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.plan import Target


@fault(
    "cloud.zone-isolate",
    summary="Cut a zone off: no packet enters or leaves its subnets, and everything in it goes on running.",
    proof="every link over its border refuses connections; without links, its instances do",
    undo="give each subnet the network ACL that it had, and delete ours",
    plane="cloud",
    sample="zone-cut-off: {cloud.zone-isolate: {zone: tyo-a}}",
    needs={"aws"},
)
class ZoneIsolate(CloudFault):
    """Isolate a zone."""

    zone: str = Field(description="Zone that is cut off.")

    def targets(self, world: World) -> list[Target]:
        """The zone. Raises Refused `target-matches-nothing`, also where it has no subnet with the environment's tag."""
        zone = self.zone_of(self.zone, world)
        if not self.cloud(world).border(zone)["subnets"]:
            raise nothing(f"zone {zone!r}", "it has no subnet of the environment")
        return [names_target("zone", zone, zone, world)]

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: cut zone tyo-a off."""
        return f"cut zone {names(targets)} off"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """The former network ACL of each subnet."""
        saved = self.cloud(world).border(self.zone)
        self.rehearse("isolate", saved, world)
        ports = self._border(world)
        if not ports:
            raise FaultError(f"{self.name}: nothing listens across the border of {self.zone}: no effect could be seen")
        self.remember(self.zone, (saved, ports))
        return [self.recipe("cloud.restore_border", world, **saved, tag=world.tag, ports=ports)]

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Make the network ACL and put it in the place of the former one."""
        saved, _ = self.before(self.zone)
        self.cloud(world).isolate(saved, world.tag)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Dial what took connections over the border before."""
        texts = silent(self.before(self.zone)[1], world)
        return None if texts is None else Witness(tuple(texts))

    def _border(self, world: World) -> list[str]:
        """Where somebody outside reaches in, or inside out: links, or else the zone's own addresses."""
        zones = {one.name: one.zone for one in world.instances}
        crossing = [
            one.listen
            for one in world.links
            if (zones.get(one.source) == self.zone) != (zones.get(one.target) == self.zone)
        ]
        if crossing:
            return [address for address in sorted(crossing) if accepts(address)]
        return addresses([one for one in world.instances if one.zone == self.zone])
