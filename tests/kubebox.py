"""A control plane with three nodes and a little exchange on it, for the faults on Kubernetes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext import cluster_objects as objects
from chaoslib_ext.cluster import Cluster, Place
from chaoslib_ext.world import World
from tests.standins import until

SPACE = "exchange"
NODES = ("tyo-a", "tyo-b", "tyo-c")
ROOT = Path(__file__).parent.parent

POD = {
    "terminationGracePeriodSeconds": 1,
    "automountServiceAccountToken": False,
    "containers": [{"name": "main", "image": "muster/none", "command": ["sleep", "infinity"]}],
    "volumes": [{"name": "work", "emptyDir": {}}],
}


class KubeBox:
    """The control plane, as a fault reaches it."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.kubeconfig, self.uid = str(told["kubeconfig"]), str(told["uid"])
        self.cluster = Cluster(Place(self.kubeconfig, uid=self.uid, namespace=SPACE))

    def world(self, **changes: Any) -> World:  # noqa: ANN401 - JSON
        """As faults see it; `changes` to the part `kubernetes` of the description."""
        place = {"kubeconfig": self.kubeconfig, "uid": self.uid, "namespace": SPACE, **changes}
        return World.from_describe({"instances": [], "links": [], "kubernetes": place})

    def fill(self) -> None:
        """Namespace, two workloads with a pod on every node, their services, and a budget for one of them."""
        make = self.cluster.order
        until(self.open, 120)
        make("POST", "/api/v1/namespaces", {"metadata": {"name": SPACE}})
        for app, kind in (("gateway", "Deployment"), ("matching-engine", "StatefulSet")):
            name, labels = app.rpartition("-")[2], {"app": app}
            revision = "pod-template-hash" if kind == "Deployment" else "controller-revision-hash"
            spread = {
                "maxSkew": 1, "topologyKey": objects.ZONE, "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": labels}, "matchLabelKeys": [revision],
            }  # fmt: skip
            spec: dict[str, Any] = {
                "replicas": len(NODES),
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {**POD, "topologySpreadConstraints": [spread]}},
            }
            if kind == "StatefulSet":
                spec |= {"serviceName": name, "podManagementPolicy": "Parallel"}
            meta = {"name": name, "labels": labels}
            body = {"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec}
            make("POST", f"/apis/apps/v1/namespaces/{SPACE}/{objects.PLURALS[kind]}", body)
            service = {"metadata": meta, "spec": {"clusterIP": "None", "selector": labels, "ports": [{"port": 80}]}}
            make("POST", f"/api/v1/namespaces/{SPACE}/services", service)
        budget = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "matching-engine"}}}
        body = {"metadata": {"name": "engine"}, "spec": budget}
        make("POST", f"/apis/policy/v1/namespaces/{SPACE}/poddisruptionbudgets", body)
        until(self.full, 120)

    def open(self) -> bool:
        """Whether pods may go to every node."""
        nodes = self.cluster.items("/api/v1/nodes")
        return sum(objects.ready(node) and not objects.taints(node) for node in nodes) == len(NODES)

    def full(self) -> bool:
        """Whether all pods are ready and reached by their services, and the budget allows a disruption."""
        pods = self.cluster.items(objects.pods_path(SPACE))
        serving = objects.serving(self.cluster, SPACE)
        path = f"/apis/policy/v1/namespaces/{SPACE}/poddisruptionbudgets/engine"
        budget = (self.cluster.get(path) or {}).get("status") or {}
        good = [pod for pod in pods if objects.ready(pod) and objects.uid_of(pod) in serving]
        return len(pods) == len(good) == 2 * len(NODES) and budget.get("disruptionsAllowed") == 1


@contextlib.contextmanager
def kubebox(*, filled: bool = True) -> Iterator[KubeBox]:
    """Start it, with kubectl on the PATH; skips where the parts are not built."""
    from sandbox.parts import KUBERNETES, find

    if any(not find(part).ok for part in KUBERNETES):
        pytest.skip("Kubernetes is not built: python -m sandbox parts --kubernetes")
    with tempfile.TemporaryDirectory(prefix="muster-kube-") as folder, contextlib.ExitStack() as stack:
        tools = Path(folder) / "bin"
        tools.mkdir()
        (tools / "kubectl").symlink_to(str(find(KUBERNETES[-1]).path))
        box = KubeBox(_plane(stack, folder))
        argv = [sys.executable, "-m", "tests.kubelet", box.kubeconfig, *(f"{node}={node}" for node in NODES)]
        stack.enter_context(_process(argv, None))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
            if filled:
                box.fill()
            yield box


def _plane(stack: contextlib.ExitStack, folder: str) -> dict[str, Any]:
    """Start the control plane; once more where this machine was too busy for the time that it gives itself."""
    for attempt in range(3):
        argv = [sys.executable, "-m", "sandbox.kube", f"{folder}/plane{attempt}"]
        plane = stack.enter_context(_process(argv, subprocess.PIPE))
        assert plane.stdout is not None
        line = plane.stdout.readline()
        if line:
            told: dict[str, Any] = json.loads(line)
            return told
    raise AssertionError("the control plane does not start; what it said is above")


@contextlib.contextmanager
def _process(argv: list[str], stdout: int | None) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(argv, stdout=stdout, cwd=ROOT, text=True)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
