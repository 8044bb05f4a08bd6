"""node.off: a machine loses its power, with everything on it, and nobody says goodbye."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pydantic import Field, model_validator

from chaoslib_ext import cluster_objects as objects
from chaoslib_ext import processes
from chaoslib_ext.agentclient import Node, Process
from chaoslib_ext.faults.base import Fault, Recipe, Witness, fault, names
from chaoslib_ext.faults.kubernetes import WITHIN_S, near, nothing, recipe, settle
from chaoslib_ext.faults.kubernetes_nodes import movable
from chaoslib_ext.world import World
from drills.errors import FaultError, Refused
from drills.plan import Target


@fault(
    "node.off",
    summary="Take the power from nodes: every process on them dies in the same instant and none comes back.",
    proof="each process that ran on the node is gone by its pid and start time",
    undo="give the nodes their power again; what ran on them runs again",
    plane="host",
    sample="machine-dies: {node.off: {node: tyo-a}}",
)
class NodeOff(Fault):
    """Power of nodes, through the node agent; elsewhere the cloud stops its machines."""

    node: str | None = Field(default=None, description="One node by name.")
    zone: str | None = Field(default=None, description="All nodes of this zone.")

    @model_validator(mode="after")
    def _one_way(self) -> NodeOff:
        if (self.node is None) == (self.zone is None):
            raise ValueError("give either node or zone")
        return self

    def targets(self, world: World) -> list[Target]:
        """The nodes as the agent knows them. Raises Refused."""
        if not world.describe.get("agent"):
            said = "node.off switches the nodes of a sandbox; stop the machines of another through its cloud"
            raise Refused("needs-agent", f"{said}; nothing was touched")
        seen = world.agent.nodes()
        found = [one for one in seen if self.node == one.name or (self.zone is not None and self.zone == one.zone)]
        if not found:
            word, known = str(self.node or self.zone), [one.name if self.node else one.zone or "" for one in seen]
            raise nothing(f"{'node' if self.node else 'zone'} {word!r}", near(word, known))
        return [Target(kind="node", name=one.name, zone=one.zone) for one in found]

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: power off node tyo-a."""
        return f"power off node{'s' if len(targets) > 1 else ''} {names(targets)}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Give each its power again. Raises FaultError where it has none, or nothing runs on it."""
        nodes = {one.name: one for one in world.agent.nodes()}
        running = {one.name: one for one in world.agent.instances() if one.pid is not None}
        found = []
        for target in targets:
            on = self._running(nodes[target.name], running)
            self.remember(target.name, on)
            found.append(Recipe(verb="agent.node_on", args=world.of_agent(node=target.name, running=sorted(on))))
        return [*self._owners(targets, world), *found]

    def _owners(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Where pods are what runs on the nodes: wait for the nodes themselves, and for what owns the pods."""
        if world.cluster is None:
            return []
        cluster = world.cluster
        pods = [pod for target in targets for pod in movable(cluster, target.name)]
        owners = dict.fromkeys(owner for pod in pods if (owner := objects.owner(cluster, pod)))
        nodes = [recipe(cluster, "node_ready", node=target.name, within_s=WITHIN_S) for target in targets]
        return [*(settle(cluster, one) for one in owners), *nodes]

    def _running(self, node: Node, running: dict[str, Process]) -> dict[str, Process]:
        on = {name: running[name] for name in node.instances if name in running}
        if node.power != "on" or not on:
            why = "nothing runs on it" if node.power == "on" else "it has no power"
            raise FaultError(f"{self.name}: node {node.name}: {why}; nothing was touched")
        return on

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Take the power, in order."""
        for target in targets:
            self.before(target.name)
        for target in targets:
            world.agent.power(target.name, on=False)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Every process of each node is gone."""
        texts = []
        for target in targets:
            ran: dict[str, Process] = self.before(target.name)
            if any(processes.state(one.pid or 0, one.start_time) is not None for one in ran.values()):
                return None
            gone = ", ".join(f"{name} (pid {one.pid})" for name, one in sorted(ran.items()))
            texts.append(f"with {target.name} went {gone}")
        return Witness(tuple(texts), time.monotonic_ns())
