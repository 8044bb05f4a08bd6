"""network.partition: packets between zones or regions are lost, without a word to either side."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pydantic import Field, model_validator

from chaoslib_ext import netns
from chaoslib_ext.faults import packets
from chaoslib_ext.faults.base import Fault, Recipe, Witness, fault
from chaoslib_ext.faults.partition_lines import Cut, doors, lines
from chaoslib_ext.faults.places import members
from chaoslib_ext.planes import SNAPSHOTS
from chaoslib_ext.world import World
from drills.errors import ComponentError, FaultError, Refused
from drills.plan import Target


@fault(
    "network.partition",
    summary="Lose every packet between zones or regions, both ways or one way, or around one of them.",
    proof="datagrams of our own between the places are lost, connections get no answer, other zones hear each other",
    undo="take the rules or routes of this fault out of each zone's namespace; connections that still wait go on",
    plane="network",
    sample="apart: {network.partition: {between: [tyo-a, tyo-b]}}",
    needs={"netns"},
)
class NetworkPartition(Fault):
    """Partition zones or regions from each other, at packet level."""

    between: tuple[str, ...] | None = Field(
        default=None, min_length=2, description="Zones or regions, each apart from each other one, both ways."
    )
    from_: str | None = Field(default=None, alias="from", description="One way: the zone or region that is not heard.")
    to: str | None = Field(default=None, description="One way: the zone or region that does not hear it.")
    zone: str | None = Field(default=None, description="One zone apart from every other zone and from all clients.")
    region: str | None = Field(default=None, description="One region apart from every other and from all clients.")

    @model_validator(mode="after")
    def _one_shape(self) -> NetworkPartition:
        shapes = [self.between, self.from_ or self.to, self.zone, self.region]
        if sum(shape is not None for shape in shapes) != 1 or (self.from_ is None) != (self.to is None):
            raise ValueError("give between, or from and to, or zone, or region")
        return self

    def targets(self, world: World) -> list[Target]:
        """What is apart: links between places, or the one place. Raises Refused."""
        cut = self._cut(world)
        self.remember("the partition", cut)
        if self.zone:
            return [Target(kind="zone", name=self.zone)]
        if self.region:
            return [Target(kind="region", name=self.region)]
        if self.between is None:
            return [Target(kind="link", name=f"{self.from_}>{self.to}")]
        pairs = [(one, two) for n, one in enumerate(self.between) for two in self.between[n + 1 :]]
        return [Target(kind="link", name=f"{one}|{two}") for one, two in pairs]

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: lose every packet between tyo-a and tyo-b, by blackhole rules."""
        how = f"by {netns.RUNGS[self._known_cut().rung]}"
        if self.zone or self.region:
            return f"lose every packet between {self.zone or self.region} and everything outside it, {how}"
        if self.between is None:
            return f"lose every packet from {self.from_} to {self.to}, {how}"
        *most, last = self.between
        return f"lose every packet between {', '.join(most)} and {last}, {how}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Make packets pass again in each zone. Raises FaultError where none passes between the places now."""
        zones, cut = netns.zones(world.describe), self._known_cut()
        try:
            before = packets.passing(cut.ways, zones, cut.hosts)
        except netns.ZoneGone as error:
            raise FaultError(f"{self.name}: {error}; nothing was touched") from error
        if not any(one.out and one.into for one in before.values()):
            raise FaultError(f"{self.name}: {_names(targets)}: no packet passes now; nothing was touched")
        mark = netns.number(world.tag)
        self.remember("the zones", {name: lines(cut, zones[name], world, mark) for name in cut.touched})
        held = {
            name: {"zone": name, "pid": zones[name].pid, "start_time": zones[name].start_time} for name in cut.touched
        }
        return [Recipe(verb="netns.heal", args={**held[name], "rung": cut.rung, "mark": mark}) for name in cut.touched]

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Lose the packets, zone by zone; what was there before of the same fault is no error."""
        zones = netns.zones(world.describe)
        planned: dict[str, list[str]] = self.before("the zones")
        try:
            for name, todo in planned.items():
                if not netns.left(zones[name].path, self._known_cut().rung, netns.number(world.tag)):
                    netns.ip(zones[name].path, todo)
        except netns.ZoneGone as error:
            raise ComponentError("netns", str(error)) from error

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Datagrams on every way that is cut are lost, and on another they arrive; a connection gets no answer."""
        zones, cut = netns.zones(world.describe), self._known_cut()
        others = cut.heard(sorted(zones))
        try:
            effect_ns = time.monotonic_ns()
            seen = packets.passing([*cut.ways, *others], zones, cut.hosts)
            if not all(cut.is_lost(seen[way]) for way in cut.ways):
                return None
            if not all(seen[way].out and seen[way].into for way in others):
                return None
            told = [f"datagrams from {here} to {there} are lost" for here, there in cut.ways]
            told += [f"datagrams from {here} to {there} arrive" for here, there in others]
            connections = _connections(cut, zones, world)
        except netns.ZoneGone:
            return None
        return None if connections is None else Witness((*told, *connections), effect_ns)

    def _known_cut(self) -> Cut:
        found = self.before("the partition")
        assert isinstance(found, Cut)
        return found

    def _cut(self, world: World) -> Cut:
        """Which ways are cut. Raises Refused."""
        zones = sorted(netns.zones(world.describe))
        rung = str((world.describe.get("netns") or {}).get("rung"))
        hosts = {one.zone: one.host for one in world.instances if one.zone}
        if place := self.zone or self.region:
            inside = members(world, place, "zone" if self.zone else "region")
            outside = [name for name in zones if name not in inside]
            ways = [*packets.ways_between(inside, outside), *packets.ways_between(outside, inside)]
            return _possible(Cut(rung, tuple(ways), hosts, tuple(inside)), self.name)
        if self.between is None:
            ways = list(packets.ways_between(members(world, str(self.from_)), members(world, str(self.to))))
        else:
            places = [members(world, place) for place in self.between]
            ways = [way for one in places for two in places if one != two for way in packets.ways_between(one, two)]
        if not ways:
            raise Refused("target-matches-nothing", f"{self.name}: a place has no way to itself; nothing was touched")
        return _possible(Cut(rung, tuple(dict.fromkeys(ways)), hosts, one_way=self.between is None), self.name)


def _possible(cut: Cut, name: str) -> Cut:
    """The cut, where the rung of the sandbox can do it. Raises Refused `not-possible-here`."""
    why = cut.impossible()
    if why:
        said = f"{name}: packets are lost here by {netns.RUNGS[cut.rung]}, which {why}; nothing was touched"
        raise Refused("not-possible-here", said)
    return cut


def _connections(cut: Cut, zones: dict[str, netns.Zone], world: World) -> list[str] | None:
    """That new connections on links that are cut, and to doors of a place that is apart, get no answer."""
    told = []
    listens = {link.listen.rpartition(":")[0]: link.listen for link in world.links}
    for here in dict.fromkeys(here for here, _ in cut.ways if here in cut.touched):
        dialled = [zones[here].pairs[there] for one, there in cut.ways if one == here]
        wanted = [listens[address] for address in dialled if address in listens]
        if wanted and not all(packets.silent(zones[here], wanted).values()):
            return None
        told += [f"a connection from {here} to {address} gets no answer" for address in wanted[:1]]
    outer = [f"{host}:{ports[0]}" for zone in cut.isolated for host, ports in doors(world, zone)]
    if outer and not all(packets.silent_from_here(outer).values()):
        return None
    return [*told, *(f"a client's connection to {address} gets no answer" for address in outer)]


def _names(targets: Sequence[Target]) -> str:
    return ", ".join(target.name for target in targets)


def _snapshot(world: World) -> dict[str, str]:
    """What each zone loses."""
    found = {}
    for name, zone in netns.zones(world.describe).items():
        try:
            found[f"zone {name}"] = "; ".join(netns.everything_lost(zone.path)) or "loses nothing"
        except netns.ZoneGone as error:
            found[f"zone {name}"] = str(error)
    return found


SNAPSHOTS["netns"] = _snapshot
