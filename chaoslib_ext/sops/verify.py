"""verify: orders that are placed in a region are acknowledged."""

from __future__ import annotations

import time

from pydantic import Field

from chaoslib_ext.sops import places
from chaoslib_ext.sops.base import Action, action
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.units import Duration

ORDERS = 5
LOOK_S = 0.2


@action("verify", summary="Place orders through the gateways of a region and see them acknowledged.")
class Verify(Action):
    """Verify a region."""

    region: str = Field(description="Region in which orders are placed.")
    within: Duration = Field(default=20.0, description="How long to try until they are acknowledged.")

    def do(self, world: World) -> str:
        """Place a few until all of one round are acknowledged. Raises FaultError where none was in time."""
        from loadgen import venues  # imported late: it brings numpy

        gateways = places.of(world, places.GATEWAY, self.region)
        described = world.describe["venue"]
        rest = [f"{(one.http or '').rstrip('/')}" for one in gateways]
        venue = {key: value for key, value in described.items() if key not in ("resolver", "ca_file")} | {"rest": rest}
        began = time.monotonic()
        while True:
            result = venues.get(str(described["type"])).place_canaries(venue, ORDERS)
            if result.ok == ORDERS:
                took = time.monotonic() - began
                names = ", ".join(one.name for one in gateways)
                return f"{ORDERS} orders through {names} acknowledged after {took:.1f} s"
            if time.monotonic() - began > self.within:
                why = "; ".join(result.errors) or "no answer"
                done = f"{result.ok} of {ORDERS} orders acknowledged after {self.within:g} s"
                raise FaultError(f"{self.region}: {done}: {why}")
            time.sleep(LOOK_S)
