"""Evictions as kubectl drain asks for them: a PodDisruptionBudget may say no, and that is said.

Not by chaosk8s' drain_nodes, which takes one refusal for the end, looks every ten seconds only, and fails on pods
without an owner or without volumes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from chaoslib_ext import cluster_objects as objects
from chaoslib_ext.cluster import Cluster
from drills.errors import FaultError

TRY_S = 3.0
"""A budget opens again when the pod before is replaced and ready; beyond this the refusal is the answer."""

AGAIN_S = 0.1


def evict(cluster: Cluster, fault: str, pods: Sequence[tuple[str, str]], *, try_s: float = TRY_S) -> None:
    """Evict pods (namespace, name), again where a budget refuses; raises FaultError that names what it refused."""
    deadline = time.monotonic() + try_s
    left = list(pods)
    while True:
        refused = {pod: why for pod in left if (why := _evict(cluster, fault, *pod))}
        left = list(refused)
        if not left or time.monotonic() >= deadline:
            break
        time.sleep(AGAIN_S)
    if refused:
        said = "; ".join(f"{name}: {why}" for (_, name), why in refused.items())
        raise FaultError(f"{fault}: the eviction was refused: {said}")


def _evict(cluster: Cluster, fault: str, namespace: str, name: str) -> str | None:
    """None once it is accepted (or the pod is gone), else the words of the budget that refuses."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    status, answer = cluster.ask("POST", f"{objects.pods_path(namespace, name)}/eviction", body)
    if status in (200, 201, 404):
        return None
    if status == 429:
        return str(answer)
    raise FaultError(f"{fault}: the eviction of {name} answered {status}: {answer}")
