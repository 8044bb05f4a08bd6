"""What the faults on nodes share: how nodes are chosen, which pods they hold, and what shows a cordon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, model_validator

from chaoslib_ext import cluster_objects as objects
from chaoslib_ext.cluster import Cluster
from chaoslib_ext.cluster_objects import Object, labels_of, name_of
from chaoslib_ext.faults.kubernetes import ClusterFault, near, nothing
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.plan import Target


class NodeFault(ClusterFault):
    """Base of faults on nodes: one by name, or those of a zone."""

    node: str | None = Field(default=None, description="One node by name.")
    zone: str | None = Field(default=None, description="All nodes of this zone.")

    @model_validator(mode="after")
    def _one_way(self) -> NodeFault:
        if (self.node is None) == (self.zone is None):
            raise ValueError("give either node or zone")
        return self

    def targets(self, world: World) -> list[Target]:
        """The nodes as they are now. Raises Refused."""
        seen = self.cluster(world).items("/api/v1/nodes")
        found = [one for one in seen if self.node == name_of(one) or self.zone == (zone_of(one) or "")]
        if not found:
            known = [name_of(one) for one in seen] if self.node else sorted({zone_of(one) or "" for one in seen} - {""})
            raise nothing(
                f"{'node' if self.node else 'zone'} {self.node or self.zone!r}",
                near(str(self.node or self.zone), known),
            )
        return [
            Target(kind="node", name=name_of(one), zone=zone_of(one), region=labels_of(one).get(objects.REGION))
            for one in sorted(found, key=name_of)
        ]

    def read(self, cluster: Cluster, target: Target) -> dict[str, Any]:
        """The node of a target as it is now. Raises FaultError where it is gone."""
        seen = cluster.get(objects.node_path(target.name))
        if seen is None:
            raise FaultError(f"{self.name}: node {target.name} is gone")
        return seen

    def schedulable(self, cluster: Cluster, target: Target) -> dict[str, Any]:
        """The node, where pods may go to it now. Raises FaultError where they may not: a cordon would prove nothing."""
        seen = self.read(cluster, target)
        if seen["spec"].get("unschedulable"):
            raise FaultError(f"{self.name}: node {target.name} is cordoned already; nothing was touched")
        return seen


def zone_of(node: Object) -> str | None:
    """The zone that a node says it is in."""
    return labels_of(node).get(objects.ZONE)


def cordoned(cluster: Cluster, targets: Sequence[Target]) -> list[str] | None:
    """One line a node, once the node controller of the cluster has seen each cordon; None before."""
    for target in targets:
        node = cluster.get(objects.node_path(target.name)) or {"spec": {}}
        if not node["spec"].get("unschedulable"):
            return None
        if not any(one["key"] == objects.UNSCHEDULABLE for one in objects.taints(node)):
            return None
    return [f"the node controller has tainted {target.name} as unschedulable" for target in targets]


def movable(cluster: Cluster, node: str) -> list[dict[str, Any]]:
    """The pods on a node that a drain ends: not those of a DaemonSet, not those of the node itself, not ended ones."""
    found = []
    for pod in cluster.items(objects.pods_path(), fieldSelector=f"spec.nodeName={node}"):
        owner = objects.controller(pod) or {}
        mirrored = "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {})
        ended = pod["status"].get("phase") in ("Succeeded", "Failed")
        if not (mirrored or ended or owner.get("kind") in ("DaemonSet", "Node") or objects.terminating(pod)):
            found.append(pod)
    return found


def tolerates(pod: Object, key: str, value: str, effect: str) -> bool:
    """Whether a pod stays on a node with this taint."""
    return any(_matches(one, key, value, effect) for one in pod["spec"].get("tolerations") or [])


def _matches(one: Mapping[str, Any], key: str, value: str, effect: str) -> bool:
    if one.get("effect") not in (None, effect) or one.get("tolerationSeconds") is not None:
        return False
    if one.get("operator") == "Exists":
        return one.get("key") in (None, key)
    return one.get("key") == key and one.get("value", "") == value
