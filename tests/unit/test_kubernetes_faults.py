"""What faults on Kubernetes decide without a cluster: their parameters, their words, whose client chaosk8s gets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chaoslib_ext import cluster_environment, cluster_objects
from chaoslib_ext.cluster import Cluster, Place
from chaoslib_ext.faults import chaosk8s_calls
from chaoslib_ext.faults.base import build
from chaoslib_ext.faults.kubernetes_nodes import tolerates
from chaoslib_ext.guardian import verbs
from drills.errors import Refused, UsageError
from drills.model import Environment
from drills.plan import Target

REACH = {"kubeconfig": "/k", "context": "c", "uid": "u", "server": "https://127.0.0.1:1"}


def test_a_target_is_named_in_one_way_only() -> None:
    for name, params in (
        ("pod.kill", {}),
        ("pod.kill", {"pod": "a", "service": "b"}),
        ("pod.kill", {"service": "a", "count": 1, "share": "10%"}),
        ("pod.kill", {"service": "a", "share": "0%"}),
        ("node.drain", {"node": "a", "zone": "b"}),
        ("workload.scale", {"workload": "a", "service": "b", "replicas": 1}),
        ("workload.break", {"workload": "a", "image": "b", "command": ["c"]}),
    ):
        with pytest.raises(UsageError, match=name):
            build(name, params)


def test_the_words_name_what_is_hit() -> None:
    pods = [Target(kind="pod", name=f"engine-{n}") for n in range(2)]
    assert build("pod.kill", {"service": "engine"}).describe(pods) == "kill pods engine-0, engine-1"
    node = [Target(kind="node", name="tyo-a")]
    words = build("node.taint", {"node": "tyo-a", "value": "x"}).describe(node)
    assert words == "taint node tyo-a with muster/fault=x:NoSchedule"


def test_a_label_selector_is_told_as_the_api_takes_it() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "dr", "operator": "DoesNotExist"},
        {"key": "zone", "operator": "Exists"},
    ]
    told = cluster_objects.selector_text({"matchLabels": {"app": "engine"}, "matchExpressions": expressions})
    assert told == "app=engine,tier in (a,b),!dr,zone"


def test_a_pod_tolerates_what_it_says() -> None:
    def pod(**toleration: object) -> dict[str, Any]:
        return {"spec": {"tolerations": [toleration]}}

    assert tolerates(pod(operator="Exists"), "muster/fault", "", "NoExecute")
    assert tolerates(pod(key="muster/fault", value="x", effect="NoExecute"), "muster/fault", "x", "NoExecute")
    assert not tolerates(
        pod(key="muster/fault", operator="Exists", tolerationSeconds=2), "muster/fault", "", "NoExecute"
    )
    assert not tolerates(pod(key="other", operator="Exists"), "muster/fault", "", "NoExecute")


@pytest.mark.parametrize(
    ("verb", "args", "command"),
    [
        ("schedulable", {"node": "tyo-a"}, "uncordon tyo-a"),
        ("untaint", {"node": "tyo-a", "key": "k", "effect": "NoExecute"}, "taint node tyo-a k:NoExecute-"),
        ("delete_pod", {"namespace": "x", "name": "y"}, "-n x delete pod y --ignore-not-found --now"),
    ],
)
def test_by_hand_is_kubectl_on_the_very_cluster(verb: str, args: dict[str, Any], command: str) -> None:
    said = verbs.find(f"kubernetes.{verb}").by_hand({**REACH, **args})
    assert said == f"kubectl --kubeconfig /k --context c {command}"


def test_an_environment_without_a_kubeconfig_is_refused() -> None:
    environment = Environment(environment="staging", kind="staging")
    with pytest.raises(Refused, match=r"needs-kubernetes: staging\.yaml names no kubeconfig"):
        cluster_environment.describe(environment, "staging.yaml")


def test_chaosk8s_gets_the_client_of_the_environment_and_only_within_the_call() -> None:
    import chaosk8s
    from chaosk8s.pod import actions
    from kubernetes import client

    class Mine(client.ApiClient):  # type: ignore[misc]  # the package has no types
        """A client that is told from others by its class."""

    chaosk8s_calls.load("pod.actions.terminate_pods")
    cluster: Any = SimpleNamespace(api=Mine(client.Configuration(host="https://127.0.0.1:1")))
    with chaosk8s_calls.handing(cluster):
        made = actions.create_k8s_api_client({"KUBERNETES_HOST": "https://203.0.113.7"})
        assert isinstance(made, Mine)
        assert made is not cluster.api  # a default header that a call sets stays in that call
        assert made.configuration.host == "https://127.0.0.1:1"
    assert actions.create_k8s_api_client is chaosk8s.create_k8s_api_client
    assert not isinstance(_ambient(actions), Mine)


def _ambient(actions: Any) -> Any:  # noqa: ANN401 - chaosk8s has no types
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", "/nowhere")
        return actions.create_k8s_api_client({"KUBERNETES_HOST": "https://203.0.113.7"})


def test_a_kubeconfig_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match=r"cluster-identity: the sandbox names /nowhere"):
        assert Cluster(Place("/nowhere")).server
