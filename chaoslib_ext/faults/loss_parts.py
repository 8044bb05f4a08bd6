"""The parts of a place that go with it: each knows its undo, its act and its proof."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from chaoslib_ext import processes
from chaoslib_ext.agentclient import Process
from chaoslib_ext.cloud import RoutedTarget
from chaoslib_ext.cloud import known as clouds
from chaoslib_ext.faults import cloud
from chaoslib_ext.faults.base import Recipe
from chaoslib_ext.guardian.verbs import accepts
from chaoslib_ext.world import World

BOOT_S = 45.0
"""How long everything of a place may take to start before a person is called."""

AT_ONCE = 16
"""Calls at the same time: a zone has some twenty links."""


class Part(ABC):
    """One kind of thing of some zones, as observed when it was made; `things` are their names."""

    is_cut: ClassVar[bool] = False
    is_power: ClassVar[bool] = False
    is_routed: ClassVar[bool] = False
    things: Sequence[str]

    @abstractmethod
    def __init__(self, world: World, zones: Sequence[str]) -> None:
        """Observe it."""

    @abstractmethod
    def recipes(self) -> list[Recipe]:
        """Its undo, thing by thing."""

    @abstractmethod
    def lose(self) -> None:
        """Lose them all. Raises ComponentError."""

    @abstractmethod
    def seen(self) -> list[str] | None:
        """What shows that they are lost; None where it does not show yet."""


class Links(Part):
    """Links from and to instances of the zones."""

    is_cut = True

    def __init__(self, world: World, zones: Sequence[str]) -> None:
        there = {one.name for one in world.instances if one.zone in zones}
        touching = [one for one in world.links if one.source in there or one.target in there]
        # those over the border go first: a place that is cut inside before would drain itself, and flatter what is lost
        touching.sort(key=lambda one: one.source in there and one.target in there)
        proxies = world.toxiproxy.proxies()
        self._world = world
        self._open = [one for one in touching if one.name in proxies and proxies[one.name].enabled]
        self._proxies = [proxies[one.name] for one in self._open]
        self.things = [one.name for one in self._open]

    def recipes(self) -> list[Recipe]:
        """Open those that are open now."""
        api = self._world.toxiproxy.url
        return [
            {"verb": "toxiproxy.set_enabled", "args": {"api": api, "proxy": name, "enabled": True}}
            for name in self.things
        ]

    def lose(self) -> None:
        """Cut all at once."""
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            list(pool.map(lambda proxy: proxy.disable(), self._proxies))

    def seen(self) -> list[str] | None:
        """Every one refuses connections."""
        if any(accepts(one.listen) for one in self._open):
            return None
        return [f"{len(self.things)} links refuse connections: {', '.join(self.things)}"]


class Routed(Part):
    """Targets in the zones, of the groups behind the load balancers that the environment names.

    They leave last, as a load balancer whose health checks fail takes them out; in the planned mode first, before what
    serves behind them stops.
    """

    is_routed = True

    def __init__(self, world: World, zones: Sequence[str]) -> None:
        self._world = world
        self._groups = routed(world, zones)
        self.things = [f"{group}/{one.id}:{one.port}" for _, group, found in self._groups for one in found]

    def recipes(self) -> list[Recipe]:
        """Register the same again, group by group."""
        return [
            cloud.recipe("cloud.register", self._world, zone=zone, group=group, targets=_rows(found))
            for zone, group, found in self._groups
        ]

    def lose(self) -> None:
        """Out of every group."""
        reached = cloud.entered(self._world)
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            list(pool.map(lambda one: reached.deregister(one[1], _rows(one[2])), self._groups))

    def seen(self) -> list[str] | None:
        """The load balancer has none of them."""
        reached = cloud.entered(self._world)
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            now = list(pool.map(lambda one: reached.targets(one[1]), self._groups))
        if any(set(found).intersection(left) for (_, _, found), left in zip(self._groups, now, strict=True)):
            return None
        return [f"out of their groups: {', '.join(self.things)}"]


def routed(world: World, zones: Sequence[str]) -> list[tuple[str, str, list[RoutedTarget]]]:
    """(a zone of it, group, its targets in these zones) of every group that has some; nothing without a cloud.

    Raises Refused in a wrong account, CloudError where the cloud does not say.
    """
    described = next((world.describe[name] for name in clouds() if world.describe.get(name)), None)
    groups = (described or {}).get("target_groups")
    if not groups:
        return []
    reached = cloud.entered(world)
    homes = {one.id: one.zone for one in reached.instances() if one.zone in zones}
    found = [(group, [one for one in reached.targets(group) if one.id in homes]) for group in groups]
    return [(homes[some[0].id], group, some) for group, some in found if some]


def _rows(found: Sequence[RoutedTarget]) -> list[dict[str, Any]]:
    return [{"id": one.id, "port": one.port} for one in found]


class Nodes(Part):
    """Nodes in the zones, with the instances that run on them."""

    is_power = True

    def __init__(self, world: World, zones: Sequence[str]) -> None:
        self._world = world
        self._nodes = [one for one in world.agent.nodes() if one.zone in zones and one.power == "on"]
        on_them = {name for node in self._nodes for name in node.instances}
        running = [one for one in world.agent.instances() if one.pid is not None and one.name in on_them]
        self._running: list[Process] = running
        self.things = [one.name for one in self._nodes]

    def recipes(self) -> list[Recipe]:
        """Power on; what ran on it must run again."""
        running = {one.name for one in self._running}
        return [
            {
                "verb": "agent.node_on",
                "args": self._world.of_agent(
                    node=node.name, running=sorted(running.intersection(node.instances)), within_s=BOOT_S
                ),
            }
            for node in self._nodes
        ]

    def lose(self) -> None:
        """Power off all at once."""
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            list(pool.map(lambda node: self._world.agent.power(node.name, on=False), self._nodes))

    def seen(self) -> list[str] | None:
        """No process of before lives, and nothing listens on any port of them."""
        if any(processes.alive(one.pid or 0, one.start_time) for one in self._running):
            return None
        instances = [self._world.instance(one.name) for one in self._running]
        addresses = [one.address(port) for one in instances for port in one.ports]
        if any(accepts(address) for address in addresses):
            return None
        dead = ", ".join(f"{one.name} (pid {one.pid})" for one in self._running)
        return [f"gone: {dead}", f"{len(addresses)} ports of {', '.join(self.things)} refuse connections"]


PARTS: list[type[Part]] = [Links, Nodes, Routed]
"""In the order in which they go."""
