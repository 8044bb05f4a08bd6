"""bus.rebuild: the stream of a replaced region becomes a mirror again, and what only it holds is kept aside."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from chaoslib_ext.sops import bus, places
from chaoslib_ext.sops.base import Action, action
from chaoslib_ext.world import Instance, World
from drills.errors import FaultError

WITHIN_S = 20.0
ENGINES_S = 120.0
"""A process starts and reads the whole log."""

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
            follows = self._follows(old_nodes, name, new_nodes, source)
            return f"{name} is a mirror already; {follows}; {self._engines_follow(world, old_nodes, name)}"
        # a mirror that does not find its origin at once looks again only after a long time
        bus.ask(old_nodes, f"STREAM.INFO.{source}", domain=self.of)
        aside = self._keep_aside(old_nodes, name, new_nodes, source)
        bus.ask(old_nodes, f"STREAM.DELETE.{name}")
        kept = {key: value for key, value in config.items() if key not in ("subjects", "mirror", "sources")}
        origin = {"name": source, "external": {"api": f"$JS.{self.of}.API", "deliver": ""}}
        bus.ask(old_nodes, f"STREAM.CREATE.{name}", kept | {"mirror": origin})
        follows = self._follows(old_nodes, name, new_nodes, source)
        return f"{aside}; {follows}; {self._engines_follow(world, old_nodes, name)}"

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

    def _engines_follow(self, world: World, nodes: list[Instance], name: str) -> str:
        """Start the engines anew, still behind their fence: what they hold in memory may have been thrown away."""
        known = {one.name: one for one in world.agent.instances()}
        engines = [one for one in places.of(world, places.ENGINE, self.region) if known[one.name].pid is not None]
        for one in engines:
            world.agent.act(one.name, "kill")
        wanted, deadline = int(bus.info(nodes, name)["state"]["last_seq"]), time.monotonic() + ENGINES_S
        while late := [one.name for one in engines if not _has(world.status(one.name), wanted)]:
            if time.monotonic() > deadline:
                raise FaultError(f"{', '.join(late)} has not read {wanted} entries of {name} after {ENGINES_S:g} s")
            time.sleep(LOOK_S)
        return f"{', '.join(one.name for one in engines) or 'no engine'} started anew and in step"


def _has(status: Mapping[str, Any] | None, entries: int) -> bool:
    """Whether an engine is a standby that has read so many entries of its log, behind a fence that has lasted."""
    found = status or {}
    return bool(found.get("role") == "standby" and found.get("fenced") and int(found.get("stream_seq") or 0) >= entries)


def _order_stream(nodes: list[Instance]) -> dict[str, Any] | None:
    """The stream of orders, or its mirror: the one that is neither kept aside."""
    found = [one for name, one in bus.streams(nodes).items() if f"_{ASIDE}_" not in name]
    return next((one for one in found if one["config"].get("subjects") or one["config"].get("mirror")), None)


def _writable(nodes: list[Instance]) -> str | None:
    found = _order_stream(nodes)
    return str(found["config"]["name"]) if found and found["config"].get("subjects") else None
