"""gateway.disconnect: clients that are connected to a region ask for the name again, and go where it leads now."""

from __future__ import annotations

import time

from pydantic import Field

from chaoslib_ext.resolver import Records
from chaoslib_ext.sops import places
from chaoslib_ext.sops.base import Action, action
from chaoslib_ext.world import World
from drills.errors import FaultError

WITHIN_S = 20.0
LOOK_S = 0.1


@action(
    "gateway.disconnect",
    summary="End every connection to a region's gateways, once nobody is led there any more.",
    needs={"sgp"},
)
class GatewayDisconnect(Action):
    """Disconnect the clients of a region."""

    region: str = Field(description="Region whose gateways are started anew; the name must lead elsewhere by now.")
    record: str = Field(default="api.exchange.test", description="Name that clients ask for.")

    def do(self, world: World) -> str:
        """Wait until the former answer has expired, then start each anew. Raises FaultError, ComponentError.

        Connections outlive a switch of the name: whoever stays connected to a region that does not lead is refused.
        """
        gateways = places.of(world, places.GATEWAY, self.region)
        records = Records.of(world.describe)
        record = records.get(self.record)
        if record is None or set(record["values"]) & {one.host for one in gateways}:
            said = f"{self.record} leads to {self.region}: clients would come straight back"
            raise FaultError(f"{said}; switch it first (dns.switch); nothing was touched")
        time.sleep(float(record["ttl"]))
        before = {one.name: world.agent.instance(one.name).pid for one in gateways}
        for one in gateways:
            world.agent.act(one.name, "kill", signal="TERM")
        deadline = time.monotonic() + WITHIN_S
        while late := [name for name, pid in before.items() if not _anew(world, name, pid)]:
            if time.monotonic() > deadline:
                raise FaultError(f"{', '.join(late)} of {self.region} is not ready again after {WITHIN_S:g} s")
            time.sleep(LOOK_S)
        return f"{', '.join(before)} started anew, {record['ttl']} s after the name led elsewhere"


def _anew(world: World, name: str, pid: int | None) -> bool:
    now = world.agent.instance(name)
    return now.ready and now.pid != pid
