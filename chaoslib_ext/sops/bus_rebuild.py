"""bus.rebuild: the stream of a replaced region becomes a mirror again, and what only it holds is kept aside."""

from __future__ import annotations

import time
from typing import Any

from pydantic import Field

from chaoslib_ext.sops import bus, places
from chaoslib_ext.sops.base import Action, action
from chaoslib_ext.world import Instance, World
from drills.errors import FaultError

WITHIN_S = 20.0
LOOK_S = 0.1
ASIDE = "ASIDE"


@action(
    "bus.rebuild",
    summary="Make a replaced region follow the one that leads; keep its own last entries aside.",
    needs={"sgp"},
)
class BusRebuild(Action):
    """Rebuild the mirror of a region."""

    region: str = Field(description="Region whose stream becomes a mirror again; its engines must be fenced.")
    of: str = Field(description="Region that leads.")

    def do(self, world: World) -> str:
        """Only behind a fence. Raises FaultError where the region might still acknowledge, or the other leads not."""
        if loose := places.unfenced(world, self.region):
            said = f"{', '.join(loose)} of {self.region} may still acknowledge orders"
            raise FaultError(f"{said}; fence them first (engine.fence); nothing was touched")
        old_nodes, new_nodes = places.of(world, places.BUS, self.region), places.of(world, places.BUS, self.of)
        source = _writable(new_nodes)
        if source is None:
            raise FaultError(f"no stream of {self.of} takes orders; nothing was touched")
        old = _order_stream(old_nodes)
        if old is None:
            raise FaultError(f"{self.region} has no stream of orders; nothing was touched")
        name, config = str(old["config"]["name"]), old["config"]
        if config.get("mirror"):
            return f"{name} is a mirror already; {self._follows(old_nodes, name, new_nodes, source)}"
        # a mirror that does not find its origin at once looks again only after a long time
        bus.ask(old_nodes, f"STREAM.INFO.{source}", domain=self.of)
        aside = self._keep_aside(old_nodes, name, new_nodes, source)
        bus.ask(old_nodes, f"STREAM.DELETE.{name}")
        kept = {key: value for key, value in config.items() if key not in ("subjects", "mirror", "sources")}
        origin = {"name": source, "external": {"api": f"$JS.{self.of}.API", "deliver": ""}}
        bus.ask(old_nodes, f"STREAM.CREATE.{name}", kept | {"mirror": origin})
        return f"{aside}; {self._follows(old_nodes, name, new_nodes, source)}"

    def _keep_aside(self, nodes: list[Instance], name: str, others: list[Instance], source: str) -> str:
        """Copy what the leading stream does not have into a stream of its own; it is never merged."""
        last, first = int(bus.info(nodes, name)["state"]["last_seq"]), bus.parting(nodes, name, others, source)
        if first > last:
            return f"{name} holds nothing that {source} does not hold"
        kept = f"{name}_{ASIDE}_{first}_{last}"
        config: dict[str, Any] = {
            "name": kept,
            "storage": "file",
            "retention": "limits",
            "num_replicas": len(nodes),
            "sources": [{"name": name, "opt_start_seq": first}],
        }
        bus.ask(nodes, f"STREAM.CREATE.{kept}", config)
        count, deadline = last - first + 1, time.monotonic() + WITHIN_S
        while (have := int(bus.info(nodes, kept)["state"]["messages"])) < count:
            if time.monotonic() > deadline:
                raise FaultError(f"{kept} has {have} of {count} entries after {WITHIN_S:g} s; {name} is as it was")
            time.sleep(LOOK_S)
        return f"{count} entries of {name} from {first} on are kept aside in {kept}"

    def _follows(self, nodes: list[Instance], name: str, others: list[Instance], source: str) -> str:
        """It has what its origin had when it was asked."""
        return f"{name} follows {source} at {bus.await_mirror(nodes, name, others, source, WITHIN_S)}"


def _order_stream(nodes: list[Instance]) -> dict[str, Any] | None:
    """The stream of orders, or its mirror: the one that is neither kept aside."""
    found = [one for name, one in bus.streams(nodes).items() if f"_{ASIDE}_" not in name]
    return next((one for one in found if one["config"].get("subjects") or one["config"].get("mirror")), None)


def _writable(nodes: list[Instance]) -> str | None:
    found = _order_stream(nodes)
    return str(found["config"]["name"]) if found and found["config"].get("subjects") else None
