"""What a partition tells `ip` in the namespace of each zone, for every way in which packets can be lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaoslib_ext.faults.packets import Passed, Way
from chaoslib_ext.netns import DEVICE, LOST_TABLE, Zone
from chaoslib_ext.world import World


@dataclass(frozen=True, slots=True)
class Cut:
    """The ways that are cut, an address in each zone, and the zones that are apart from clients too."""

    rung: str
    ways: tuple[Way, ...]
    hosts: Mapping[str, str]
    isolated: tuple[str, ...] = ()
    one_way: bool = False

    @property
    def touched(self) -> list[str]:
        """The zones in whose namespaces something is changed."""
        if self.rung == "link":
            return list(self.isolated)
        return sorted({zone for way in self.ways for zone in way} | set(self.isolated))

    def impossible(self) -> str:
        """What the rung cannot do of it; nothing where it can."""
        if self.rung == "rules":
            return ""
        if self.one_way:
            return "cannot lose one way only"
        if self.rung == "routes":
            return "cannot part a place from its clients; give between" if self.isolated else ""
        if not self.isolated:
            return "can only part one zone from everything; give zone"
        return "takes a region's zones apart too; give zone" if len(self.isolated) > 1 else ""

    def is_lost(self, seen: Passed) -> bool:
        """Whether nothing passes on a way: on no half of it, or where one zone does all of it, not on both."""
        return not (seen.out and seen.into) if self.rung == "link" else not (seen.out or seen.into)

    def heard(self, zones: Sequence[str]) -> list[Way]:
        """A way of each zone that is not cut and must still carry packets: to another zone, else to itself."""
        lost = set(self.ways)
        whole = [zone for zone in zones if not (self.rung == "link" and zone in self.isolated)]
        found = []
        for here in whole:
            there = next((zone for zone in whole if zone != here and (here, zone) not in lost), here)
            found.append((here, there))
        back = [(there, here) for here, there in self.ways if self.one_way and (there, here) not in lost]
        return list(dict.fromkeys([*found, *back]))


def lines(cut: Cut, zone: Zone, world: World, mark: int) -> list[str]:
    """What to tell `ip` in one zone; everything carries the mark."""
    if cut.rung == "link":
        return [f"link set {DEVICE} down"]
    lost_to = [zone.pairs[there] for here, there in cut.ways if here == zone.name]
    lost_from = [zone.pairs[here] for here, there in cut.ways if there == zone.name]
    if cut.rung == "routes":  # both ways: what would be answered into nothing is not taken either
        return [f"route add {address}/32 dev lo metric {mark}" for address in lost_to]
    found = [f"rule add pref {mark} to {address} lookup {LOST_TABLE}" for address in lost_to]
    found += [f"rule add pref {mark} from {address} iif {DEVICE} blackhole" for address in lost_from]
    if zone.name in cut.isolated:
        for host, ports in doors(world, zone.name):
            for port in ports:
                found.append(f"rule add pref {mark} to {host} iif {DEVICE} ipproto tcp dport {port} blackhole")
                found.append(f"rule add pref {mark} from {host} ipproto tcp sport {port} lookup {LOST_TABLE}")
    return found


def doors(world: World, zone: str) -> list[tuple[str, list[int]]]:
    """(host, ports) of each instance in a zone on which clients call, and no link: those belong to other zones."""
    linked = {link.upstream for link in world.links}
    found = []
    for one in world.instances:
        ports = [port for port in one.ports.values() if f"{one.host}:{port}" not in linked]
        if one.zone == zone and ports:
            found.append((one.host, sorted(ports)))
    return found
