"""region.loss: a whole region goes, with everything that the world has in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from chaoslib_ext.faults import drain
from chaoslib_ext.faults.base import Recipe, fault
from chaoslib_ext.faults.loss import Loss
from chaoslib_ext.world import World
from drills import registry
from drills.errors import Refused
from drills.units import Duration

ENGINE, BUS = "matching-engine", "order-bus"


@fault(
    "region.loss",
    summary="Lose a region: links are cut, nodes lose power, load-balancer targets leave, in the same instant.",
    proof="ports and links of the region refuse connections, its processes are gone, its targets are out of their "
    "groups, another region still answers",
    undo="power the nodes on again, then open the links that were open (those of its engines to the bus only behind a "
    "fence where another region leads by then) and register the targets that were registered",
    plane="composite",
    sample="site-dark: {region.loss: {region: tyo, mode: unplanned}}",
    needs={"sgp"},
)
class RegionLoss(Loss):
    """Lose one region."""

    region: str = Field(description="A region, such as tyo.")
    catch_up: Duration = Field(
        default=30.0, description="planned: how long the mirror elsewhere may take to have every order; else no loss."
    )

    in_order: ClassVar[str] = "stop gateways and engines, wait until the mirror elsewhere has every order, stop the bus"

    def drain(self, world: World, zones: Sequence[str]) -> list[str]:
        """Also wait for the mirror: a planned switch loses nothing. Raises FaultError where it stays behind."""
        return drain.drain(world, zones, self.catch_up)

    @property
    def place(self) -> str:
        """Such as: region tyo."""
        return f"region {self.region}"

    def guarded(self, recipes: list[Recipe], zones: Sequence[str], world: World) -> list[Recipe]:
        """Engines reach the bus again behind a fence, where they were replaced: healing would make two primaries."""
        engines = [one for one in world.instances if one.service == ENGINE and one.http]
        mine = {one.name: str(one.http).rstrip("/") for one in engines if one.zone in zones}
        others = {one.name: str(one.http).rstrip("/") for one in engines if one.zone not in zones}
        buses = {one.name for one in world.instances if one.service == BUS}
        own = {one.name for one in world.links if one.source in mine and one.target in buses}
        first = [str(one["args"]["proxy"]) for one in recipes if one["args"].get("proxy") in own]
        rest = [one for one in recipes if one["args"].get("proxy") not in own]
        args = {"api": world.toxiproxy.url, "proxies": first, "engines": mine, "others": others}
        return [*rest, {"verb": "exchange.reopen_fenced", "args": args}]

    def zones(self, world: World) -> list[str]:
        """All its zones. Raises Refused also where no other region is left to take over."""
        known = {one.region for one in world.instances if one.region}
        if self.region not in known:
            hint = registry.did_you_mean(self.region, known)
            said = f"region {self.region!r} matches nothing; {hint}; nothing was touched"
            raise Refused("target-matches-nothing", said)
        return sorted({one.zone for one in world.instances if one.zone and one.region == self.region})
