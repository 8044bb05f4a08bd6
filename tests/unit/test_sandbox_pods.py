"""Pod manifests: what is read of them, and one clear line for every mistake."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.errors import BadUse
from sandbox.node.pods import Dial, Pod, parse, parts_of
from sandbox.node.source import BUNDLED, StaticPods
from sandbox.node.workloads import load_file, read_workload

GOOD = """
apiVersion: v1
kind: Pod
metadata:
  name: engine-0
  labels: {app: matching-engine, topology.kubernetes.io/zone: tyo-a, topology.kubernetes.io/region: tyo}
  annotations: {muster/dials: "engine-bus=order-bus:client, x=osa/y:z"}
spec:
  containers:
    - name: engine
      command: ["${PYTHON}", -m, thing]
      args: ["${PART:toxiproxy}"]
      env: [{name: A, value: "${PORT:http}"}]
      ports: [{name: http, containerPort: 8080}, {name: fixed, containerPort: 1, hostPort: 4000}]
      readinessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 2}
"""


def parsed(**changes: Any) -> Pod:  # noqa: ANN401 - any YAML value
    """GOOD with changes at dotted places; a value of None removes."""
    document = yaml.safe_load(GOOD)
    for place, value in changes.items():
        *path, last = [int(step) if step.isdigit() else step for step in place.split("__")]
        node = document
        for step in path:
            node = node[step]
        if value is None:
            del node[last]
        else:
            node[last] = value
    return parse(document, "x.yaml")


def test_reads_what_a_process_needs() -> None:
    pod = parsed()
    assert (pod.name, pod.service, pod.zone, pod.region) == ("engine-0", "matching-engine", "tyo-a", "tyo")
    assert pod.command == ("${PYTHON}", "-m", "thing", "${PART:toxiproxy}")
    assert pod.env == {"A": "${PORT:http}"}
    assert pod.ports == {"http": 8080, "fixed": 1}
    assert pod.pinned == {"fixed": 4000}
    assert pod.readiness is not None
    assert (pod.readiness.path, pod.readiness.period_s, pod.readiness.timeout_s) == ("/healthz", 2, 1)
    assert pod.restart_policy == "Always"
    assert pod.dials == (Dial("engine-bus", "order-bus", "client"), Dial("x", "y", "z", "osa"))
    assert parts_of([pod]) == {"toxiproxy"}


def test_a_tcp_probe_has_no_path() -> None:
    pod = parsed(spec__containers__0__readinessProbe={"tcpSocket": {"port": "http"}})
    assert pod.readiness is not None
    assert pod.readiness.path is None


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("kind", "Deployment", "kind: 'Deployment' is not Pod"),
        ("metadata__name", None, "metadata.name: None is not a name"),
        ("metadata__labels", {}, "metadata.labels.app"),
        ("metadata__annotations", {"muster/dials": "bus"}, "'bus' is not group=service:port"),
        ("spec__containers", [], "0 containers"),
        ("spec__containers__0__command", "sh", "'sh' is not a list"),
        ("spec__containers__0__command", [1], "1 is not a name"),
        ("spec__containers__0__env", [{"name": "A", "value": 1}], "put it in quotes"),
        ("spec__containers__0__ports", [{"name": "a"}], "containerPort: None is not a whole number"),
        ("spec__containers__0__readinessProbe", {"httpGet": {"port": "nope"}}, "'nope' is not one of the pod's ports"),
        ("spec__restartPolicy", "Sometimes", "'Sometimes' is not Always, OnFailure or Never"),
        ("spec", "x", "spec: 'x' is not a mapping"),
    ],
)
def test_a_mistake_names_file_place_and_value(place: str, value: object, words: str) -> None:
    with pytest.raises(BadUse) as caught:
        parsed(**{place: value})
    assert str(caught.value).startswith("x.yaml: ")
    assert words in str(caught.value)


def test_broken_yaml_names_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "pod.yaml"
    path.write_text("kind: Pod\nmetadata: {name: [\n")
    with pytest.raises(BadUse, match=r"pod\.yaml:3:1: "):
        load_file(path)


def test_a_folder_is_read_in_the_order_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "2.yaml").write_text(GOOD)
    (tmp_path / "1.yaml").write_text(GOOD.replace("engine-0", "first"))
    assert [pod.name for pod in StaticPods(tmp_path).pods()] == ["first", "engine-0"]


def test_a_name_used_twice_and_an_empty_folder_are_mistakes(tmp_path: Path) -> None:
    with pytest.raises(BadUse, match="no pod manifests"):
        StaticPods(tmp_path).pods()
    (tmp_path / "1.yaml").write_text(GOOD + "---" + GOOD)
    with pytest.raises(BadUse, match="engine-0 more than once"):
        StaticPods(tmp_path).pods()


def test_the_bundled_exchange_spreads_over_its_zones() -> None:
    pods = StaticPods().pods()
    zones = {service: sorted(str(pod.zone) for pod in pods if pod.service == service) for service in ("order-bus",)}
    assert zones["order-bus"] == ["tyo-a", "tyo-b", "tyo-c"]
    for service in ("matching-engine", "gateway"):
        assert len({pod.zone for pod in pods if pod.service == service}) == 2


DEPLOYMENT = """
kind: Deployment
metadata: {name: desk}
spec:
  replicas: 4
  template:
    metadata: {labels: {app: desk}, annotations: {muster/dials: "a=b:c"}}
    spec:
      nodeSelector: {topology.kubernetes.io/region: tyo}
      topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone}]
      containers: [{name: desk, command: [desk, "${HOST}"], ports: [{name: http, containerPort: 80}]}]
"""


def test_a_workload_makes_a_slot_for_each_replica_in_its_zones_in_turn() -> None:
    workload = read_workload(yaml.safe_load(DEPLOYMENT), "x.yaml")
    assert workload is not None
    pods = workload.slots()
    assert [(pod.name, pod.zone, pod.region, pod.ordinal) for pod in pods] == [
        ("desk-0", "tyo-a", "tyo", 0),
        ("desk-1", "tyo-b", "tyo", 1),
        ("desk-2", "tyo-c", "tyo", 2),
        ("desk-3", "tyo-a", "tyo", 3),
    ]
    assert {pod.service for pod in pods} == {"desk"}
    assert all(pod.has_own_host and pod.dials == (Dial("a", "b", "c"),) for pod in pods)
    assert workload.slot(1, "tyo-c").zone == "tyo-c"


@pytest.mark.parametrize(
    ("kind", "replicas", "names"),
    [("Deployment", 1, ["desk"]), ("StatefulSet", 1, ["desk-0"]), ("StatefulSet", 2, ["desk-0", "desk-1"])],
)
def test_the_one_replica_of_a_deployment_keeps_its_bare_name(kind: str, replicas: int, names: list[str]) -> None:
    document = yaml.safe_load(DEPLOYMENT)
    document["kind"], document["spec"]["replicas"] = kind, replicas
    workload = read_workload(document, "x.yaml")
    assert workload is not None
    assert [pod.name for pod in workload.slots()] == names


def test_what_runs_nothing_is_passed_over_and_what_is_not_known_is_a_mistake() -> None:
    assert read_workload({"kind": "Service"}, "x.yaml") is None
    with pytest.raises(BadUse, match=r"x\.yaml: kind: 'DaemonSet' is not Pod, Deployment or StatefulSet"):
        read_workload({"kind": "DaemonSet"}, "x.yaml")
    document = yaml.safe_load(DEPLOYMENT)
    document["spec"]["template"]["spec"]["containers"] = []
    with pytest.raises(BadUse, match=r"x\.yaml: spec\.template: spec\.containers: 0 containers"):
        read_workload(document, "x.yaml")


def test_the_bundled_manifests_are_what_a_cluster_needs() -> None:
    documents = [one for path in sorted(BUNDLED.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())]
    kinds = {(one["kind"], one["metadata"]["name"]) for one in documents}
    for name in ("nats", "engine", "gateway"):
        assert {("Service", name), ("PodDisruptionBudget", name)} <= kinds
    for one in (one for one in documents if one["kind"] in ("Deployment", "StatefulSet")):
        template = one["spec"]["template"]
        labels, spec = template["metadata"]["labels"], template["spec"]
        assert one["metadata"]["namespace"] == "exchange"
        assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert [set(volume) for volume in spec["volumes"]] == [{"name", "emptyDir"}]
        assert {"readinessProbe", "livenessProbe"} <= set(spec["containers"][0])
