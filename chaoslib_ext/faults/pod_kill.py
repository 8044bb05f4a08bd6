"""pod.kill: a pod ends at once, without a chance to say goodbye; its owner makes another one."""

from __future__ import annotations

from collections.abc import Sequence

from chaoslib_ext.cluster import Permission
from chaoslib_ext.faults import chaosk8s_calls
from chaoslib_ext.faults.base import Witness, fault, names
from chaoslib_ext.faults.kubernetes import LOOK
from chaoslib_ext.faults.kubernetes_pods import PodFault
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.plan import Target

TERMINATE = "pod.actions.terminate_pods"


def terminate(fault: PodFault, targets: Sequence[Target], world: World, grace_s: int) -> None:
    """Delete pods through chaosk8s, each by its exact name: a selector of its own might have found others since."""
    cluster = fault.reach(world)
    for target in targets:
        fault.former(target)
    chaosk8s_calls.load(TERMINATE)
    for target in targets:
        exact = f"^{target.name.replace('.', '[.]')}$"
        space = fault.space(cluster)
        done = chaosk8s_calls.call(cluster, TERMINATE, name_pattern=exact, ns=space, all=True, grace_period=grace_s)
        if done != [target.name]:  # chaosk8s calls it a success when nothing matches
            raise FaultError(f"{fault.name}: {target.name} was not there any more")


@fault(
    "pod.kill",
    summary="Delete pods without grace: their processes die at once, and their owner makes new ones.",
    proof="the pod is gone and no service sends it traffic; in the sandbox its pid with its start time is gone",
    undo="nothing to put back: observe that its owner has as many ready pods as before",
    plane="kubernetes",
    sample="engine-dies: {pod.kill: {service: matching-engine, count: 1}}",
    needs={"kubernetes"},
)
class PodKill(PodFault):
    """Deletion with a grace period of zero."""

    permissions = (*LOOK, Permission("get", "pods"), Permission("delete", "pods"))

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: kill pod engine-0."""
        return f"kill pod{'s' if len(targets) > 1 else ''} {names(targets)}"

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Delete them, in order."""
        terminate(self, targets, world, 0)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Each pod is no more."""
        return self.went(targets, world, at_once=True)
