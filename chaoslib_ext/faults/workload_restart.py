"""workload.rollout-restart: every pod is replaced, one after the other, as at each deployment."""

from __future__ import annotations

from collections.abc import Sequence

from chaoslib_ext.cluster import IDENTITY, STRATEGIC, Permission
from chaoslib_ext.cluster_objects import name_of, uid_of
from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.kubernetes import recipe, standing
from chaoslib_ext.faults.kubernetes_workloads import WorkloadFault
from chaoslib_ext.faults.workload_scale import APPS
from chaoslib_ext.world import World
from drills.plan import Target

RESTARTED = "kubectl.kubernetes.io/restartedAt"
CHANGE = (
    *APPS,
    Permission("patch", "deployments", "apps"),
    Permission("patch", "statefulsets", "apps"),
    Permission("list", "pods"),
    Permission("delete", "pods"),
)
"""To change a pod template and put it back; a StatefulSet's pod that hangs has to be deleted for that."""


@fault(
    "workload.rollout-restart",
    summary="Replace all pods of workloads, by their own strategy, as `kubectl rollout restart` does.",
    proof="its controller has made a pod of the new revision",
    undo="its former pod template: what was rolled is rolled back, by the workload's own strategy",
    plane="kubernetes",
    sample="gateways-roll: {workload.rollout-restart: {workload: gateway}}",
    needs={"kubernetes"},
)
class WorkloadRestart(WorkloadFault):
    """The annotation of kubectl; chaosk8s writes a time that is none, and knows Deployments only."""

    permissions = (IDENTITY, *CHANGE)

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: restart deployment/gateway."""
        return f"restart {names(targets)}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """The annotation as it was, or not there."""
        cluster, found = self.reach(world), []
        for target in targets:
            seen = self.read(cluster, target)
            former = (seen["spec"]["template"]["metadata"].get("annotations") or {}).get(RESTARTED)
            self.remember(target.name, frozenset(uid_of(pod) for pod in self.pods(cluster, target)))
            found.append(
                recipe(
                    cluster, "template", patch=_annotated(former), revision=revision(seen), broken=False,
                    selector=self.selector(cluster, target), **standing(cluster, self.of(cluster, target)),
                )
            )  # fmt: skip
        return found

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Annotate them, in order."""
        cluster = self.reach(world)
        for target in targets:
            self.before(target.name)
        for target in targets:
            cluster.order("PATCH", self.of(cluster, target).path, _annotated(world.tag), kind=STRATEGIC)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """A pod carries what only the new template has."""
        cluster, texts = self.reach(world), []
        for target in targets:
            new = [
                name_of(pod)
                for pod in self.pods(cluster, target)
                if (pod["metadata"].get("annotations") or {}).get(RESTARTED) == world.tag
                and uid_of(pod) not in self.before(target.name)
            ]
            if not new:
                return None
            texts.append(f"{target.name} has made {new[0]}")
        return Witness(tuple(texts))


def revision(seen: dict[str, object]) -> str | None:
    """The revision that a StatefulSet rolls to."""
    status = seen.get("status")
    return str(status["updateRevision"]) if isinstance(status, dict) and "updateRevision" in status else None


def _annotated(value: str | None) -> dict[str, object]:
    return {"spec": {"template": {"metadata": {"annotations": {RESTARTED: value}}}}}
