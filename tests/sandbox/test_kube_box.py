"""The exchange on its own Kubernetes: kubectl and the agent see one world, and what one does the other shows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import orjson
import psutil
import pytest

from sandbox.exchange.signing import account_secret, sign
from tests.sandbox.box import SERVE, TestBox, until
from tests.sandbox.gateway_box import ORDER, now_ms
from tests.sandbox.kube_box import Kubectl, built

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(300), built]

ZONES = {"tyo-a", "tyo-b", "tyo-c"}
UP_S = 150
PLENTY_S = 40  # both of a machine that is busy with something else
WEB = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: exchange}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: none
          command: [{SERVE}]
          ports: [{{name: http, containerPort: 80}}]
          readinessProbe: {{httpGet: {{path: /, port: 80}}, periodSeconds: 1}}
          livenessProbe: {{httpGet: {{path: /, port: http}}, periodSeconds: 1, failureThreshold: 2}}
"""


@dataclass
class KubeBox:
    """The sandbox on Kubernetes, and kubectl in its namespace."""

    box: TestBox
    kubectl: Kubectl
    described: dict[str, Any]

    def view(self, name: str) -> dict[str, Any]:
        return self.box.view(name)

    def pods(self, app: str) -> list[dict[str, Any]]:
        return self.kubectl.items("pods", "-n", "exchange", "-l", f"app={app}")

    def zones(self, app: str) -> list[str]:
        return sorted(pod["spec"]["nodeName"] for pod in self.pods(app))

    def ready(self, node: str) -> str:
        """The status of a node's Ready condition."""
        rows = self.kubectl.json("get", "node", node)["status"]["conditions"]
        return next(str(row["status"]) for row in rows if row["type"] == "Ready")

    def all_ready(self) -> bool:
        rows = self.box.call("GET", "/instances")[1]
        return all(row["ready"] for row in rows)

    def trade(self, ident: str) -> int:
        """Place an order at the first gateway that answers; the code of its answer."""
        stamp, account = str(now_ms()), "acct-1"
        body = orjson.dumps({**ORDER, "category": "linear", "orderLinkId": ident})
        secret = account_secret(Path(self.described["secret_file"]).read_text().strip().encode(), account)
        headers = {
            "X-BAPI-API-KEY": account,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-RECV-WINDOW": "5000",
            "X-BAPI-SIGN": sign(secret, f"{stamp}{account}5000{body.decode()}"),
        }
        for base in self.described["venue"]["rest"]:
            try:
                with urlopen(Request(f"{base}/v5/order/create", body, headers), timeout=5) as answer:
                    return int(orjson.loads(answer.read())["retCode"])
            except OSError:
                continue
        return -1


@pytest.fixture(scope="module")
def kube(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeBox]:
    """One for all tests, which leave it as they found it; its end is the last test's, after which nothing is left."""
    made = TestBox(tmp_path_factory.mktemp("box"))
    try:
        with made.popen("up", "--kubernetes") as process:
            assert process.communicate(timeout=UP_S)[1].endswith("kubernetes 1.34.4)\n")
        described = made.describe()
        yield KubeBox(made, Kubectl(Path(described["kubernetes"]["kubeconfig"])), described)
    finally:
        assert made.run("down").returncode == 0
        assert made.processes() == []


@pytest.fixture
def steady(kube: KubeBox) -> KubeBox:
    """Every instance ready, whatever the test before did."""
    until(kube.all_ready, PLENTY_S)
    return kube


def test_it_is_the_same_exchange_as_without_and_kubectl_sees_it(steady: KubeBox) -> None:
    described, kubectl = steady.described, steady.kubectl
    assert described["features"] == ["kubernetes"]
    assert described["kubernetes"]["uid"] == kubectl.json("get", "namespace", "kube-system")["metadata"]["uid"]
    assert described["kubernetes"]["namespace"] == "exchange"
    names = ["toxiproxy", "nats-0", "nats-1", "nats-2", "engine-0", "engine-1", "gateway-0", "gateway-1", "resolver"]
    assert [row["name"] for row in described["instances"]] == names
    pods = {pod["metadata"]["name"]: pod for pod in kubectl.items("pods", "-n", "exchange")}
    for row in described["instances"]:
        pod = pods.pop(row["pod"])
        assert (pod["spec"]["nodeName"], row["node"]) == (row["zone"] or "links",) * 2
        assert pod["status"]["containerStatuses"][0]["containerID"] == f"process://{steady.view(row['name'])['pid']}"
        answer = steady.box.call("GET", f"/resolve/{pod['status']['podIP']}")[1]
        assert answer["endpoints"] == [{key: row[key] for key in ("name", "host", "ports")}]
    assert pods == {}
    told = orjson.loads(steady.box.run("up", "--json", "--kubernetes").stdout)
    assert told["instances"] == steady.box.describe()["instances"], "who starts it must know where its pods are"
    assert set(steady.zones("order-bus")) == ZONES
    assert len(set(steady.zones("matching-engine"))) == len(set(steady.zones("gateway"))) == 2
    assert f"KUBECONFIG={kubectl.kubeconfig}" in steady.box.run("env").stdout


def test_a_service_is_resolved_to_its_ready_pods(steady: KubeBox) -> None:
    hosts = sorted(row["host"] for row in steady.described["instances"] if row["service"] == "gateway")
    for name in ("gateway", "gateway.exchange.svc.cluster.local"):
        assert sorted(steady.box.call("GET", f"/resolve/{name}")[1]["addresses"]) == hosts
    assert steady.box.call("GET", "/resolve/nobody")[0] == 404
    slices = steady.kubectl.items("endpointslices", "-n", "exchange", "-l", "kubernetes.io/service-name=gateway")
    assert sum(len(one["endpoints"]) for one in slices) == 2


def test_logs_are_those_of_the_pod(steady: KubeBox) -> None:
    kubectl, pod = steady.kubectl, steady.view("gateway-0")["pod"]
    whole = kubectl("logs", "-n", "exchange", pod)
    assert "ready" in whole
    assert kubectl("logs", "-n", "exchange", pod, "--tail=1") == whole.splitlines(keepends=True)[-1]


def test_a_killed_process_is_restarted_in_its_pod(steady: KubeBox) -> None:
    before = steady.view("gateway-1")
    psutil.Process(before["pid"]).kill()
    until(lambda: steady.view("gateway-1")["pid"] not in (None, before["pid"]))
    count = before["restarts"] + 1

    def told() -> bool:
        status = steady.kubectl.json("get", "pod", "-n", "exchange", before["pod"])["status"]["containerStatuses"][0]
        return bool(status["restartCount"] == count and status["ready"])

    until(told, PLENTY_S)
    assert "ready" in steady.kubectl("logs", "-n", "exchange", before["pod"], "--previous")


def test_a_deleted_pod_is_replaced_in_its_place_and_trading_goes_on(steady: KubeBox) -> None:
    assert steady.trade("before") == 0
    before = {name: steady.view(name) for name in ("gateway-0", "engine-0")}
    pods = [str(row["pod"]) for row in before.values()]
    steady.kubectl("delete", "pod", "-n", "exchange", *pods, "--grace-period=0", "--force")
    until(lambda: all(steady.view(name)["pid"] != row["pid"] for name, row in before.items()))
    until(lambda: steady.trade(f"after-{time.monotonic_ns()}") == 0, PLENTY_S)
    until(steady.all_ready, PLENTY_S)
    after = {row["name"]: row for row in steady.box.describe()["instances"]}
    for row in steady.described["instances"]:
        assert {**after[row["name"]], "pod": 0, "zone": 0, "node": 0} == {**row, "pod": 0, "zone": 0, "node": 0}


def test_a_workload_of_ones_own_comes_grows_and_goes(steady: KubeBox) -> None:
    kubectl, names = steady.kubectl, [row["name"] for row in steady.described["instances"]]
    kubectl("apply", "-f", "-", stdin=WEB)
    kubectl("scale", "-n", "exchange", "deployment", "web", "--replicas=2")
    kubectl("rollout", "status", "-n", "exchange", "deployment", "web", f"--timeout={PLENTY_S}s")
    rows = {row["name"]: row for row in steady.box.describe()["instances"]}
    assert [name for name in rows if name not in names] == ["web-0", "web-1"]
    assert urlopen(rows["web-1"]["http"], timeout=5).status == 200
    frozen = steady.view("web-1")
    psutil.Process(frozen["pid"]).suspend()  # the liveness probe sees to it
    until(lambda: steady.view("web-1")["restarts"] == 1 and steady.view("web-1")["ready"], PLENTY_S)
    kubectl("delete", "-n", "exchange", "deployment", "web")
    until(lambda: [row["name"] for row in steady.box.describe()["instances"]] == names, PLENTY_S)


def test_what_cannot_be_run_says_why(steady: KubeBox) -> None:
    steady.kubectl("create", "deployment", "imaged", "-n", "exchange", "--image=nginx")

    def said() -> list[str]:
        states = [pod["status"].get("containerStatuses", [{}])[0] for pod in steady.pods("imaged")]
        return [state.get("state", {}).get("waiting", {}).get("message", "") for state in states]

    until(lambda: any("images are never pulled" in text for text in said()), PLENTY_S)
    steady.kubectl("delete", "deployment", "imaged", "-n", "exchange")
    until(lambda: not steady.pods("imaged"))


def test_the_gateways_roll_and_grow(steady: KubeBox) -> None:
    kubectl = steady.kubectl
    kubectl("scale", "-n", "exchange", "deployment", "gateway", "--replicas=3")
    kubectl("rollout", "status", "-n", "exchange", "deployment", "gateway", f"--timeout={PLENTY_S}s")
    assert set(steady.zones("gateway")) == ZONES
    assert "gateway-2>engine-0" in [link["name"] for link in steady.box.describe()["links"]]
    kubectl("scale", "-n", "exchange", "deployment", "gateway", "--replicas=2")
    until(lambda: steady.box.describe()["links"] == steady.described["links"], PLENTY_S)
    before = {pod["metadata"]["name"] for pod in steady.pods("gateway")}
    kubectl("rollout", "restart", "-n", "exchange", "deployment", "gateway")
    kubectl("rollout", "status", "-n", "exchange", "deployment", "gateway", f"--timeout={PLENTY_S}s")
    assert {steady.view(name)["pod"] for name in ("gateway-0", "gateway-1")}.isdisjoint(before)


def test_a_node_without_power_is_not_ready_and_what_can_moves(steady: KubeBox) -> None:
    node = steady.view("gateway-0")["node"]
    lost = next(one["instances"] for one in steady.box.call("GET", "/nodes")[1] if one["name"] == node)
    assert "gateway-0" in lost
    stateful = next(name for name in lost if name.startswith("nats"))
    began = time.monotonic()
    status, shown = steady.box.call("POST", f"/nodes/{node}/off")
    assert (status, shown["power"]) == (200, "off")
    assert [name for name in lost if steady.view(name)["pid"]] == []
    until(lambda: steady.ready(node) != "True", 15)
    assert time.monotonic() - began < 10  # 5 s where nothing else runs; measured by benchmarks/bench_kubernetes.py
    until(lambda: steady.view("gateway-0")["ready"] and steady.view("gateway-0")["node"] != node, PLENTY_S)
    until(lambda: steady.trade(f"moved-{time.monotonic_ns()}") == 0, PLENTY_S)
    assert steady.view(stateful)["pid"] is None  # nobody knows whether it still runs there: its pod waits for the node
    assert steady.box.call("POST", f"/nodes/{node}/on")[1]["power"] == "on"
    until(lambda: steady.ready(node) == "True", PLENTY_S)
    until(steady.all_ready, PLENTY_S)


def test_a_drained_node_is_left_and_its_budget_is_kept(steady: KubeBox) -> None:
    kubectl, node = steady.kubectl, steady.view("gateway-1")["node"]
    kubectl("drain", node, "--delete-emptydir-data", f"--timeout={PLENTY_S}s")
    try:
        assert [
            pod["metadata"]["name"] for pod in kubectl.items("pods", "-A", f"--field-selector=spec.nodeName={node}")
        ] == []
        until(lambda: steady.view("gateway-1")["ready"] and steady.view("gateway-1")["node"] != node, PLENTY_S)
        other = next(pod for pod in steady.pods("order-bus") if pod["spec"].get("nodeName"))
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": other["metadata"]["name"]}}
        path = f"/api/v1/namespaces/exchange/pods/{other['metadata']['name']}/eviction"
        refused = kubectl.run("create", "--raw", path, "-f", "-", stdin=orjson.dumps(body).decode())
        assert "disruption budget" in refused.stderr
    finally:
        kubectl("uncordon", node)
    until(steady.all_ready, PLENTY_S)


def test_a_killed_agent_leaves_nothing(kube: KubeBox) -> None:
    kube.box.agent().kill()
    assert kube.box.run("down").returncode == 0
    assert kube.box.processes() == []
    assert sorted(path.name for path in kube.box.root.iterdir()) == ["agent.log", "lock", "logs", "truth"]
