"""node.taint: a node turns away pods that do not tolerate it, or throws out those that are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from chaoslib_ext import cluster_objects as objects
from chaoslib_ext.cluster import MERGE, Cluster, Permission
from chaoslib_ext.cluster_objects import name_of
from chaoslib_ext.faults import kubernetes_canary
from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.kubernetes import CANARY, LOOK, everywhere, recipe, settle
from chaoslib_ext.faults.kubernetes_nodes import NodeFault, movable, tolerates
from chaoslib_ext.faults.kubernetes_pods import PodBefore, gone, pods_before
from chaoslib_ext.faults.node_cordon import NODES
from chaoslib_ext.world import World
from drills.errors import ComponentError, FaultError
from drills.plan import Target

TRIES = 5
"""Others write to a node too: each conflict is one more try."""


@fault(
    "node.taint",
    summary="Taint nodes: new pods that do not tolerate it stay away; with NoExecute those that run there are evicted.",
    proof="the scheduler says of the node that it has a taint that is not tolerated; with NoExecute its pods go",
    undo="remove this taint, leave all others; observe that every owner has as many ready pods as before",
    plane="kubernetes",
    sample="zone-tainted: {node.taint: {zone: tyo-a, effect: NoExecute}}",
    needs={"kubernetes"},
)
class NodeTaint(NodeFault):
    """One more taint on nodes."""

    key: str = Field(default="muster/fault", description="Key of the taint.")
    value: str = Field(default="", description="Value of the taint.")
    effect: Literal["NoSchedule", "NoExecute"] = Field(
        default="NoSchedule", description="NoSchedule turns new pods away, NoExecute also ends those that are there."
    )

    permissions = (*everywhere(*LOOK), *NODES, *everywhere(Permission("get", "pods")), *CANARY)

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: taint node tyo-a with muster/fault=:NoExecute."""
        return f"taint node{'s' if len(targets) > 1 else ''} {names(targets)} with {objects.taint_text(self._taint())}"

    def _taint(self) -> dict[str, Any]:
        return {"key": self.key, "effect": self.effect} | ({"value": self.value} if self.value else {})

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Remove the taint, and wait for every workload whose pods have to go. Raises FaultError where it is there."""
        cluster, found = self.reach(world), []
        for target in targets:
            there = objects.taints(self.read(cluster, target))
            if any((one["key"], one["effect"]) == (self.key, self.effect) for one in there):
                raise FaultError(
                    f"{self.name}: node {target.name} has {self.key}:{self.effect} already; nothing was touched"
                )
            pods = self._leaving(cluster, target)
            self.remember(target.name, dict(zip(pods, pods_before(self.name, cluster, pods, world), strict=True)))
            found.append(recipe(cluster, "untaint", node=target.name, key=self.key, effect=self.effect))
        owners = dict.fromkeys(before.workload for target in targets for before in self.pods(target).values())
        canary = kubernetes_canary.removal(cluster, self.space(cluster), world.tag)
        return [*(settle(cluster, one) for one in owners), canary, *found]

    def _leaving(self, cluster: Cluster, target: Target) -> list[tuple[str, str]]:
        if self.effect != "NoExecute":
            return []
        pods = movable(cluster, target.name)
        stays = [pod for pod in pods if tolerates(pod, self.key, self.value, self.effect)]
        return [(str(pod["metadata"]["namespace"]), name_of(pod)) for pod in pods if pod not in stays]

    def pods(self, target: Target) -> dict[tuple[str, str], PodBefore]:
        """The pods that have to leave a node, by namespace and name."""
        found = self.before(target.name)
        assert isinstance(found, dict)
        return found

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Taint them, in order."""
        cluster = self.reach(world)
        for target in targets:
            self.pods(target)
        for target in targets:
            self._add(cluster, target)

    def _add(self, cluster: Cluster, target: Target) -> None:
        for _ in range(TRIES):
            node = self.read(cluster, target)
            wanted = {
                "metadata": {"resourceVersion": node["metadata"]["resourceVersion"]},
                "spec": {"taints": [*objects.taints(node), self._taint()]},
            }
            status, answer = cluster.ask("PATCH", objects.node_path(target.name), wanted, kind=MERGE)
            if status == 200:
                return
            if status != 409:
                raise ComponentError("kubernetes", f"taint of node {target.name} answered {status}: {answer}")
        raise FaultError(f"{self.name}: node {target.name} was changed by others {TRIES} times in a row")

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """The scheduler refuses them for it; with NoExecute their pods are gone or go."""
        cluster = self.reach(world)
        for target in targets:
            self.pods(target)
            if not any(one["key"] == self.key for one in objects.taints(self.read(cluster, target))):
                return None
        serving = objects.serving(cluster, None)
        texts: list[str] = []
        for target in targets:
            for (_, name), before in self.pods(target).items():
                said = gone(cluster, name, before, serving, at_once=False)
                if said is None:
                    return None
                texts += said
        nodes, words = [target.name for target in targets], "node(s) had untolerated taint"
        told = kubernetes_canary.refused(cluster, self.space(cluster), world.tag, nodes, words)
        return None if told is None else Witness((*texts, f"the scheduler: {told}"))
