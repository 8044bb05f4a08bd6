"""What background work of faults looks like in a snapshot: every live helper that works on this world."""

from __future__ import annotations

from chaoslib_ext import planes
from chaoslib_ext.helpers import find
from chaoslib_ext.world import World


def _helpers(world: World) -> dict[str, str]:
    here = str(world.describe.get("agent"))
    return {f"{one.what} of {one.order('tag')}": "works" for one in find.tagged() if one.order("world") == here}


planes.SNAPSHOTS["helpers"] = _helpers
