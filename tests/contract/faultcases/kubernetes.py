"""Faults on a cluster: the real control plane, three nodes, and a small kubelet that runs pods as processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from chaoslib_ext.world import World
from tests.contract.faultcases import Box, Case
from tests.kubebox import kubebox

ENGINE = {"service": "matching-engine", "count": 1}
NOBODY = {"service": "matching-engin"}

CASES = {
    "pod.kill": Case(ENGINE, "kill pod engine-0", NOBODY, ("kubernetes",), passing=True),
    "pod.delete": Case(ENGINE, "delete pod engine-0", NOBODY, ("kubernetes",), passing=True),
    "pod.evict": Case(ENGINE, "evict pod engine-0", NOBODY, ("kubernetes",), passing=True),
    "node.cordon": Case({"zone": "tyo-a"}, "cordon node tyo-a", {"zone": "tyo-d"}, ("kubernetes",)),
    "node.drain": Case({"node": "tyo-b"}, "drain node tyo-b", {"node": "tyo-d"}, ("kubernetes",)),
    "node.taint": Case(
        {"node": "tyo-a"}, "taint node tyo-a with muster/fault=:NoSchedule", {"node": "tyo"}, ("kubernetes",)
    ),
    "node.off": Case({"node": "tyo-a"}, "power off node tyo-a", {"zone": "tyo-d"}, ("stand-in",)),
    "workload.scale": Case(
        {"workload": "gateway", "replicas": 1},
        "scale deployment/gateway to 1",
        {"workload": "statefulset/gateway", "replicas": 1},
        ("kubernetes",),
    ),
    "workload.rollout-restart": Case(
        {"workload": "engine"}, "restart statefulset/engine", {"workload": "engines"}, ("kubernetes",)
    ),
    "workload.break": Case(
        {"workload": "engine"}, "release /bin/false to statefulset/engine", {"service": "gate"}, ("kubernetes",)
    ),
}


@contextlib.contextmanager
def _kubernetes() -> Iterator[World]:
    with kubebox() as box:
        yield box.world()


BOXES = {"kubernetes": Box(_kubernetes, shared=True)}
