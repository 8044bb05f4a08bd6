"""node.cordon: no new pod comes to a node; what runs there stays."""

from __future__ import annotations

from collections.abc import Sequence

from chaoslib_ext.cluster import IDENTITY, Permission
from chaoslib_ext.faults import chaosk8s_calls, kubernetes_canary
from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.kubernetes import CANARY, recipe
from chaoslib_ext.faults.kubernetes_nodes import NodeFault, cordoned
from chaoslib_ext.world import World
from drills.plan import Target

CORDON = "node.actions.cordon_node"
NODES = tuple(Permission(verb, "nodes", cluster=True) for verb in ("list", "get", "patch"))


@fault(
    "node.cordon",
    summary="Mark nodes as unschedulable: no new pod comes to them, what runs there stays.",
    proof="the node controller taints the node, and the scheduler says of it that it is unschedulable",
    undo="mark them schedulable again, as they were",
    plane="kubernetes",
    sample="zone-closed: {node.cordon: {zone: tyo-a}}",
    needs={"kubernetes"},
)
class NodeCordon(NodeFault):
    """spec.unschedulable of nodes."""

    permissions = (IDENTITY, *NODES, *CANARY, Permission("get", "pods"))

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: cordon node tyo-a."""
        return f"cordon node{'s' if len(targets) > 1 else ''} {names(targets)}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Uncordon each, and remove the pod that asks the scheduler."""
        cluster = self.reach(world)
        found = [kubernetes_canary.removal(cluster, self.space(cluster), world.tag)]
        for target in targets:
            self.schedulable(cluster, target)
            self.remember(target.name, True)
            found.append(recipe(cluster, "schedulable", node=target.name))
        return found

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Cordon them through chaosk8s, in order."""
        cluster = self.reach(world)
        for target in targets:
            self.before(target.name)
        for target in targets:
            chaosk8s_calls.call(cluster, CORDON, name=target.name)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Node controller and scheduler both refuse them."""
        cluster = self.reach(world)
        texts = cordoned(cluster, targets)
        if texts is None:
            return None
        nodes = [target.name for target in targets]
        said = kubernetes_canary.refused(cluster, self.space(cluster), world.tag, nodes, "node(s) were unschedulable")
        return None if said is None else Witness((*texts, f"the scheduler: {said}"))
