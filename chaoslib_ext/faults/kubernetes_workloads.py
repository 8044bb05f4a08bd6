"""What the faults on workloads share: how a workload is chosen, and how it stood before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field, model_validator

from chaoslib_ext import cluster_objects as objects
from chaoslib_ext.cluster import Cluster, segment
from chaoslib_ext.cluster_objects import Workload, name_of
from chaoslib_ext.faults.kubernetes import ClusterFault, near, nothing
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.plan import Target


class WorkloadFault(ClusterFault):
    """Base of faults on workloads: one by name, or those whose pods belong to a service."""

    kinds: ClassVar[tuple[str, ...]] = ("Deployment", "StatefulSet")

    service: str | None = Field(default=None, description="Service whose workloads are hit.")
    workload: str | None = Field(
        default=None, description="One workload: gateway, deployment/gateway or statefulset/nats."
    )

    @model_validator(mode="after")
    def _one_way(self) -> WorkloadFault:
        if (self.service is None) == (self.workload is None):
            raise ValueError("give either service or workload")
        return self

    def targets(self, world: World) -> list[Target]:
        """The workloads as they are now. Raises Refused."""
        cluster = self.cluster(world)
        namespace = self.space(cluster)
        seen = {
            Workload(kind, namespace, name_of(one)): one
            for kind in self.kinds
            for one in cluster.items(f"/apis/apps/v1/namespaces/{segment(namespace)}/{objects.PLURALS[kind]}")
        }
        found = [one for one, raw in seen.items() if self._meant(cluster, one, raw)]
        if not found:
            what = f"service {self.service!r}" if self.service else f"workload {self.workload!r}"
            known = [one.reference for one in seen]
            raise nothing(f"{what} in {namespace}", near(str(self.service or self.workload), known))
        if self.workload and len(found) > 1:
            raise nothing(f"{self.workload!r}", f"write one of {', '.join(one.reference for one in found)}")
        return [
            Target(kind="workload", name=one.reference, service=self.service or _service_of(cluster, seen[one]))
            for one in found
        ]

    def _meant(self, cluster: Cluster, one: Workload, raw: dict[str, Any]) -> bool:
        if self.workload:
            return self.workload.lower() in (one.reference, one.name)
        return _chooses(self.chosen(cluster), raw)

    def of(self, cluster: Cluster, target: Target) -> Workload:
        """The workload of a target."""
        kind, _, name = target.name.partition("/")
        full = next(one for one in objects.PLURALS if one.lower() == kind)
        return Workload(full, self.space(cluster), name)

    def read(self, cluster: Cluster, target: Target) -> dict[str, Any]:
        """A workload as it is now. Raises FaultError where it is gone."""
        seen = cluster.get(self.of(cluster, target).path)
        if seen is None:
            raise FaultError(f"{self.name}: {target.name} is gone")
        return seen

    def selector(self, cluster: Cluster, target: Target) -> str:
        """The label selector of its pods."""
        return objects.selector_text(self.read(cluster, target)["spec"]["selector"])

    def pods(self, cluster: Cluster, target: Target) -> Sequence[dict[str, Any]]:
        """Its pods that are not asked to end."""
        return objects.pods_of(cluster, self.of(cluster, target))


def _service_of(cluster: Cluster, raw: dict[str, Any]) -> str | None:
    """Whose pods these are, so that they count as touched: as the environment says, else by the label app."""
    said = (name for name, how in cluster.place.services.items() if _chooses(how.get("selector") or f"app={name}", raw))
    return next(said, None) or objects.labels_of(raw["spec"]["template"]).get("app")


def _chooses(selector: str, raw: dict[str, Any]) -> bool:
    labels = objects.labels_of(raw["spec"]["template"])
    wanted = [part.partition("=") for part in selector.replace("==", "=").split(",")]
    return all(labels.get(key.strip()) == value.strip() for key, _, value in wanted)
