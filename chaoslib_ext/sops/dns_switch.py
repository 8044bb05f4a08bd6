"""dns.switch: clients that ask for a name are led to another region."""

from __future__ import annotations

import time

from pydantic import Field

from chaoslib_ext import cloud
from chaoslib_ext.resolver import Records
from chaoslib_ext.sops import places
from chaoslib_ext.sops.base import Action, action
from chaoslib_ext.world import World
from drills.errors import FaultError

WITHIN_S = 5.0
LOOK_S = 0.05
FULL = 100
"""Weight of the one set that answers, where a record has one for each region."""


@action("dns.switch", summary="Lead a name to the gateways of another region.", needs={"sgp"})
class DnsSwitch(Action):
    """Switch a record."""

    record: str = Field(default="api.exchange.test", description="Name that clients ask for.")
    to: str = Field(description="Region whose gateways it leads to.")

    def do(self, world: World) -> str:
        """Change it, and ask the resolver as a client does. Raises FaultError, ComponentError."""
        hosts = [one.host for one in places.of(world, places.GATEWAY, self.to)]
        records = Records.of(world.describe)
        before = records.get(self.record)
        if before is None:
            raise FaultError(f"there is no record {self.record}; there are {', '.join(sorted(records.all()))}")
        if not self._in_the_cloud(world):
            records.put(self.record, hosts, ttl=before["ttl"])
        deadline = time.monotonic() + WITHIN_S
        while not records.leads_to(self.record, hosts):
            if time.monotonic() > deadline:
                raise FaultError(f"{self.record} does not lead to {', '.join(hosts)} after {WITHIN_S:g} s")
            time.sleep(LOOK_S)
        return f"{self.record} leads to {', '.join(hosts)}; who knew it before may use it for another {before['ttl']} s"

    def _in_the_cloud(self, world: World) -> bool:
        """Move the weight, where the record is a cloud's: what its resolver was told behind it would not last."""
        reached = cloud.target_of(world.describe)
        if reached is None:
            return False
        account = cloud.enter(*reached)
        saved = account.record(self.record)
        if self.to not in saved["sets"]:
            return False
        account.switch(saved, {name: FULL if name == self.to else 0 for name in saved["sets"]})
        return True
