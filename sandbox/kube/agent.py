"""The node agent of a sandbox on Kubernetes: it owns the control plane too, and is the kubelet of every node."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web

from sandbox.home import Box
from sandbox.kube.control import ControlPlane, Place
from sandbox.kube.kubelet import Kubelet
from sandbox.kube.podspec import HOME
from sandbox.node.agent import Agent, say
from sandbox.node.resolve import Resolver

_LOOK_S = 0.2


@dataclass
class _Watch:
    """Starts a server of the control plane again when it has ended."""

    plane: ControlPlane

    def add_routes(self, app: web.Application) -> None:
        """None."""

    async def run(self) -> None:
        """Look again and again."""
        while True:
            for name in self.plane.revive():
                say(f"{name} ended and was started again")
            await asyncio.sleep(_LOOK_S)


async def serve(
    box: Box, state: Mapping[str, Any], manifests: Path, resolver: Resolver, port: int, owner: psutil.Process | None
) -> None:
    """Start the control plane and serve until told to end; then nothing of either is left.

    Raises SandboxError when a server does not get ready, OSError when a port is taken.
    """
    agent = Agent(box, [], resolver)
    place = Place(box.conf / "kube", box.logs, box.kubeconfig, box.root)
    plane = ControlPlane(place, state["parts"], agent.children.add)
    try:
        cluster = plane.start()
        kubelet = Kubelet(state["describe"], manifests, resolver, agent.instances, agent.children, agent.truth)
        await kubelet.open(cluster)
        agent.nodes.update(kubelet.nodes.zones)
        agent.beside += [kubelet, _Watch(plane)]
        agent.facts["kubernetes"] = {
            "kubeconfig": str(cluster.kubeconfig),
            "server": cluster.server,
            "uid": cluster.uid,
            "namespace": HOME,
        }
        await agent.serve(port, owner)
    finally:
        plane.stop()
