"""node.drain: what happens to a node before its maintenance: closed, and its pods evicted within their budgets."""

from __future__ import annotations

from collections.abc import Sequence

from chaoslib_ext import cluster_objects as objects
from chaoslib_ext.cluster import Permission
from chaoslib_ext.cluster_objects import name_of
from chaoslib_ext.faults import chaosk8s_calls
from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.kubernetes import LOOK, everywhere, recipe, settle
from chaoslib_ext.faults.kubernetes_evictions import evict
from chaoslib_ext.faults.kubernetes_nodes import NodeFault, cordoned, movable
from chaoslib_ext.faults.kubernetes_pods import PodBefore, gone, pods_before
from chaoslib_ext.faults.node_cordon import CORDON, NODES
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.plan import Target


@fault(
    "node.drain",
    summary="Cordon nodes and evict their pods, as before maintenance; budgets of disruption are respected.",
    proof="the node controller taints the node, its pods are gone or on their way out, and no service reaches them",
    undo="mark the nodes schedulable again; observe that every owner has as many ready pods as before",
    plane="kubernetes",
    sample="zone-drained: {node.drain: {zone: tyo-a}}",
    needs={"kubernetes"},
)
class NodeDrain(NodeFault):
    """Cordon and eviction."""

    permissions = (
        *everywhere(*LOOK),
        *NODES,
        *everywhere(Permission("get", "pods"), Permission("create", "pods/eviction")),
    )

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: drain node tyo-a."""
        return f"drain node{'s' if len(targets) > 1 else ''} {names(targets)}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Uncordon each node; then wait for every workload that has pods there."""
        cluster, found = self.reach(world), []
        for target in targets:
            self.schedulable(cluster, target)
            pods = [(str(pod["metadata"]["namespace"]), name_of(pod)) for pod in movable(cluster, target.name)]
            if not pods:
                raise FaultError(f"{self.name}: node {target.name} holds no pod to evict; nothing was touched")
            self.remember(target.name, dict(zip(pods, pods_before(self.name, cluster, pods, world), strict=True)))
            found.append(recipe(cluster, "schedulable", node=target.name))
        owners = dict.fromkeys(before.workload for target in targets for before in self.pods(target).values())
        return [*(settle(cluster, one) for one in owners), *found]

    def pods(self, target: Target) -> dict[tuple[str, str], PodBefore]:
        """The pods that a node held, by namespace and name."""
        found = self.before(target.name)
        assert isinstance(found, dict)
        return found

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Close all nodes, then evict; raises FaultError where a budget refuses."""
        cluster = self.reach(world)
        pods = [pod for target in targets for pod in self.pods(target)]
        for target in targets:
            chaosk8s_calls.call(cluster, CORDON, name=target.name)
        evict(cluster, self.name, pods)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """The nodes are closed and empty of what can move."""
        cluster = self.reach(world)
        texts = cordoned(cluster, targets)
        if texts is None:
            return None
        serving = objects.serving(cluster, None)
        for target in targets:
            for (_, name), before in self.pods(target).items():
                said = gone(cluster, name, before, serving, at_once=False)
                if said is None:
                    return None
                texts += said
        return Witness(tuple(texts))
