"""pod.delete: a pod is asked to end, and has its grace period to do so: as each rollout does."""

from __future__ import annotations

from collections.abc import Sequence

from chaoslib_ext.cluster import Permission
from chaoslib_ext.faults.base import Witness, fault, names
from chaoslib_ext.faults.kubernetes import LOOK
from chaoslib_ext.faults.kubernetes_pods import PodFault
from chaoslib_ext.faults.pod_kill import terminate
from chaoslib_ext.world import World
from drills.plan import Target


@fault(
    "pod.delete",
    summary="Delete pods with their own grace period: they get SIGTERM, and their owner makes new ones.",
    proof="the pod is gone or on its way out, and no service sends it traffic",
    undo="nothing to put back: observe that its owner has as many ready pods as before",
    plane="kubernetes",
    sample="gateway-leaves: {pod.delete: {service: gateway, count: 1}}",
    needs={"kubernetes"},
)
class PodDelete(PodFault):
    """Deletion as the pod's own grace period allows."""

    permissions = (*LOOK, Permission("get", "pods"), Permission("delete", "pods"))

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: delete pod gateway-0."""
        return f"delete pod{'s' if len(targets) > 1 else ''} {names(targets)}"

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Ask them to end, in order."""
        terminate(self, targets, world, -1)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Each pod is gone, or ends and gets no traffic."""
        return self.went(targets, world, at_once=False)
