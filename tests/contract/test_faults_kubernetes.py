"""What faults on Kubernetes promise beyond what every fault does: the right cluster, the right to act, and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaoslib_ext import cluster_environment, cluster_roles
from chaoslib_ext import cluster_objects as objects
from chaoslib_ext.cluster import Cluster, Permission
from chaoslib_ext.cluster_objects import name_of
from chaoslib_ext.faults.base import build, classes
from chaoslib_ext.guardian.play import Player
from chaoslib_ext.names import load_definition
from chaoslib_ext.world import World
from drills.errors import FaultError, Refused
from drills.ledger import Ledger, State
from drills.model import Environment
from tests.contract.faultcases.kubernetes import CASES
from tests.contract.injecting import inject
from tests.kubebox import SPACE, KubeBox
from tests.standins import until

RUN = ("20260101T000000Z-test", "f1")
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture
def box(kubernetes: KubeBox) -> KubeBox:
    return kubernetes


@pytest.fixture
def world(box: KubeBox) -> World:
    until(box.full, 60)
    return box.world().tagged(*RUN)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.ndjson", RUN[0])


# -- which cluster it is -----------------------------------------------------------------------------------------------


def test_another_cluster_than_the_named_one_is_refused(box: KubeBox) -> None:
    world = box.world(uid="6f2c1d3e-0b57", kind="staging", said_by="environments/staging.yaml")
    said = r"cluster-identity: environments/staging.yaml says cluster 6f2c1d3e…, the kubeconfig's current context "
    with pytest.raises(Refused, match=said + rf'"muster-sandbox" is {box.uid[:8]}…; nothing was touched'):
        build("pod.kill", {"service": "gateway"}).targets(world)


def test_a_cluster_that_nobody_named_is_refused(box: KubeBox) -> None:
    with pytest.raises(Refused, match=f"cluster-identity.*is {box.uid}: write it under identity.kubernetes"):
        build("pod.kill", {"service": "gateway"}).targets(box.world(uid=None))


def test_a_sandbox_on_another_host_is_refused(box: KubeBox, tmp_path: Path) -> None:
    told = yaml.safe_load(Path(box.kubeconfig).read_text())
    told["clusters"][0]["cluster"]["server"] = "https://203.0.113.7:6443"
    elsewhere = tmp_path / "kubeconfig"
    elsewhere.write_text(yaml.safe_dump(told))
    with pytest.raises(Refused, match=r"not-loopback.*https://203\.0\.113\.7:6443; nothing was touched"):
        build("node.cordon", {"zone": "tyo-a"}).targets(box.world(kubeconfig=str(elsewhere)))


def test_a_context_that_is_not_there_is_refused(box: KubeBox) -> None:
    with pytest.raises(Refused, match=r"cluster-identity.*context prod-tyo"):
        build("pod.kill", {"service": "gateway"}).targets(box.world(context="prod-tyo"))


def test_a_workload_that_is_named_counts_as_its_service(world: World) -> None:
    """Else the plan would not touch its instances: no limit would hold, and the run would end at its own fault."""
    (target,) = build("workload.break", {"workload": "engine"}).targets(world)
    assert (target.name, target.service) == ("statefulset/engine", "matching-engine")


def test_no_cluster_is_refused_with_what_to_do(box: KubeBox) -> None:
    nothing = World.from_describe({"instances": [], "links": []})
    with pytest.raises(Refused, match=r"needs-kubernetes.*muster sandbox up --kubernetes"):
        build("pod.kill", {"service": "gateway"}).targets(nothing)


def test_what_the_shell_or_the_home_holds_is_never_used(
    box: KubeBox, world: World, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(Path(box.kubeconfig).read_text().replace("127.0.0.1", "203.0.113.7"))
    monkeypatch.setenv("KUBECONFIG", str(elsewhere))
    monkeypatch.setenv("KUBERNETES_HOST", "https://203.0.113.7")
    inject(build("pod.kill", {"service": "gateway", "count": 1}), world, ledger)
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED


def test_an_environment_file_is_enough(box: KubeBox, world: World, ledger: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "staging.yaml"
    service = {"on": {"kubernetes": {"namespace": SPACE, "selector": "app=matching-engine"}}}
    body = {"environment": "staging", "kind": "staging", "identity": {"kubernetes": box.uid}}
    access = {"kubeconfig": box.kubeconfig, "context": "muster-sandbox"}
    file.write_text(yaml.safe_dump({**body, "kubernetes": access, "services": {"trading": service}}))
    environment = load_definition(file)
    assert isinstance(environment, Environment)
    staging = cluster_environment.world(environment, "environments/staging.yaml").tagged(*RUN)
    before = staging.snapshot()
    witness = inject(build("pod.kill", {"service": "trading", "zone": "tyo-c"}), staging, ledger)
    assert "no longer sends traffic to engine-" in witness.texts[0]
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    assert World.diff(before, staging.snapshot()) == []


def test_an_undo_on_another_cluster_orders_nothing(world: World, ledger: Ledger) -> None:
    recipes = _planned("node.cordon", world)
    ledger.write("intent", fault_id="f1", fault="node.cordon", recipes=[_with(one, uid="other") for one in recipes])
    entry = Player(ledger, give_up_s=0.2, say=lambda _: None).undo(ledger.book.open(), "test")[0]
    assert entry.state is State.ORPHANED


def _planned(name: str, world: World) -> list[Any]:
    fault = build(name, CASES[name].params)
    return list(fault.plan_undo(fault.targets(world), world))


def _with(recipe: Any, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {**recipe, "args": {**recipe["args"], **changes}}


# -- what is allowed ---------------------------------------------------------------------------------------------------


class Account:
    """A service account with a token of its own, and the roles that we give it."""

    def __init__(self, box: KubeBox, folder: Path) -> None:
        self.box, self._made = box, list[str]()
        base = f"/api/v1/namespaces/{SPACE}/serviceaccounts"
        box.cluster.call("POST", base, {"metadata": {"name": cluster_roles.ACCOUNT}})
        token = box.cluster.order("POST", f"{base}/{cluster_roles.ACCOUNT}/token", {"spec": {}})["status"]["token"]
        told = yaml.safe_load(Path(box.kubeconfig).read_text())
        told["users"] = [{"name": one["name"], "user": {"token": token}} for one in told["users"]]
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(told))

    @property
    def world(self) -> World:
        return self.box.world(kubeconfig=str(self.kubeconfig)).tagged(*RUN)

    @property
    def cluster(self) -> Cluster:
        found = self.world.cluster
        assert found is not None
        return found

    def give(self, wanted: tuple[Permission, ...]) -> None:
        """These permissions and no others; returns when the API server acts on it."""
        self.take()
        for document in cluster_roles.documents("test", wanted, space=SPACE):
            where = f"/namespaces/{SPACE}" if document["kind"].startswith("Role") else ""
            path = f"{RBAC}{where}/{document['kind'].lower()}s"
            self.box.cluster.order("POST", path, document)
            self._made.append(f"{path}/{document['metadata']['name']}")

    def lacks(self, needed: tuple[Permission, ...], missing: list[Permission]) -> bool:
        """Whether these are all that the API server denies it of what is needed."""
        return self.cluster.denied(needed, SPACE) == missing

    def take(self) -> None:
        for path in reversed(self._made):
            self.box.cluster.call("DELETE", path)
        self._made.clear()


@pytest.fixture
def account(box: KubeBox, tmp_path: Path) -> Iterator[Account]:
    made = Account(box, tmp_path)
    yield made
    made.take()


ON_CLUSTER = sorted(name for name in CASES if getattr(classes[name], "permissions", ()))


def _needed(name: str) -> tuple[Permission, ...]:
    return tuple(dict.fromkeys(getattr(classes[name], "permissions")))  # noqa: B009 - only faults on a cluster have it


@pytest.mark.parametrize("name", ON_CLUSTER)
def test_its_role_is_enough_and_nothing_of_it_is_too_much(
    name: str, world: World, account: Account, ledger: Ledger
) -> None:
    needed, before = _needed(name), world.snapshot()
    fault = build(name, CASES[name].params)
    for one in needed:
        account.give(tuple(other for other in needed if other != one))
        until(partial(account.lacks, needed, [one]))
        with pytest.raises(Refused, match=r"not-permitted.*kubectl apply -f docs/rbac/.*nothing was touched"):
            fault.targets(account.world)
    assert World.diff(before, world.snapshot()) == []
    account.give(needed)
    until(partial(account.lacks, needed, []))
    inject(fault, account.world, ledger)
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    assert World.diff(before, world.snapshot()) == []


def test_what_is_missing_is_named(account: Account) -> None:
    needed = _needed("pod.kill")
    account.give(tuple(one for one in needed if (one.verb, one.resource) != ("delete", "pods")))
    until(lambda: len(account.cluster.denied(needed, SPACE)) == 1)
    said = f"not-permitted: pod.kill needs delete pods in {SPACE}; kubectl apply -f docs/rbac/pod-kill.yaml; nothing"
    with pytest.raises(Refused, match=said):
        build("pod.kill", {"service": "gateway"}).targets(account.world)


# -- targets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "hit"),
    [
        ({"service": "matching-engine", "zone": "tyo-b"}, 1),
        ({"selector": "app in (matching-engine,gateway)", "share": "50%"}, 3),
        ({"selector": "app=gateway", "share": "10%"}, 1),
        ({"pod": "engine-2"}, 1),
        ({"service": "gateway", "node": "tyo-c"}, 1),
    ],
)
def test_pods_are_chosen(params: dict[str, Any], hit: int, world: World) -> None:
    found = build("pod.kill", params).targets(world)
    assert len(found) == hit
    assert all(one.zone for one in found)


def test_a_service_is_found_as_the_environment_says(box: KubeBox) -> None:
    services = {"trading": {"namespace": SPACE, "selector": "app=matching-engine"}}
    world = box.world(namespace="default", services=services)
    found = build("pod.kill", {"service": "trading", "zone": "tyo-a"}).targets(world)
    assert [one.name.rpartition("-")[0] for one in found] == ["engine"]


# -- single faults -----------------------------------------------------------------------------------------------------


def test_a_pod_that_nobody_brings_back_is_not_killed(box: KubeBox, world: World) -> None:
    spec = {"containers": [{"name": "main", "image": "muster/none"}], "terminationGracePeriodSeconds": 0}
    path = objects.pods_path(SPACE)
    box.cluster.order("POST", path, {"metadata": {"name": "alone", "labels": {"app": "alone"}}, "spec": spec})
    try:
        until(lambda: objects.ready(box.cluster.get(f"{path}/alone") or {}))
        fault = build("pod.kill", {"pod": "alone"})
        with pytest.raises(FaultError, match=r"nothing would bring alone back.*nothing was touched"):
            fault.plan_undo(fault.targets(world), world)
    finally:
        box.cluster.order("DELETE", f"{path}/alone", {"gracePeriodSeconds": 0})


def test_a_budget_that_refuses_an_eviction_is_told(box: KubeBox, world: World, ledger: Ledger) -> None:
    fault = build("pod.evict", {"service": "matching-engine", "count": 2})
    path = f"/apis/policy/v1/namespaces/{SPACE}/poddisruptionbudgets"
    budget = {"minAvailable": 3, "selector": {"matchLabels": {"app": "matching-engine"}}}
    box.cluster.order("DELETE", f"{path}/engine")
    box.cluster.order("POST", path, {"metadata": {"name": "strict"}, "spec": budget})
    try:
        until(lambda: (box.cluster.get(f"{path}/strict") or {}).get("status", {}).get("currentHealthy") == 3)
        targets = fault.targets(world)
        fault.plan_undo(targets, world)
        with pytest.raises(FaultError, match=r"the eviction was refused: engine-0: .*disruption budget"):
            fault.apply(targets, world)
        assert fault.in_effect(targets, world) is None
    finally:
        box.cluster.order("DELETE", f"{path}/strict")
        budget = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "matching-engine"}}}
        box.cluster.order("POST", path, {"metadata": {"name": "engine"}, "spec": budget})


def test_the_taints_of_others_stay(box: KubeBox, world: World, ledger: Ledger) -> None:
    path = objects.node_path("tyo-a")
    kind = "application/merge-patch+json"
    theirs = {"key": "theirs", "effect": "PreferNoSchedule"}
    box.cluster.order("PATCH", path, {"spec": {"taints": [theirs]}}, kind=kind)
    try:
        inject(build("node.taint", {"node": "tyo-a", "effect": "NoExecute"}), world, ledger)
        assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
        assert objects.taints(box.cluster.get(path) or {}) == [theirs]
    finally:
        box.cluster.order("PATCH", path, {"spec": {"taints": None}}, kind=kind)


def test_what_stands_so_already_proves_nothing(box: KubeBox, world: World) -> None:
    fault = build("workload.scale", {"workload": "gateway", "replicas": 3})
    with pytest.raises(FaultError, match="deployment/gateway has 3 replicas already; nothing was touched"):
        fault.plan_undo(fault.targets(world), world)


def test_a_wrong_image_is_taken_back(world: World, ledger: Ledger) -> None:
    before = world.snapshot()
    fault = build("workload.break", {"workload": "gateway", "image": "registry.invalid/gateway:2"})
    assert "cannot get its image" in inject(fault, world, ledger).texts[0]
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    assert World.diff(before, world.snapshot()) == []


def test_the_ledger_holds_no_credentials(box: KubeBox, world: World) -> None:
    told = yaml.safe_load(Path(box.kubeconfig).read_text())
    secrets = [str(value) for one in told["users"] for value in one["user"].values()]
    said = json.dumps([_planned(name, world) for name in ON_CLUSTER])
    assert not any(secret in said for secret in secrets)


def test_nothing_is_left_in_the_cluster(box: KubeBox, world: World) -> None:
    pods = [name_of(pod) for pod in box.cluster.items(objects.pods_path(SPACE))]
    assert not any("canary" in name for name in pods)
