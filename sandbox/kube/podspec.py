"""From a pod of the API server to an instance of the sandbox: whose it is, and what its process needs.

The name of the instance (its slot) is the workload's and the pod's number in it, so that engine-0 is engine-0 whatever
its pod is called. A pod of a StatefulSet has its number in its name; those of a Deployment take the lowest free one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.errors import BadUse
from sandbox.node.pods import Pod, Readiness, read_pod
from sandbox.node.reader import Reader

HASH = "pod-template-hash"
HOME = "exchange"
"""The namespace whose workloads keep their bare names; others' are preceded by theirs."""


@dataclass(frozen=True)
class Owner:
    """The workload of a pod; `ordinal` None: any free one; `keeps`: its volume outlives it; `alone`: it is its own."""

    workload: str
    ordinal: int | None
    keeps: bool = False
    alone: bool = False


@dataclass(frozen=True)
class Liveness:
    """After `failures` failed probes in a row the process is ended and started again."""

    probe: Readiness
    delay_s: float
    failures: int


def owner_of(pod: Mapping[str, Any]) -> Owner:
    """The workload that a pod belongs to; a pod that nobody owns, or a Job, is its own."""
    meta = pod["metadata"]
    prefix = "" if meta["namespace"] == HOME else f"{meta['namespace']}."
    name = str(meta["name"])
    owner = next((ref for ref in meta.get("ownerReferences") or () if ref.get("controller")), None)
    if owner and owner["kind"] == "ReplicaSet":
        template = (meta.get("labels") or {}).get(HASH, "")
        return Owner(prefix + str(owner["name"]).removesuffix(f"-{template}"), None)
    ordinal = name.rpartition("-")[2]
    if owner and owner["kind"] == "StatefulSet" and ordinal.isdigit():
        # the sandbox has no storage class: the folder of such a pod stands for its persistent volume
        return Owner(prefix + str(owner["name"]), int(ordinal), keeps=True)
    return Owner(prefix + name, 0, alone=True)


def to_pod(pod: Mapping[str, Any], name: str, zone: str | None, region: str | None, ordinal: int) -> Pod:
    """The instance `name` for a pod of the API server, on a node in `zone`; raises BadUse for what we cannot run."""
    meta, spec = pod["metadata"], dict(pod["spec"])
    containers = spec.get("containers") or []
    if spec.get("initContainers"):
        raise BadUse(f"{meta['name']}: init containers are not run here")
    spec["containers"] = [_named_ports(container) for container in containers]
    labels = dict(meta.get("labels") or {})
    labels["app"] = labels.get("app") or owner_of(pod).workload
    top = {"metadata": {**meta, "labels": labels}, "spec": spec}
    read = read_pod(Reader(f"pod {meta['namespace']}/{meta['name']}"), top, name)
    return Pod(**{**vars(read), "zone": zone, "region": region or read.region, "ordinal": ordinal})


def liveness_of(pod: Mapping[str, Any]) -> Liveness | None:
    """The liveness probe of the one container, where it has one that asks a port."""
    container = _named_ports(pod["spec"]["containers"][0])
    probe = container.get("livenessProbe")
    if not probe or not (probe.get("httpGet") or probe.get("tcpSocket")):
        return None
    http = probe.get("httpGet")
    readiness = Readiness(
        port=(http or probe["tcpSocket"])["port"],
        path=http.get("path", "/") if http else None,
        period_s=probe.get("periodSeconds", 10),
        timeout_s=probe.get("timeoutSeconds", 1),
    )
    return Liveness(readiness, probe.get("initialDelaySeconds", 0), probe.get("failureThreshold", 3))


def _named_ports(container: Mapping[str, Any]) -> dict[str, Any]:
    """The container with a name for each port, and its probes by name: in Kubernetes both may be numbers."""
    changed = dict(container)
    ports = [dict(port) for port in container.get("ports") or ()]
    for port in ports:
        port.setdefault("name", str(port["containerPort"]))
    changed["ports"] = ports
    names = {port["containerPort"]: port["name"] for port in ports}
    for key in ("readinessProbe", "livenessProbe"):
        probe = {**(container.get(key) or {})}
        for kind in ("httpGet", "tcpSocket"):
            if probe.get(kind):
                port = probe[kind].get("port")
                probe[kind] = {**probe[kind], "port": names.get(port, port)}
        if not (probe.get("httpGet") or probe.get("tcpSocket")):
            probe = {}  # a command inside the container: there is no inside
        changed[key] = probe
    return changed
