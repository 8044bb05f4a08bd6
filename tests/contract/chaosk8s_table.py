"""Every public action and probe of chaosk8s, in the order in which they are tried: how it is called, or why it is not.

`fails` is what it says where it does not work; `note` is what to know of one that does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

NS = {"ns": "chaos"}
CRD = {"group": "muster.test", "version": "v1", "plural": "things"}
BIG = {"group": "muster.test", "version": "v1", "plural": "bigs"}
MESH = "needs Chaos Mesh in the cluster: it only writes an object that its controllers act on"
UNPARSED = "couldn't get version/kind"
"""It hands on the text itself, and the API server wants an object."""
STALE = "needs the resourceVersion of the moment in what it is told; patch does not"
LOGS = "needs a kubelet that serves logs; the one of the tests does not, the sandbox's node agent does (kubectl logs)"


def thing(kind: str, name: str, **spec: int) -> dict[str, Any]:
    return {
        "apiVersion": "muster.test/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "chaos"},
        "spec": spec,
    }


def policy(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"podSelector": {}, "policyTypes": ["Ingress"]}}


def true(answer: Any) -> bool:  # noqa: ANN401 - as the function answers
    return answer is True


def some(answer: Any) -> bool:  # noqa: ANN401 - as the function answers
    return bool(answer)


def anything(answer: Any) -> bool:  # noqa: ANN401 - as the function answers
    return True


@dataclass(frozen=True)
class Try:
    """One call; `args` with "FILE:x" takes the path of a definition."""

    args: dict[str, Any] = field(default_factory=dict)
    want: Callable[[Any], bool] = anything
    fails: str | None = None
    note: str = ""


WEB, BAD = {"name": "web", **NS}, {"name": "bad", **NS}
PICK = {"label_selector": "app=web", **NS}

TABLE: dict[str, Try | str] = {
    # nodes, before there is one without a kubelet
    "node.probes.get_nodes": Try({}, some),
    "node.probes.all_nodes_must_be_ready_to_schedule": Try({}, true, note="does not look at cordons"),
    "node.probes.get_all_node_status_conditions": Try({}, some),
    "node.probes.verify_nodes_condition": Try({"condition_type": "Ready", "condition_value": "True"}, true),
    "node.probes.nodes_must_be_healthy": Try({}, true),
    # what there is to try the others on
    "namespace.actions.create_namespace": Try({"name": "chaos"}),
    "namespace.probes.namespace_exists": Try({"name": "chaos"}, true),
    "secret.actions.create_secret": Try({"spec_path": "FILE:secret", **NS}),
    "secret.probes.secret_exists": Try({"name": "key", **NS}, true),
    "probes.secret_exists": Try({"name": "key", **NS}, true, note="deprecated"),
    "secret.actions.delete_secret": Try({"name": "key", **NS}),
    # deployments
    "deployment.actions.create_deployment": Try({"spec_path": "FILE:web", **NS}),
    "actions.start_microservice": Try({"spec_path": "FILE:bad", **NS}, note="deprecated"),
    "deployment.probes.deployment_fully_available": Try(WEB, true),
    "deployment.probes.deployment_available_and_healthy": Try(WEB, true),
    "deployment.probes.deployment_partially_available": Try(WEB, true),
    "deployment.probes.deployment_not_fully_available": Try(BAD, true),
    "probes.deployment_is_fully_available": Try(WEB, note="deprecated"),
    "probes.deployment_is_not_fully_available": Try(BAD, note="deprecated"),
    "probes.microservice_available_and_healthy": Try(
        WEB, lambda answer: answer is None, note="deprecated; loses its answer: a tolerance of true never holds"
    ),
    "probes.all_microservices_healthy": Try({"ns": "exchange"}, true, note="deprecated; looks at phases only"),
    "probes.microservice_is_not_available": Try({"name": "nobody", **NS}, true, note="deprecated"),
    # pods
    "pod.probes.pods_in_phase": Try(PICK, true),
    "pod.probes.pods_in_conditions": Try({**PICK, "conditions": [{"type": "Ready", "status": "True"}]}, true),
    "pod.probes.pods_not_in_phase": Try({**PICK, "phase": "Failed"}, true),
    "pod.probes.count_pods": Try(PICK, lambda answer: answer == 2),
    "pod.probes.count_min_pods": Try(PICK, true),
    "pod.probes.pod_is_not_available": Try({"name": "nobody", **NS}, true, note="true where nothing matches"),
    "pod.probes.should_be_found_in_logs": Try({"pattern": "b", "value": {"main": "abc"}}, true),
    "pod.probes.read_pod_logs": LOGS,
    "probes.read_microservices_logs": LOGS,
    "pod.actions.terminate_pods": Try(PICK, lambda answer: len(answer) == 1, note="nothing that matches is a success"),
    "pod.actions.exec_in_pods": "needs a kubelet with exec: a pod of the sandbox is a process of this machine",
    # services and networks
    "service.actions.create_service_endpoint": Try({"spec_path": "FILE:service", **NS}),
    "service.probes.service_is_initialized": Try({"name": "web", **NS}, true),
    "probes.service_endpoint_is_initialized": Try(
        {"name": "web", "label_selector": "name=web", **NS}, true, note="deprecated; its default matches nothing"
    ),
    "service.actions.delete_service": Try({"name": "web", **NS}),
    "actions.remove_service_endpoint": Try({"name": "other", **NS}, note="deprecated"),
    "networking.actions.create_ingress": Try({"spec_path": "FILE:ingress", **NS}),
    "networking.probes.ingress_exists": Try({"name": "web", **NS}, true),
    "networking.actions.update_ingress": Try({"name": "web", "spec": {"metadata": {"labels": {"a": "b"}}}, **NS}),
    "networking.actions.delete_ingress": Try({"name": "web", **NS}),
    "networking.actions.create_network_policy": Try({"spec": policy("mine"), **NS}, note="no effect without a CNI"),
    "networking.actions.remove_network_policy": Try({"name": "mine", **NS}),
    "networking.actions.deny_all_ingress": Try(NS, note="no effect without a CNI"),
    "networking.actions.remove_deny_all_ingress": Try(NS),
    "networking.actions.deny_all_egress": Try(NS, note="no effect without a CNI"),
    "networking.actions.remove_deny_all_egress": Try(NS),
    "networking.actions.allow_dns_access": Try(NS, note="no effect without a CNI"),
    "networking.actions.remove_allow_dns_access": Try(NS),
    # changes of deployments
    "deployment.actions.rollout_deployment": Try(WEB, note="writes a time that ends with +00:00Z"),
    "deployment.actions.scale_deployment": Try({**WEB, "replicas": 1}),
    "actions.scale_microservice": Try({**WEB, "replicas": 2}, note="deprecated"),
    "replicaset.actions.delete_replica_set": Try(PICK),
    "actions.kill_microservice": Try({"name": "bad", "label_selector": "app=bad", **NS}, note="deprecated"),
    "deployment.actions.delete_deployment": Try(WEB),
    # the other workloads
    "statefulset.actions.create_statefulset": Try({"spec_path": "FILE:set", **NS}),
    "statefulset.probes.statefulset_fully_available": Try({"name": "set", **NS}, true),
    "statefulset.actions.scale_statefulset": Try({"name": "set", "replicas": 0, **NS}),
    "statefulset.probes.statefulset_not_fully_available": Try(
        {"name": "set", **NS}, true, note="also true at zero of zero replicas: the status leaves a zero out"
    ),
    "statefulset.actions.remove_statefulset": Try({"name": "set", **NS}),
    "daemonset.actions.create_daemon_set": Try({"spec_path": "FILE:each", **NS}),
    "daemonset.probes.daemon_set_fully_available": Try({"name": "each", **NS}, true),
    "daemonset.probes.daemon_set_available_and_healthy": Try({"name": "each", **NS}, true),
    "daemonset.probes.daemon_set_partially_available": Try({"name": "each", **NS}, true),
    "daemonset.actions.update_daemon_set": Try(
        {"name": "each", "spec": {"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}}, **NS}
    ),
    "daemonset.actions.delete_daemon_set": Try({"name": "each", **NS}),
    "daemonset.probes.daemon_set_not_fully_available": Try(
        {"name": "none", "timeout": 1, **NS}, lambda answer: answer is False
    ),
    # objects of one's own
    "crd.actions.create_custom_object": Try({**CRD, "resource": thing("Thing", "one", a=1), **NS}, some),
    "crd.probes.get_custom_object": Try({**CRD, "name": "one", **NS}, some),
    "crd.probes.list_custom_objects": Try({**CRD, **NS}, some),
    "crd.actions.patch_custom_object": Try(
        {**CRD, "name": "one", "resource": [{"op": "add", "path": "/spec/b", "value": 2}], **NS}, some
    ),
    "crd.actions.replace_custom_object": STALE,
    "crd.actions.delete_custom_object": Try({**CRD, "name": "one", **NS}),
    "crd.actions.create_cluster_custom_object": Try({**BIG, "resource": thing("Big", "two", a=1)}, some),
    "crd.probes.get_cluster_custom_object": Try({**BIG, "name": "two"}, some),
    "crd.probes.list_cluster_custom_objects": Try(BIG, some),
    "crd.actions.patch_cluster_custom_object": Try(
        {**BIG, "name": "two", "resource": [{"op": "add", "path": "/spec/b", "value": 2}]}, some
    ),
    "crd.actions.replace_cluster_custom_object": STALE,
    "crd.actions.delete_cluster_custom_object": Try({**BIG, "name": "two"}),
    "crd.actions.apply_from_json": Try({"resource": json.dumps(thing("Thing", "three"))}, fails=UNPARSED),
    "crd.actions.apply_from_yaml": Try({"resource": json.dumps(thing("Thing", "four"))}, fails=UNPARSED),
    "event.probes.get_events": Try({}, some),
    # nodes
    "node.actions.create_node": Try({"meta": {"name": "spare", "labels": {"spare": "yes"}}}),
    "node.actions.cordon_node": Try({"name": "spare"}, lambda answer: answer == ["spare"]),
    "node.actions.uncordon_node": Try({"name": "spare"}, lambda answer: answer == ["spare"]),
    "node.actions.drain_nodes": Try(
        {"name": "spare"},
        lambda answer: answer == ["spare"],
        note="looks every 10 s, gives up at the first refusal of a budget, fails on pods without owner or volumes",
    ),
    "node.actions.delete_nodes": Try({"label_selector": "spare=yes"}, note="all=True is a TypeError of its own"),
    "namespace.actions.delete_namespace": Try({"name": "chaos"}),
    **{
        f"chaosmesh.{name}": MESH
        for name in (
            "network.actions.add_latency", "network.actions.set_loss", "network.actions.duplicate_packets",
            "network.actions.corrupt_packets", "network.actions.reorder_packets", "network.actions.set_bandwidth",
            "network.actions.delete_network_fault", "network.probes.get_network_fault",
            "network.probes.get_network_faults", "stress.actions.stress_memory", "stress.actions.stress_cpu",
            "stress.actions.delete_stressor", "stress.probes.get_stressor", "stress.probes.get_stressors",
        )
    },
}  # fmt: skip
