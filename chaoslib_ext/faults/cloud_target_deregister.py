"""cloud.target-deregister: a zone's targets leave a load balancer's group."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from chaoslib_ext import dnsask
from chaoslib_ext.cloud import RoutedTarget
from chaoslib_ext.faults.base import Recipe, Witness, fault
from chaoslib_ext.faults.cloud import CloudFault, answered, names_target, nothing, resolver
from chaoslib_ext.world import World
from drills import registry
from drills.errors import FaultError
from drills.plan import Target


@fault(
    "cloud.target-deregister",
    summary="Take the targets of a zone out of a load balancer's group: new clients are sent elsewhere.",
    proof="the name of the service no longer answers with the addresses of that zone",
    undo="register the same targets again",
    plane="cloud",
    sample="out-of-balance: {cloud.target-deregister: {group: gateway-ws, zone: tyo-a}}",
    needs={"aws"},
)
class TargetDeregister(CloudFault):
    """Deregister targets."""

    group: str = Field(description="Target group by name.")
    zone: str = Field(description="Zone whose targets leave it.")

    def targets(self, world: World) -> list[Target]:
        """Its targets in that zone. Raises Refused `target-matches-nothing`."""
        found = self._found(world)
        if not found:
            groups = next(iter((world.describe.get("aws") or {}).get("target_groups", {})), None)
            hint = registry.did_you_mean(self.group, [groups] if groups else [])
            raise nothing(f"a target of {self.group!r} in zone {self.zone!r}", hint)
        return [names_target("cloud", f"{self.group}/{one.id}:{one.port}", self.zone, world) for one in found]

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: take 1 target of tyo-a out of gateway-ws."""
        count = f"{len(targets)} target{'s' if len(targets) != 1 else ''}"
        return f"take {count} of {self.zone} out of {self.group}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Register the same again. Raises FaultError where they are the last, or nobody could see the effect."""
        found = self._found(world)
        address, record = resolver(self, world), _record(world)
        hosts = {one.host for one in world.instances if one.zone == self.zone}
        before = dnsask.answers(address, record)
        if not before & hosts or before <= hosts:
            seen = ", ".join(sorted(before)) or "nothing"
            said = f"{record} answers {seen}, which would not change without {self.zone}"
            raise FaultError(f"{self.name}: {said}; nothing was touched")
        rows = [{"id": one.id, "port": one.port} for one in found]
        self.remember(self.group, (rows, before - hosts))
        seen_by = {"dns": address, "record": record, "answers": sorted(before)}
        args = {"zone": self.zone, "group": self.group, "targets": rows, **seen_by}
        return [self.recipe("cloud.register", world, **args)]

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Out of the group."""
        self.cloud(world).deregister(self.group, self.before(self.group)[0])

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Ask the resolver."""
        return answered(resolver(self, world), _record(world), self.before(self.group)[1])

    def _found(self, world: World) -> list[RoutedTarget]:
        return self.cloud(world).targets(self.group, self.zone_of(self.zone, world))


def _record(world: World) -> str:
    return str((world.describe.get("aws") or {}).get("record"))
