"""Pods, what owns them, nodes and endpoints, read from the JSON of the API by faults, their undo and the snapshot."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaoslib_ext.cluster import Cluster, segment

Object = Mapping[str, Any]

PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}
"""What may own pods and bring them back; a ReplicaSet of its own stands for itself."""

ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
"""The taint that the node controller puts on a cordoned node, from what it saw itself."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What owns pods, by kind and name."""

    kind: str
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """Its path in the API."""
        plural = PLURALS.get(self.kind, "replicasets")
        return f"/apis/apps/v1/namespaces/{segment(self.namespace)}/{plural}/{segment(self.name)}"

    @property
    def reference(self) -> str:
        """As kubectl takes it: deployment/engine."""
        return f"{self.kind.lower()}/{self.name}"


def pods_path(namespace: str | None = None, name: str | None = None) -> str:
    """Path of the pods of a namespace (of all for None), or of one pod."""
    where = f"/namespaces/{segment(namespace)}" if namespace else ""
    return f"/api/v1{where}/pods" + (f"/{segment(name)}" if name else "")


def node_path(name: str) -> str:
    """Path of a node."""
    return f"/api/v1/nodes/{segment(name)}"


def name_of(thing: Object) -> str:
    """metadata.name."""
    return str(thing["metadata"]["name"])


def uid_of(thing: Object) -> str:
    """metadata.uid."""
    return str(thing["metadata"]["uid"])


def labels_of(thing: Object) -> Mapping[str, str]:
    """metadata.labels."""
    return thing["metadata"].get("labels") or {}


def controller(thing: Object) -> Mapping[str, Any] | None:
    """The owner reference of what brings it back; None where nobody does."""
    owners = thing["metadata"].get("ownerReferences") or []
    return next((one for one in owners if one.get("controller")), None)


def terminating(thing: Object) -> bool:
    """Whether it is asked to end."""
    return bool(thing["metadata"].get("deletionTimestamp"))


def ready(thing: Object) -> bool:
    """Whether its condition Ready is true."""
    conditions = thing.get("status", {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def owner(cluster: Cluster, pod: Object) -> Workload | None:
    """The workload that brings this pod back; None for a pod of its own, or of something that we do not know."""
    reference, namespace = controller(pod), str(pod["metadata"]["namespace"])
    if reference is None:
        return None
    found = Workload(str(reference["kind"]), namespace, str(reference["name"]))
    if found.kind == "ReplicaSet":
        above = controller(cluster.get(found.path) or {"metadata": {}})
        return found if above is None else Workload(str(above["kind"]), namespace, str(above["name"]))
    return found if found.kind in PLURALS else None


def selector_text(selector: Object) -> str:
    """A label selector of an object as the API takes it in a query."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for one in selector.get("matchExpressions") or []:
        key, values = one["key"], ",".join(one.get("values") or [])
        word = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
        parts.append(word.get(one["operator"], f"!{key}"))
    return ",".join(parts)


def pods_of(cluster: Cluster, workload: Workload, found: Object | None = None) -> list[dict[str, Any]]:
    """The pods of a workload that are not asked to end."""
    seen = found or cluster.get(workload.path)
    if seen is None:
        return []
    query = selector_text(seen["spec"]["selector"])
    pods = cluster.items(pods_path(workload.namespace), labelSelector=query)
    return [pod for pod in pods if not terminating(pod)]


def serving(cluster: Cluster, namespace: str | None) -> dict[str, list[str]]:
    """By uid of a pod, the services that send it traffic now, as the endpoint slices say."""
    where = f"/namespaces/{segment(namespace)}" if namespace else ""
    found: dict[str, list[str]] = {}
    for piece in cluster.items(f"/apis/discovery.k8s.io/v1{where}/endpointslices"):
        service = labels_of(piece).get("kubernetes.io/service-name", name_of(piece))
        for endpoint in piece.get("endpoints") or []:
            uid = (endpoint.get("targetRef") or {}).get("uid")
            if uid and (endpoint.get("conditions") or {}).get("ready") is not False:
                found.setdefault(str(uid), []).append(service)
    return found


def template_hash(workload: Object) -> str:
    """Short hash of a workload's pod template as the API shows it."""
    text = json.dumps(workload["spec"]["template"], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def taints(node: Object) -> Sequence[Mapping[str, Any]]:
    """The taints of a node."""
    return node["spec"].get("taints") or []


def taint_text(taint: Mapping[str, Any]) -> str:
    """As kubectl writes it: key=value:Effect."""
    return f"{taint['key']}={taint.get('value', '')}:{taint['effect']}"
