"""zone.loss: an availability zone goes, with everything that the world has in it."""

from __future__ import annotations

from pydantic import Field

from chaoslib_ext.faults.base import fault
from chaoslib_ext.faults.loss import Loss
from chaoslib_ext.world import World
from drills import registry
from drills.errors import Refused


@fault(
    "zone.loss",
    summary="Lose a zone: links are cut, nodes lose power, load-balancer targets leave, in the same instant.",
    proof="ports and links of the zone refuse connections, its processes are gone, its targets are out of their "
    "groups, and other zones still answer",
    undo="power the nodes on again, then open the links that were open and register the targets that were registered",
    plane="composite",
    sample="az-dark: {zone.loss: {zone: tyo-a, mode: unplanned}}",
)
class ZoneLoss(Loss):
    """Lose one zone."""

    zone: str = Field(description="A zone by its full name, such as tyo-a.")

    @property
    def place(self) -> str:
        """Such as: zone tyo-a."""
        return f"zone {self.zone}"

    def zones(self, world: World) -> list[str]:
        """The zone itself, where anything runs in it."""
        known = {one.zone for one in world.instances if one.zone}
        if self.zone not in known:
            hint = registry.did_you_mean(self.zone, known)
            said = f"zone {self.zone!r} matches nothing; {hint}; nothing was touched"
            raise Refused("target-matches-nothing", said)
        return [self.zone]
