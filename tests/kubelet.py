"""A small kubelet for tests: `python tests/kubelet.py KUBECONFIG NODE=ZONE…` runs the pods of these nodes as processes.

It looks at all pods again and again and makes them so: starts their command, restarts what ends with a back-off, says
what is ready, ends what is to be deleted. An image of `registry.invalid` cannot be pulled. It dies with its parent, and
every pod with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from chaoslib_ext.cluster import MERGE, Cluster, Place
from chaoslib_ext.httpjson import Unreachable
from drills.errors import ComponentError

BEAT_S = 0.03
STATUS = "application/strategic-merge-patch+json"


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


@dataclass
class Running:
    """One pod: its process, and what to say of it."""

    address: str
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    again_at: float = 0.0
    code: int | None = None
    said: Any = None
    ending_since: float | None = None
    started: str = field(default_factory=now)


class Kubelet:
    """The pods of some nodes."""

    def __init__(self, kubeconfig: str, nodes: dict[str, str]) -> None:
        self.cluster = Cluster(Place(kubeconfig))
        self.nodes, self.pods = nodes, dict[str, Running]()
        self._leased = 0.0
        self._count = 0
        for name, zone in nodes.items():
            self._register(name, zone)

    def _register(self, name: str, zone: str) -> None:
        labels = {
            "topology.kubernetes.io/zone": zone,
            "topology.kubernetes.io/region": zone.rpartition("-")[0],
            "kubernetes.io/hostname": name,
        }
        self.cluster.call("POST", "/api/v1/nodes", {"metadata": {"name": name, "labels": labels}})
        size = {"cpu": "64", "memory": "64Gi", "pods": "110"}
        state = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now()}
        body = {
            "status": {"capacity": size, "allocatable": size, "conditions": [state | {"lastTransitionTime": now()}]}
        }
        self.cluster.order("PATCH", f"/api/v1/nodes/{name}/status", body, kind=STATUS)
        for _ in range(100):
            seen = self.cluster.get(f"/api/v1/nodes/{name}") or {}
            if not seen["spec"].get("taints"):
                return
            time.sleep(0.05)

    def serve(self) -> None:
        parent = os.getppid()
        while os.getppid() == parent:
            with contextlib.suppress(Unreachable, ComponentError):  # a busy machine: look again
                self._round()
            time.sleep(BEAT_S)

    def _round(self) -> None:
        if time.monotonic() - self._leased > 1:
            self._lease()
        seen = {pod["metadata"]["uid"]: pod for pod in self.cluster.items("/api/v1/pods", resourceVersion="0")}
        for uid, pod in seen.items():
            if pod["spec"].get("nodeName") in self.nodes:
                self._look(uid, pod)
        for uid in set(self.pods) - set(seen):
            gone = self.pods.pop(uid)
            if gone.process:
                gone.process.kill()
                gone.process.wait()

    def _lease(self) -> None:
        self._leased = time.monotonic()
        for name in self.nodes:
            path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
            spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now()}
            if self.cluster.call("PATCH", f"{path}/{name}", {"spec": spec}, kind=MERGE)[0] == 404:
                self.cluster.call("POST", path, {"metadata": {"name": name}, "spec": spec})

    def _look(self, uid: str, pod: dict[str, Any]) -> None:
        if uid not in self.pods:
            self._count += 1
            self.pods[uid] = Running(f"10.244.{self._count // 250}.{self._count % 250 + 1}")
        one = self.pods[uid]
        if pod["metadata"].get("deletionTimestamp"):
            self._end(one, pod)
            return
        if "registry.invalid" in pod["spec"]["containers"][0]["image"]:
            self._say(one, pod, {"waiting": {"reason": "ErrImagePull"}}, ready=False)
            return
        if one.process is not None and one.process.poll() is not None:
            one.code, one.process = one.process.returncode, None
            one.restarts += 1
            one.again_at = time.monotonic() + min(5.0, 0.2 * 2**one.restarts)
        if one.process is None and time.monotonic() < one.again_at:
            self._say(one, pod, {"waiting": {"reason": "CrashLoopBackOff"}}, ready=False)
            return
        if one.process is None:
            container = pod["spec"]["containers"][0]
            argv = [*container.get("command", ["sleep", "infinity"]), *container.get("args", [])]
            one.process = subprocess.Popen(argv, start_new_session=True, preexec_fn=_die_with_parent)
            one.started = now()
        self._say(one, pod, {"running": {"startedAt": one.started}}, ready=True)

    def _end(self, one: Running, pod: dict[str, Any]) -> None:
        if one.ending_since is None:
            one.ending_since = time.monotonic()
            if one.process:
                one.process.terminate()
        grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
        if one.process and one.process.poll() is None and time.monotonic() - one.ending_since < grace:
            return
        if one.process:
            one.process.kill()
            one.process.wait()
        self.cluster.call("DELETE", self._path(pod), {"gracePeriodSeconds": 0})

    def _say(self, one: Running, pod: dict[str, Any], state: dict[str, Any], *, ready: bool) -> None:
        told = (state, ready, one.restarts)
        if one.said == told:
            return
        container = pod["spec"]["containers"][0]
        last = {} if one.code is None else {"terminated": {"exitCode": one.code, "finishedAt": now()}}
        shown = {
            "name": container["name"], "image": container["image"], "imageID": "", "ready": ready,
            "restartCount": one.restarts, "state": state, "lastState": last,
        }  # fmt: skip
        flags = {"Initialized": True, "ContainersReady": ready, "Ready": ready, "PodScheduled": True}
        conditions = [{"type": k, "status": str(v), "lastTransitionTime": now()} for k, v in flags.items()]
        status = {
            "phase": "Running" if one.process else "Pending", "podIP": one.address, "hostIP": "10.0.0.1",
            "podIPs": [{"ip": one.address}], "startTime": one.started, "conditions": conditions,
            "containerStatuses": [shown],
        }  # fmt: skip
        if self.cluster.call("PATCH", f"{self._path(pod)}/status", {"status": status}, kind=MERGE)[0] == 200:
            one.said = told

    @staticmethod
    def _path(pod: dict[str, Any]) -> str:
        return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


if __name__ == "__main__":
    Kubelet(sys.argv[1], dict(one.split("=") for one in sys.argv[2:])).serve()
