"""Workloads: Deployments and StatefulSets, and the slots for instances that they make.

A slot is a pod with a name and a zone of its own: `engine-0`, `engine-1` …; the one replica of a Deployment keeps
its bare name. Without a scheduler the slots of a workload that is spread over zones go to its region's zones in turn.
Objects that only an API server has a use for (Services, PodDisruptionBudgets …) are passed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from sandbox.errors import BadUse
from sandbox.node.pods import REGION, ZONE, Pod, parse, read_pod
from sandbox.node.reader import Reader

ZONES = {"tyo": ("tyo-a", "tyo-b", "tyo-c"), "sgp": ("sgp-a", "sgp-b", "sgp-c")}
"""The nodes of each region, by name; each is a zone of its own."""

_RUN = ("Pod", "Deployment", "StatefulSet")
_PASSED_OVER = ("Namespace", "Service", "PodDisruptionBudget", "ConfigMap", "ServiceAccount")


@dataclass(frozen=True)
class Workload:
    """One object that makes instances: `template` is their pod, without zone and under the workload's name."""

    kind: str
    name: str
    replicas: int
    spread: bool
    template: Pod

    def slot(self, ordinal: int, zone: str | None) -> Pod:
        """The instance of this ordinal, in `zone`."""
        return replace(self.template, name=self.slot_name(ordinal), zone=zone, ordinal=ordinal)

    def slot_name(self, ordinal: int) -> str:
        """The name of the instance of this ordinal."""
        alone = self.kind == "Pod" or (self.kind == "Deployment" and self.replicas == 1)
        return self.name if alone else f"{self.name}-{ordinal}"

    def slots(self) -> list[Pod]:
        """All its instances, spread over the zones of its region in turn."""
        zones = ZONES.get(self.template.region or "", ()) if self.spread else ()
        return [
            self.slot(ordinal, zones[ordinal % len(zones)] if zones else self.template.zone)
            for ordinal in range(self.replicas)
        ]


def load_workloads(path: Path) -> list[Workload]:
    """The workloads of one manifest file, in order; raises BadUse with file, place and value of the first mistake."""
    try:
        documents = list(yaml.safe_load_all(path.read_text()))
    except OSError as error:
        raise BadUse(f"{path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise BadUse(f"{place}: {error.problem}") from error
    found = [read_workload(document, str(path)) for document in documents if document is not None]
    return [workload for workload in found if workload is not None]


def load_file(path: Path) -> list[Pod]:
    """The slots of one manifest file, in order; raises BadUse as `load_workloads` does."""
    return [pod for workload in load_workloads(path) for pod in workload.slots()]


def read_workload(document: object, source: str) -> Workload | None:
    """One workload from a manifest already read from YAML, None for an object that runs nothing; raises BadUse."""
    read = Reader(source)
    top = read.mapping(document, "manifest")
    kind = top.get("kind")
    if kind in _PASSED_OVER:
        return None
    if kind not in _RUN:
        read.fail("kind", f"{kind!r} is not {', '.join(_RUN[:-1])} or {_RUN[-1]}")
    if kind == "Pod":
        pod = parse(document, source)
        return Workload("Pod", pod.name, 1, False, pod)
    name = read.text(read.mapping(top.get("metadata"), "metadata").get("name"), "metadata.name")
    spec = read.mapping(top.get("spec"), "spec")
    inner = Reader(f"{source}: spec.template")
    template = inner.mapping(spec.get("template"), "template")
    pod_spec = inner.mapping(template.get("spec"), "spec")
    spread = inner.items(pod_spec.get("topologySpreadConstraints"), "spec.topologySpreadConstraints")
    selector = inner.mapping(pod_spec.get("nodeSelector"), "spec.nodeSelector")
    pod = read_pod(inner, template, name)
    return Workload(
        kind=kind,
        name=name,
        replicas=read.number(spec.get("replicas", 1), "spec.replicas"),
        spread=_over_zones(inner, spread),
        template=replace(pod, region=selector.get(REGION, pod.region), zone=selector.get(ZONE, pod.zone)),
    )


def _over_zones(read: Reader, constraints: Sequence[object]) -> bool:
    place = "spec.topologySpreadConstraints"
    return any(read.mapping(item, f"{place}[{i}]").get("topologyKey") == ZONE for i, item in enumerate(constraints))
