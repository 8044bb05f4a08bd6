"""The parts of a place that go with it: each knows its undo, its act and its proof."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from chaoslib_ext import processes
from chaoslib_ext.agentclient import Process
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


PARTS: list[type[Part]] = [Links, Nodes]
"""In the order in which they go."""
