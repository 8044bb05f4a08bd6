"""What the faults on pods share: how pods are chosen, what brings them back, and the proof that one is gone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, StringConstraints, model_validator

from chaoslib_ext import cluster_objects as objects
from chaoslib_ext.cluster import Cluster
from chaoslib_ext.cluster_objects import Object, Workload, labels_of, name_of, uid_of
from chaoslib_ext.faults.base import Recipe, Witness
from chaoslib_ext.faults.kubernetes import ClusterFault, ended, near, nothing, process_of, settle
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.plan import Target

Share = Annotated[str, StringConstraints(pattern=r"^(100|[1-9][0-9]?)%$")]


@dataclass(frozen=True, slots=True)
class PodBefore:
    """A pod as it was: what brings it back, who sent it traffic, its process where that runs on this machine."""

    namespace: str
    uid: str
    workload: Workload
    mates: frozenset[str]
    services: tuple[str, ...]
    process: tuple[int, float] | None


class PodFault(ClusterFault):
    """Base of faults on pods: one by name, or some of those of a service or selector."""

    service: str | None = Field(default=None, description="Service whose pods are hit.")
    selector: str | None = Field(default=None, description="Label selector of the pods, such as app=engine,tier!=dr.")
    pod: str | None = Field(default=None, description="One pod by name.")
    zone: str | None = Field(default=None, description="Only pods on nodes of this zone.")
    node: str | None = Field(default=None, description="Only pods on this node.")
    role: str | None = Field(default=None, description="Only pods in this role when it is injected, such as primary.")
    count: int | None = Field(default=None, ge=1, description="So many of them, in the order of their names.")
    share: Share | None = Field(default=None, description="Such a share of them, rounded down, at least one.")

    @model_validator(mode="after")
    def _one_way(self) -> PodFault:
        if sum(one is not None for one in (self.service, self.selector, self.pod)) != 1:
            raise ValueError("give one of service, selector and pod")
        if self.count is not None and self.share is not None:
            raise ValueError("give either count or share")
        return self

    def targets(self, world: World) -> list[Target]:
        """The pods as they are now. Raises Refused."""
        cluster = self.cluster(world)
        namespace = self.space(cluster)
        query = None if self.pod else self.selector or self.chosen(cluster)
        seen = cluster.items(objects.pods_path(namespace), labelSelector=query)
        pods = [one for one in seen if self.pod in (None, name_of(one)) and runs(one)]
        if not pods:
            raise nothing(*self._missed(cluster, namespace, [name_of(one) for one in seen]))
        nodes = {name_of(node): labels_of(node) for node in cluster.items("/api/v1/nodes")}
        found = sorted((self._target(one, nodes, world) for one in pods), key=lambda one: one.name)
        on = {name_of(one): one["spec"].get("nodeName") for one in pods}
        hit = [one for one in found if self._meant(one, on[one.name])]
        if not hit:
            held = ", ".join(
                f"{one.name} is {one.role or 'silent'} in {one.zone} on {on[one.name]}" for one in found[:6]
            )
            words = {"zone": self.zone, "node": self.node, "role": self.role}
            asked = ", ".join(f"{key} {value!r}" for key, value in words.items() if value)
            raise nothing(f"{asked} of {self.service or self.selector or self.pod}", held)
        return hit[: self._many(len(hit))]

    def _missed(self, cluster: Cluster, namespace: str, seen: Sequence[str]) -> tuple[str, str]:
        if self.pod:
            return f"pod {self.pod!r} in {namespace}", near(self.pod, seen)
        what = f"service {self.service!r}" if self.service else f"selector {self.selector!r}"
        apps = {labels_of(one).get("app", "") for one in cluster.items(objects.pods_path(namespace))} - {""}
        return f"{what} in {namespace}", near(str(self.service or ""), sorted(apps))

    def _target(self, pod: Object, nodes: dict[str, Any], world: World) -> Target:
        place = nodes.get(str(pod["spec"].get("nodeName"))) or {}
        return Target(
            kind="pod",
            name=name_of(pod),
            service=self.service or labels_of(pod).get("app"),
            role=self._role(pod, world) if self.role else None,
            zone=place.get(objects.ZONE),
            region=place.get(objects.REGION),
        )

    def _role(self, pod: Object, world: World) -> str | None:
        label = self._spec(self.reach(world)).get("role_label")
        if label:
            return labels_of(pod).get(label)
        row = next((row for row in world.describe.get("instances", ()) if row.get("pod") == name_of(pod)), None)
        return world.role(str(row["name"])) if row else None

    def _meant(self, one: Target, node: str | None) -> bool:
        return self.zone in (None, one.zone) and self.node in (None, node) and self.role in (None, one.role)

    def _many(self, found: int) -> int:
        if self.share:
            return max(1, found * int(self.share.rstrip("%")) // 100)
        return self.count or found

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Wait until what owns them stands as now; each workload once. Raises FaultError."""
        cluster = self.reach(world)
        names = [(self.space(cluster), target.name) for target in targets]
        for target, before in zip(targets, pods_before(self.name, cluster, names, world), strict=True):
            self.remember(target.name, before)
        return [settle(cluster, one) for one in dict.fromkeys(self.former(target).workload for target in targets)]

    def former(self, target: Target) -> PodBefore:
        """The pod as plan_undo saw it."""
        seen = self.before(target.name)
        assert isinstance(seen, PodBefore)
        return seen

    def went(self, targets: Sequence[Target], world: World, *, at_once: bool) -> Witness | None:
        """Each pod is gone (or, unless `at_once`, on its way out), as others than the API call show."""
        cluster, texts = self.reach(world), []
        serving = objects.serving(cluster, self.space(cluster))
        for target in targets:
            said = gone(cluster, target.name, self.former(target), serving, at_once=at_once)
            if said is None:
                return None
            texts += said
        return Witness(tuple(texts), time.monotonic_ns())


def pods_before(fault: str, cluster: Cluster, names: Sequence[tuple[str, str]], world: World) -> list[PodBefore]:
    """These pods (namespace, name) as they are now. Raises FaultError for one that does not run, or has no owner."""
    spaces = {namespace for namespace, _ in names}
    serving = {space: objects.serving(cluster, space) for space in spaces}
    found = []
    for namespace, name in names:
        pod = cluster.get(objects.pods_path(namespace, name))
        if pod is None or not runs(pod):
            raise FaultError(f"{fault}: {name} does not run any more; nothing was touched")
        workload = objects.owner(cluster, pod)
        if workload is None:
            said = f"{fault}: nothing would bring {name} back: no owner of it that we know"
            raise FaultError(f"{said}; nothing was touched")
        mates = frozenset(uid_of(one) for one in objects.pods_of(cluster, workload))
        services = tuple(sorted(set(serving[namespace].get(uid_of(pod), ()))))
        found.append(PodBefore(namespace, uid_of(pod), workload, mates, services, process_of(world, name)))
    return found


def gone(
    cluster: Cluster, name: str, before: PodBefore, serving: dict[str, list[str]], *, at_once: bool
) -> list[str] | None:
    """What shows that a pod is gone: its process, the services that no longer reach it, the one in its place."""
    pod = cluster.get(objects.pods_path(before.namespace, name))
    there = pod is not None and uid_of(pod) == before.uid
    if there and (at_once or pod is None or not objects.terminating(pod)):
        return None
    texts = []
    if before.process and (at_once or not there):
        if not ended(before.process):
            return None
        texts.append(f"pid {before.process[0]} of {name} is gone")
    if before.services:
        if serving.get(before.uid):
            return None
        texts.append(f"{', '.join(before.services)} no longer sends traffic to {name}")
    if not texts:
        new = [one for one in objects.pods_of(cluster, before.workload) if uid_of(one) not in before.mates]
        if not new:
            return None
        texts.append(f"{before.workload.reference} has made {name_of(new[0])} in the place of {name}")
    return texts


def runs(pod: Object) -> bool:
    """Whether it runs and is not asked to end."""
    return pod["status"].get("phase") == "Running" and not objects.terminating(pod)
