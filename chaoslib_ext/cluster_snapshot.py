"""What faults may change in a cluster, as flat text: workloads, nodes, disruption budgets, pods that are not ready."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from chaoslib_ext import planes
from chaoslib_ext.cluster import Cluster, segment
from chaoslib_ext.cluster_objects import (
    UNSCHEDULABLE,
    controller,
    name_of,
    pods_path,
    ready,
    taint_text,
    taints,
    template_hash,
    terminating,
)
from drills.errors import ComponentError

if TYPE_CHECKING:
    from chaoslib_ext.world import World

UNREAD = "cannot be read"


def snapshot(world: World) -> Mapping[str, str]:
    """The plane `kubernetes`; nothing where the world has no cluster. What we may not read is said, not guessed."""
    cluster = world.cluster
    if cluster is None:
        return {}
    spaces = {cluster.place.namespace} | {
        str(one["namespace"]) for one in cluster.place.services.values() if one.get("namespace")
    }
    found = dict(_nodes(cluster))
    for namespace in sorted(spaces):
        for plural in ("deployments", "statefulsets", "daemonsets"):
            found |= dict(_workloads(cluster, namespace, plural))
        found |= dict(_budgets(cluster, namespace)) | dict(_pods(cluster, namespace))
    return found


def _nodes(cluster: Cluster) -> Iterator[tuple[str, str]]:
    for node in _items(cluster, "/api/v1/nodes"):
        if node is None:
            yield "nodes", UNREAD
            return
        # what the control plane adds by itself for a cordon, or for a moment of silence, is told by the words before it
        own = sorted(taint_text(one) for one in taints(node) if not one["key"].startswith("node.kubernetes.io/"))
        words = ["ready" if ready(node) else "not ready", "cordoned" if node["spec"].get("unschedulable") else ""]
        words += ["unschedulable by its taint" if UNSCHEDULABLE in str(taints(node)) else "", *own]
        yield f"node {name_of(node)}", ", ".join(word for word in words if word)


def _workloads(cluster: Cluster, namespace: str, plural: str) -> Iterator[tuple[str, str]]:
    for one in _items(cluster, f"/apis/apps/v1/namespaces/{segment(namespace)}/{plural}"):
        if one is None:
            yield f"{plural} in {namespace}", UNREAD
            return
        status, spec = one.get("status") or {}, one["spec"]
        wanted = spec.get("replicas", status.get("desiredNumberScheduled", 0))
        count = status.get("readyReplicas", status.get("numberReady")) or 0
        state = f"{count} of {wanted} ready, template {template_hash(one)}"
        yield f"{plural[:-1]} {namespace}/{name_of(one)}", state + (", paused" if spec.get("paused") else "")


def _budgets(cluster: Cluster, namespace: str) -> Iterator[tuple[str, str]]:
    for one in _items(cluster, f"/apis/policy/v1/namespaces/{segment(namespace)}/poddisruptionbudgets"):
        if one is None:
            yield f"budgets in {namespace}", UNREAD
            return
        limits = {key: one["spec"][key] for key in ("minAvailable", "maxUnavailable") if key in one["spec"]}
        yield f"budget {namespace}/{name_of(one)}", ", ".join(f"{key} {value}" for key, value in limits.items())


def _pods(cluster: Cluster, namespace: str) -> Iterator[tuple[str, str]]:
    for pod in _items(cluster, pods_path(namespace)):
        if pod is None:
            yield f"pods in {namespace}", UNREAD
            return
        if controller(pod) is None:
            yield f"pod {namespace}/{name_of(pod)}", str(pod["status"].get("phase"))
        elif not ready(pod) and not terminating(pod) and pod["status"].get("phase") != "Succeeded":
            owner = controller(pod)
            yield f"a pod of {owner['name'] if owner else '?'} in {namespace}", "not ready"


def _items(cluster: Cluster, path: str) -> Iterator[dict[str, Any] | None]:
    try:
        yield from cluster.items(path)
    except ComponentError:
        yield None


planes.SNAPSHOTS["kubernetes"] = snapshot
