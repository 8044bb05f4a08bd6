"""Addresses and devices of the zones of one sandbox.

One /20 a sandbox, out of 198.18.0.0/15, which is set aside for tests of networks (RFC 2544) and routed nowhere; one /24
of it a zone:

    .1     the host's end of the veth: clients, probes, and Toxiproxy where it dials into the zone
    .64+i  the host's end too: what this zone dials to reach zone i
    .128+  its pods
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from sandbox.errors import BadUse

RANGE = IPv4Network("198.18.0.0/15")
SLOTS = tuple(RANGE.subnets(new_prefix=20))
PREFIX = 24
_ZONES = 1 << (PREFIX - 20)
_GATE, _PAIRS, _PODS, _END = 1, 64, 128, 255


WAYS = {"rules": "blackhole rules", "routes": "routes into nothing", "link": "link down"}
"""How packets can be lost, best first, in words."""


@dataclass(frozen=True)
class Layout:
    """The zones of a sandbox in the /20 number `slot`; `rung` says how packets are lost (see probe.py)."""

    slot: int
    rung: str
    zones: tuple[str, ...]

    @property
    def network(self) -> IPv4Network:
        """All of this sandbox."""
        return SLOTS[self.slot]

    def subnet(self, zone: str) -> IPv4Network:
        """The /24 of one zone."""
        return list(self.network.subnets(new_prefix=PREFIX))[self.zones.index(zone)]

    def device(self, zone: str) -> str:
        """The host's end of its veth: the name says which /20 is taken, and no two devices have one name."""
        return f"muster{self.slot}z{self.zones.index(zone)}"

    def gate(self, zone: str) -> str:
        """The host as the zone sees it."""
        return self._address(zone, _GATE)

    def pair(self, zone: str, other: str) -> str:
        """What `zone` dials to reach `other`, which may be itself."""
        return self._address(zone, _PAIRS + self.zones.index(other))

    def pod(self, zone: str, number: int) -> str:
        """The address of its pod `number`, from 0. Raises BadUse where there are too many."""
        if number >= _END - _PODS:
            raise BadUse(f"--netns: zone {zone} has more than {_END - _PODS} pods")
        return self._address(zone, _PODS + number)

    def described(self) -> dict[str, Any]:
        """The profile as `describe` prints it, but for who holds the namespaces."""
        return {
            "rung": self.rung,
            "slot": self.slot,
            "network": str(self.network),
            "zones": {
                zone: {
                    "subnet": str(self.subnet(zone)),
                    "device": self.device(zone),
                    "gate": self.gate(zone),
                    "pairs": {other: self.pair(zone, other) for other in self.zones},
                }
                for zone in self.zones
            },
        }

    def _address(self, zone: str, number: int) -> str:
        return str(self.subnet(zone)[number])


def layout(zones: Sequence[str], slot: int, rung: str) -> Layout:
    """The zones in order of their names. Raises BadUse where they are more than a /20 holds."""
    if len(zones) > _ZONES:
        raise BadUse(f"--netns: {len(zones)} zones, and room for {_ZONES}")
    return Layout(slot, rung, tuple(sorted(zones)))


def of_described(described: Mapping[str, Any]) -> Layout | None:
    """The layout in what `describe` prints; None where the sandbox has no such profile."""
    told = described.get("netns")
    return None if not told else layout(list(told["zones"]), int(told["slot"]), str(told["rung"]))
