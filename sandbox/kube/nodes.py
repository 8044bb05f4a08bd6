"""The nodes that the agent plays: their objects, their leases, and what happens to both when the power goes."""

import asyncio
import contextlib
import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.kube.api import NOT_FOUND, STRATEGIC, Api, ApiError, Object
from sandbox.kube.podrun import HOST_IP, KubeNode
from sandbox.kube.podstatus import now, now_micro

LINKS = "links"
"""The node of what stands for the network: it is in no zone and cannot be lost with one."""

_LEASE_S = 4
_BEAT_S = 1.0
_SIZES = (
    {"cpu": "1000", "memory": "2000000Mi"},
    {"cpu": "9900m", "memory": "19800Mi"},
    {"cpu": "1600m", "memory": "3200Mi"},
)
"""Of the first, second and further nodes of a region. The scheduler fills the emptiest machine first, and the sizes are
such that it never draws lots: a fresh sandbox has its pods in the zones where the static one has them."""

_SCHEDULABLE_S = 5.0
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}


class Nodes:
    """All nodes; `port` is where the kubelet answers, `on_power` is told of one that has its power again."""

    def __init__(self, api: Api, described: Mapping[str, Any], port: int) -> None:
        rows = described["nodes"]
        self.zones = {row["name"]: KubeNode(row["name"], row["zone"], row["region"]) for row in rows}
        self.all = {LINKS: KubeNode(LINKS, None, None), **self.zones}
        self._sizes = {node.name: _SIZES[min(_place(node, rows), len(_SIZES) - 1)] for node in self.zones.values()}
        self._api = api
        self._port = port

    async def register(self) -> None:
        """Create all node objects, ready, and wait until pods may come to all of them. Raises ApiError."""
        await asyncio.gather(*(self._register(node) for node in self.all.values()))
        deadline = time.monotonic() + _SCHEDULABLE_S
        while any(node["spec"].get("taints") for node in await self._listed()) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def keep(self) -> None:
        """Renew the lease of every node that has power, each second, and say it is ready where that is doubted."""
        while True:
            beats = [self._beat(node) for node in self.all.values() if node.powered]
            await asyncio.gather(*beats, self._look_after())
            await asyncio.sleep(_BEAT_S)

    async def _beat(self, node: KubeNode) -> None:
        with contextlib.suppress(ApiError):  # the API server is away: the next beat tries again
            await self._renew(node)

    async def _look_after(self) -> None:
        """Register nodes that came back and are not known any more; say that those are ready which are doubted."""
        with contextlib.suppress(ApiError):
            listed = {node["metadata"]["name"]: node for node in await self._listed()}
            for node in [node for node in self.all.values() if node.powered]:
                if node.name in listed and not _is_ready(listed[node.name]):
                    await self._say_ready(node)
                elif node.fresh and node.name not in listed:
                    await self._register(node)
                node.fresh = False

    async def _listed(self) -> list[Object]:
        return list((await self._api.get("/api/v1/nodes", resourceVersion="0"))["items"])

    async def _register(self, node: KubeNode) -> None:
        labels = {
            "kubernetes.io/hostname": node.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": _ARCH.get(platform.machine(), platform.machine()),
        }
        if node.zone:
            labels |= {"topology.kubernetes.io/zone": node.zone, "topology.kubernetes.io/region": node.region or ""}
        else:
            labels["muster/role"] = LINKS
        value = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name, "labels": labels}}
        with contextlib.suppress(ApiError):  # it may be there already, or be made by the next beat's complaint
            await self._api.post("/api/v1/nodes", value)
        await self._renew(node)
        await self._say_ready(node)

    async def _say_ready(self, node: KubeNode) -> None:
        rows = [
            _condition("Ready", True, "KubeletReady"),
            *(_condition(kind, False, "None") for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")),
        ]
        size = {**self._sizes.get(node.name, _SIZES[0]), "pods": "110", "ephemeral-storage": "100Gi"}
        status = {
            "capacity": size,
            "allocatable": size,
            "conditions": rows,
            "addresses": [{"type": "InternalIP", "address": HOST_IP}, {"type": "Hostname", "address": node.name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "nodeInfo": {
                "machineID": node.name,
                "systemUUID": node.name,
                "bootID": node.name,
                "kernelVersion": platform.release(),
                "osImage": "Muster sandbox",
                "containerRuntimeVersion": "process://1",
                "kubeletVersion": "v1.34.4",
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": _ARCH.get(platform.machine(), platform.machine()),
            },
        }
        await self._api.patch(f"/api/v1/nodes/{node.name}/status", {"status": status}, STRATEGIC)

    async def _renew(self, node: KubeNode) -> None:
        spec = {"holderIdentity": node.name, "leaseDurationSeconds": _LEASE_S, "renewTime": now_micro()}
        try:
            await self._api.patch(f"{_LEASES}/{node.name}", {"spec": spec})
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            value = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": node.name, "namespace": "kube-node-lease"},
                "spec": spec,
            }
            with contextlib.suppress(ApiError):
                await self._api.post(_LEASES, value)


def _place(node: KubeNode, rows: Sequence[Mapping[str, Any]]) -> int:
    return [row["name"] for row in rows if row["region"] == node.region].index(node.name)


def _condition(kind: str, holds: bool, reason: str) -> dict[str, str]:
    moment = now()
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "reason": reason,
        "message": "the sandbox's agent runs it",
        "lastHeartbeatTime": moment,
        "lastTransitionTime": moment,
    }


def _is_ready(node: Object) -> bool:
    rows = node.get("status", {}).get("conditions") or ()
    return any(row["type"] == "Ready" and row["status"] == "True" for row in rows)
