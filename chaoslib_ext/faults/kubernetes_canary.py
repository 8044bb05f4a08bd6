"""Asks the scheduler about nodes, with a pod that it can never place.

The pod may go to these nodes only, and wants a label that no node has: it never runs anywhere. What the scheduler says
of each node is the first reason that it finds, and a cordon and a taint come before labels. So its words show what it
knows of the node itself, whatever the API call that changed the node answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaoslib_ext.cluster import Cluster
from chaoslib_ext.cluster_objects import pods_path
from chaoslib_ext.faults.base import Recipe
from chaoslib_ext.faults.kubernetes import recipe

NEVER = "muster/never"
IMAGE = "registry.k8s.io/pause:3.10"


def name_in(tag: str) -> str:
    """The name of the canary of a fault."""
    return f"{tag.lower()}-canary"


def removal(cluster: Cluster, namespace: str, tag: str) -> Recipe:
    """The undo of the canary itself."""
    return recipe(cluster, "delete_pod", namespace=namespace, name=name_in(tag))


def refused(cluster: Cluster, namespace: str, tag: str, nodes: Sequence[str], words: str) -> str | None:
    """What the scheduler says, once it names `words` for every one of these nodes; None before. Places the canary."""
    path = pods_path(namespace, name_in(tag))
    pod = cluster.get(path)
    if pod is None:
        cluster.ask("POST", pods_path(namespace), _manifest(name_in(tag), nodes))
        return None
    conditions = (pod.get("status") or {}).get("conditions") or []
    told = next((str(one.get("message", "")) for one in conditions if one.get("reason") == "Unschedulable"), "")
    if f" {len(nodes)} {words}" not in told:
        if told:
            cluster.ask("DELETE", path, {"gracePeriodSeconds": 0})  # asked too early: the next one asks anew
        return None
    cluster.ask("DELETE", path, {"gracePeriodSeconds": 0})
    return told.split(". ")[0]


def _manifest(name: str, nodes: Sequence[str]) -> dict[str, Any]:
    small = {"cpu": "1m", "memory": "1Mi"}
    terms = [
        {
            "matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}],
            "matchExpressions": [{"key": NEVER, "operator": "Exists"}],
        }
        for node in nodes
    ]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    guarded = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "never",
        "image": IMAGE,
        "resources": {"requests": small, "limits": small},
        "securityContext": guarded,
    }
    spec = {
        "containers": [container],
        "affinity": affinity,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65535, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {NEVER: "runs"}}, "spec": spec}
