"""What the losses of a place share: everything the world has there goes in one instant, and comes back part by part.

A loss is made of parts (links, nodes, …), each with its own undo, its act and its proof. Links are cut first and nodes
lose their power right after: what a process had handed to the kernel would still be delivered after its death.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from chaoslib_ext.faults import drain
from chaoslib_ext.faults.base import Fault, Recipe, Witness
from chaoslib_ext.faults.loss_parts import PARTS, Part, routed
from chaoslib_ext.guardian.verbs import accepts
from chaoslib_ext.world import Instance, World
from drills.errors import FaultError
from drills.plan import Target


class Loss(Fault):
    """Base of the loss of a place: its `zones` go together."""

    mode: Literal["unplanned", "planned"] = Field(
        default="unplanned", description="planned: leaders move away and instances stop in order first."
    )
    in_order: ClassVar[str] = "move leaders away and stop instances in order"
    """What the planned mode does first, in words."""

    cut: bool = Field(default=True, description="Cut the links before the power goes; false rehearses the kill alone.")

    def zones(self, world: World) -> list[str]:
        """The zones that are lost. Raises Refused `target-matches-nothing`."""
        raise NotImplementedError

    @property
    def place(self) -> str:
        """What is lost, in words: zone tyo-a."""
        raise NotImplementedError

    def guarded(self, recipes: list[Recipe], zones: Sequence[str], world: World) -> list[Recipe]:
        """The undo of the links, with whatever must stand before they are opened."""
        return recipes

    def targets(self, world: World) -> list[Target]:
        """A target for each zone, and each target of a load balancer there. Raises Refused `target-matches-nothing`."""
        zones = self.zones(world)
        regions = {one.zone: one.region for one in world.instances}
        lost = [Target(kind="zone", name=zone, zone=zone, region=regions.get(zone)) for zone in zones]
        return lost + [
            Target(kind="cloud", name=f"{group}/{one.id}:{one.port}", zone=zone, region=regions.get(zone))
            for zone, group, found in routed(world, zones)
            for one in found
        ]

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: cut every link of zone tyo-a, and power off its nodes in the same instant."""
        balanced = sum(target.kind == "cloud" for target in targets)
        out = f"; {balanced} target{'s' if balanced > 1 else ''} of load balancers there" if balanced else ""
        cut = f"cut every link of {self.place}, and power off its nodes in the same instant"
        kill = f"power off the nodes of {self.place}; its links stay: what the kernel was handed is still delivered"
        lost = cut if self.cut else kill
        if self.mode == "unplanned":
            return lost + (f"{out} leave their groups" if out else "")
        first = f"take {out[2:]} out of their groups, " if out else ""
        return f"{first}{self.in_order}, then {lost}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """The undo of each part, as it is now; played backwards. Raises FaultError where all is dark already."""
        zones = _zones(targets)
        parts: list[Part] = [kind(world, zones) for kind in PARTS if self.cut or not kind.is_cut]
        parts = [part for part in parts if part.things or not part.is_routed]
        if not any(part.is_power and part.things for part in parts):
            raise FaultError(f"{self.name}: no node of {self.place} is on; nothing was touched")
        stopped = drain.recipes(world, zones) if self.mode == "planned" else []
        # played backwards: power first, then what was stopped in order, links, and targets once all of it serves again
        others = [one for one in world.instances if one.zone and one.zone not in zones and _answers(one)]
        recipes = [recipe for part in parts if part.is_routed for recipe in part.recipes()]
        recipes += [recipe for part in parts if not part.is_power and not part.is_routed for recipe in part.recipes()]
        recipes = self.guarded(recipes, zones, world) + stopped
        recipes += [recipe for part in parts if part.is_power for recipe in part.recipes()]
        self.remember("parts", parts)
        self.remember("others", others)
        return recipes

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Links, nodes, targets, back to back; in the planned mode targets first, and the rest once all has stopped."""
        parts: list[Part] = self.before("parts")
        first = [part for part in parts if part.is_routed and self.mode == "planned"]
        for part in first:
            part.lose()
        if self.mode == "planned":
            self.remember("moved", self.drain(world, _zones(targets)))
        for part in parts:
            if part not in first:
                part.lose()

    def drain(self, world: World, zones: Sequence[str]) -> list[str]:
        """Leave the zones in order; one sentence each. Raises FaultError where that is not possible."""
        return drain.drain(world, zones)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Nothing of the place answers, and what answered elsewhere still does."""
        texts = [f"rehearsed: {'links cut, then power lost' if self.cut else 'power lost, links kept'}"]
        moved = self.known("moved")
        texts += moved if isinstance(moved, list) else []
        for part in self.before("parts"):
            seen = part.seen()
            if seen is None:
                return None
            texts += seen
        if others := list(self._others()):
            texts.append(f"elsewhere still answer {', '.join(others)}")
        elif self.before("others"):
            return None
        return Witness(tuple(texts))

    def _others(self) -> Iterator[str]:
        return (one.name for one in self.before("others") if _answers(one))


def _zones(targets: Sequence[Target]) -> list[str]:
    return [target.name for target in targets if target.kind == "zone"]


def _answers(instance: Instance) -> bool:
    return any(accepts(instance.address(port)) for port in instance.ports)
