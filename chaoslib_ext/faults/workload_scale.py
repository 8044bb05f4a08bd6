"""workload.scale: another number of replicas, by mistake or by an autoscaler gone wrong; zero is an outage."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from chaoslib_ext import cluster_objects as objects
from chaoslib_ext.cluster import IDENTITY, MERGE, Cluster, Permission, segment
from chaoslib_ext.cluster_objects import uid_of
from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.kubernetes import recipe, standing
from chaoslib_ext.faults.kubernetes_workloads import WorkloadFault
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.plan import Target

APPS = tuple(Permission(verb, kind, "apps") for kind in ("deployments", "statefulsets") for verb in ("list", "get"))
PODS = (Permission("list", "pods"), Permission("list", "endpointslices", "discovery.k8s.io"))


@fault(
    "workload.scale",
    summary="Give workloads another number of replicas.",
    proof="its controller has made or ended pods until there are so many, and no service reaches those that are gone",
    undo="the former number of replicas; observe that as many pods are ready as before",
    plane="kubernetes",
    sample="one-gateway: {workload.scale: {workload: gateway, replicas: 1}}",
    needs={"kubernetes"},
)
class WorkloadScale(WorkloadFault):
    """spec.replicas, through the subresource `scale`: chaosk8s needs the right to change the whole workload."""

    replicas: int = Field(ge=0, description="So many.")

    permissions = (
        IDENTITY, *APPS, *PODS,
        Permission("patch", "deployments/scale", "apps"),
        Permission("patch", "statefulsets/scale", "apps"),
        Permission("list", "horizontalpodautoscalers", "autoscaling"),
    )  # fmt: skip

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: scale deployment/gateway to 1."""
        return f"scale {names(targets)} to {self.replicas}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """The former number of each. Raises FaultError where it is that already, or an autoscaler would change it."""
        cluster, found = self.reach(world), []
        scaled = self._autoscaled(cluster)
        for target in targets:
            former = int(self.read(cluster, target)["spec"].get("replicas", 1))
            if former == self.replicas:
                raise FaultError(f"{self.name}: {target.name} has {former} replicas already; nothing was touched")
            if target.name in scaled:
                raise FaultError(f"{self.name}: an autoscaler sets the replicas of {target.name}; nothing was touched")
            self.remember(target.name, frozenset(uid_of(pod) for pod in self.pods(cluster, target)))
            found.append(recipe(cluster, "scale", replicas=former, **standing(cluster, self.of(cluster, target))))
        return found

    def _autoscaled(self, cluster: Cluster) -> set[str]:
        path = f"/apis/autoscaling/v2/namespaces/{segment(self.space(cluster))}/horizontalpodautoscalers"
        goals = [one["spec"]["scaleTargetRef"] for one in cluster.items(path)]
        return {f"{goal['kind'].lower()}/{goal['name']}" for goal in goals}

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Scale them, in order."""
        cluster = self.reach(world)
        for target in targets:
            self.before(target.name)
        for target in targets:
            path = f"{self.of(cluster, target).path}/scale"
            cluster.order("PATCH", path, {"spec": {"replicas": self.replicas}}, kind=MERGE)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """There are so many pods of each, and no service reaches another."""
        cluster, texts = self.reach(world), []
        serving = objects.serving(cluster, self.space(cluster))
        for target in targets:
            now = {uid_of(pod) for pod in self.pods(cluster, target)}
            lost = self.before(target.name) - now
            if len(now) != self.replicas or any(serving.get(uid) for uid in lost):
                return None
            texts.append(f"{target.name} has {len(now)} pods" + (f", {len(lost)} left every service" if lost else ""))
        return Witness(tuple(texts))
