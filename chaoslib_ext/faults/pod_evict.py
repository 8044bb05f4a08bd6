"""pod.evict: what a drain, an autoscaler or a node under pressure does: asks, and takes a budget's no for an answer."""

from __future__ import annotations

from collections.abc import Sequence

from chaoslib_ext.cluster import Permission
from chaoslib_ext.faults.base import Witness, fault, names
from chaoslib_ext.faults.kubernetes import LOOK
from chaoslib_ext.faults.kubernetes_evictions import evict
from chaoslib_ext.faults.kubernetes_pods import PodFault
from chaoslib_ext.world import World
from drills.plan import Target


@fault(
    "pod.evict",
    summary="Evict pods: they end with their grace period, unless a PodDisruptionBudget refuses.",
    proof="the pod is gone or on its way out, and no service sends it traffic",
    undo="nothing to put back: observe that its owner has as many ready pods as before",
    plane="kubernetes",
    sample="engine-evicted: {pod.evict: {service: matching-engine, count: 1}}",
    needs={"kubernetes"},
)
class PodEvict(PodFault):
    """Eviction, within the budgets."""

    permissions = (*LOOK, Permission("get", "pods"), Permission("create", "pods/eviction"))

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: evict pod engine-0."""
        return f"evict pod{'s' if len(targets) > 1 else ''} {names(targets)}"

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Ask for each; raises FaultError where a budget refuses."""
        for target in targets:
            self.former(target)
        cluster = self.reach(world)
        evict(cluster, self.name, [(self.space(cluster), target.name) for target in targets])

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Each pod is gone, or ends and gets no traffic."""
        return self.went(targets, world, at_once=False)
