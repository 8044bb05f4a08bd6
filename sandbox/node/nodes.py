"""Nodes: the machines of the sandbox, one a zone, that can be switched off and on with all that runs on them.

Over the agent's HTTP: GET /nodes, POST /nodes/NAME/off, POST /nodes/NAME/on. Off is loss of power: every instance of
the node gets its SIGKILL in the same instant, and none of them starts until the node is on again, whatever is asked of
it meanwhile. What was held down by itself stays down when the node comes back.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sandbox.httpserve import json_answer
from sandbox.node.instance import Instance


@dataclass
class Node:
    """One machine; `instances` are those that run on it."""

    name: str
    zone: str
    region: str | None
    instances: Sequence[Instance]
    powered: bool = True

    async def switch(self, on: bool) -> None:
        """Give or take the power; returns when every process on it shows the effect."""
        self.powered = on
        for instance in self.instances:  # all of them before anything is waited for
            instance.set_power(on)
        await asyncio.gather(*(instance.follow_power() for instance in self.instances))

    def view(self) -> dict[str, Any]:
        """The node as the agent's HTTP answers show it."""
        return {
            "name": self.name,
            "zone": self.zone,
            "region": self.region,
            "power": "on" if self.powered else "off",
            "instances": [instance.spec.name for instance in self.instances],
        }


def nodes_of(instances: Iterable[Instance]) -> dict[str, Node]:
    """A node for each zone that instances are in, by name."""
    zones: dict[str, list[Instance]] = {}
    for instance in instances:
        if instance.spec.zone:
            zones.setdefault(instance.spec.zone, []).append(instance)
    return {zone: Node(zone, zone, there[0].spec.region, there) for zone, there in sorted(zones.items())}


def add_routes(app: web.Application, nodes: dict[str, Node]) -> None:
    """Serve `nodes`."""

    async def show(_: web.Request) -> web.Response:
        return json_answer([node.view() for node in nodes.values()])

    def switch(on: bool) -> Callable[[web.Request], Any]:
        async def handler(request: web.Request) -> web.Response:
            name = request.match_info["name"]
            if name not in nodes:
                raise web.HTTPNotFound(text=f"no node {name!r}; there are {', '.join(nodes) or 'none'}")
            await nodes[name].switch(on)
            return json_answer(nodes[name].view())

        return handler

    app.router.add_get("/nodes", show)
    app.router.add_post("/nodes/{name}/off", switch(on=False))
    app.router.add_post("/nodes/{name}/on", switch(on=True))
