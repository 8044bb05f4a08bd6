"""What the faults on a cluster share: the cluster itself, what must be allowed, and the state to come back to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from chaoslib_ext import cluster_objects as objects
from chaoslib_ext import cluster_snapshot as cluster_snapshot  # registers the plane's snapshot
from chaoslib_ext import processes
from chaoslib_ext.cluster import NEEDS, SEE, Cluster, Permission, workloads
from chaoslib_ext.cluster_objects import Workload
from chaoslib_ext.faults.base import Fault, Recipe
from chaoslib_ext.world import World
from drills import registry
from drills.errors import ComponentError, FaultError, Refused

WITHIN_S = 120.0
"""How long the owner of a pod may take until it is as ready as before; then a person is called."""

LOOK = (
    *SEE,
    *workloads("get"),
    Permission("get", "replicasets", "apps"),
    Permission("list", "endpointslices", "discovery.k8s.io"),
)
"""To find pods, their zones, what brings them back, and what sends them traffic: to read, nothing else."""


def everywhere(*wanted: Permission) -> tuple[Permission, ...]:
    """The same in all namespaces: a node holds pods of any."""
    return tuple(replace(one, cluster=True) for one in wanted)


CANARY = (Permission("create", "pods"), Permission("delete", "pods"))
"""For a pod that asks the scheduler for a place and can never get one; it has to be read, too."""


class ClusterFault(Fault):
    """Base of faults that act through the API server."""

    permissions: ClassVar[tuple[Permission, ...]] = ()
    """All that it needs for itself, its evidence and its undo: checked before anything, and written into its role."""

    namespace: str | None = Field(
        default=None, description="Namespace; by default that of the service, else that of the environment."
    )

    def cluster(self, world: World) -> Cluster:
        """The right cluster, where all that this fault needs is allowed. Raises Refused, ComponentError."""
        cluster = self.reach(world)
        cluster.require(self.name, self.permissions, self.space(cluster))
        return cluster

    def reach(self, world: World) -> Cluster:
        """The cluster of a world, as it was checked. Raises Refused `needs-kubernetes`."""
        if world.cluster is None:
            said = (
                f"{self.name} acts on Kubernetes, and this sandbox runs without; run `muster sandbox up --kubernetes`"
            )
            raise Refused(NEEDS, f"{said}; nothing was touched")
        return world.cluster

    def space(self, cluster: Cluster) -> str:
        """The namespace it acts in."""
        return self.namespace or str(self._spec(cluster).get("namespace") or cluster.place.namespace)

    def chosen(self, cluster: Cluster) -> str:
        """The label selector of its service, as the environment says, else app=service."""
        return str(self._spec(cluster).get("selector") or f"app={self._service()}")

    def _service(self) -> str:
        return str(getattr(self, "service", None) or "")

    def _spec(self, cluster: Cluster) -> Any:  # noqa: ANN401 - JSON
        return cluster.place.services.get(self._service()) or {}


def nothing(what: str, hint: str) -> Refused:
    """The refusal of a target that is not there."""
    return Refused("target-matches-nothing", f"{what} matches nothing; {hint}; nothing was touched")


def near(word: str, known: Sequence[str]) -> str:
    """The hint of such a refusal."""
    return registry.did_you_mean(word, known)


def settle(cluster: Cluster, workload: Workload) -> Recipe:
    """The undo that waits until a workload stands as it does now."""
    return recipe(cluster, "settle", **standing(cluster, workload))


def standing(cluster: Cluster, workload: Workload) -> dict[str, Any]:
    """How a workload stands now, as an undo needs it. Raises FaultError where it is gone."""
    seen = cluster.get(workload.path)
    if seen is None:
        raise FaultError(f"{workload.reference} in {workload.namespace} is gone; nothing was touched")
    pods = objects.pods_of(cluster, workload, seen)
    ready = sum(objects.ready(pod) for pod in pods)
    updated = int((seen.get("status") or {}).get("updatedReplicas") or 0)
    name = {"kind": workload.kind, "namespace": workload.namespace, "name": workload.name}
    return {**name, "ready": ready, "pods": len(pods), "updated": updated, "within_s": WITHIN_S}


def recipe(cluster: Cluster, verb: str, **args: Any) -> Recipe:  # noqa: ANN401 - JSON
    """An undo recipe of this plane."""
    made = cluster.recipe(verb, **args)
    return Recipe(verb=made["verb"], args=made["args"])


def process_of(world: World, pod: str) -> tuple[int, float] | None:
    """Pid and start time of the process that this pod is, where the world runs pods as processes of this machine."""
    row = next((row for row in world.describe.get("instances", ()) if row.get("pod") == pod), None)
    if row is None or not world.describe.get("agent"):
        return None
    try:
        seen = world.agent.instance(str(row["name"]))
    except ComponentError:
        return None
    return (seen.pid, seen.start_time) if seen.pid and seen.start_time else None


def ended(process: tuple[int, float] | None) -> bool:
    """Whether that very process is no more."""
    return process is None or processes.state(*process) is None
