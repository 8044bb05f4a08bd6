"""Places by name: zones and regions, told apart by what the world has."""

from __future__ import annotations

from typing import Literal

from chaoslib_ext.world import World
from drills import registry
from drills.errors import Refused


def members(world: World, place: str, kind: Literal["zone", "region"] | None = None) -> list[str]:
    """The zones of a zone or region by its name. Raises Refused `target-matches-nothing`."""
    zones = {one.zone: one.region for one in world.instances if one.zone}
    found = [
        zone
        for zone in sorted(zones)
        if (kind != "region" and zone == place) or (kind != "zone" and zones[zone] == place)
    ]
    if not found:
        known = {*(zones if kind != "region" else ()), *(filter(None, zones.values()) if kind != "zone" else ())}
        hint = registry.did_you_mean(place, sorted(known))
        raise Refused(
            "target-matches-nothing", f"{kind or 'place'} {place!r} matches nothing; {hint}; nothing was touched"
        )
    return found
