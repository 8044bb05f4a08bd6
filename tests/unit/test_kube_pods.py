"""Pods of an API server as instances of the sandbox: which slot, which process, which status."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.errors import BadUse
from sandbox.kube import podstatus
from sandbox.kube.podspec import Owner, liveness_of, owner_of, to_pod
from sandbox.kube.slots import Slots
from sandbox.node.pods import Pod


def pod(
    name: str, kind: str | None = None, owner: str = "", namespace: str = "exchange", **spec: object
) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "command": ["run"], "ports": [{"containerPort": 80}], **spec}
    meta: dict[str, Any] = {"name": name, "namespace": namespace, "uid": name, "labels": {"pod-template-hash": "5f"}}
    if kind:
        meta["ownerReferences"] = [{"kind": kind, "name": owner, "controller": True}]
    return {"metadata": meta, "spec": {"containers": [container], "restartPolicy": spec.pop("policy", "Always")}}


@pytest.mark.parametrize(
    ("one", "owner"),
    [
        (pod("gateway-5f-abc", "ReplicaSet", "gateway-5f"), Owner("gateway", None)),
        (pod("engine-1", "StatefulSet", "engine"), Owner("engine", 1, keeps=True)),
        (pod("alone"), Owner("alone", 0, alone=True)),
        (pod("once-x1", "Job", "once"), Owner("once-x1", 0, alone=True)),
        (pod("web-5f-abc", "ReplicaSet", "web-5f", "other"), Owner("other.web", None)),
    ],
)
def test_whose_a_pod_is(one: dict[str, Any], owner: Owner) -> None:
    assert owner_of(one) == owner


def test_a_replacement_waits_for_the_slot_of_the_one_that_leaves_and_a_further_one_gets_a_new_slot() -> None:
    slots, gateway = Slots({"gateway": 2}), Owner("gateway", None)
    assert [slots.take(uid, gateway) for uid in ("a", "b")] == [("gateway-0", 0), ("gateway-1", 1)]
    assert slots.take("a", gateway) == ("gateway-0", 0)
    slots.leave("a")
    assert slots.take("c", gateway) is None
    slots.release("a")
    assert slots.take("c", gateway) == ("gateway-0", 0)
    assert slots.take("d", gateway) == ("gateway-2", 2)
    slots.release("b")
    assert slots.take("e", gateway) == ("gateway-1", 1)


def test_slots_that_are_named_by_the_pod_and_bare_names() -> None:
    slots = Slots({"toxiproxy": 1, "engine": 2}, alone=["toxiproxy"])
    assert slots.take("a", Owner("toxiproxy", None)) == ("toxiproxy", 0)
    assert slots.take("b", Owner("engine", 1, keeps=True)) == ("engine-1", 1)
    assert slots.take("c", Owner("engine", 1, keeps=True)) is None  # of the same name, while the old one still runs
    assert slots.take("d", Owner("once", 0, alone=True)) == ("once", 0)
    assert slots.take("e", Owner("web", None)) == ("web-0", 0)


def test_ports_and_probes_may_be_numbers() -> None:
    probe = {"httpGet": {"path": "/x", "port": 80}, "periodSeconds": 2, "failureThreshold": 4}
    one = pod("alone", readinessProbe=probe, livenessProbe=probe)
    read: Pod = to_pod(one, "alone", "tyo-b", "tyo", 0)
    assert (read.service, read.zone, read.region, dict(read.ports)) == ("alone", "tyo-b", "tyo", {"80": 80})
    assert read.readiness is not None
    assert (read.readiness.port, read.readiness.path) == ("80", "/x")
    liveness = liveness_of(one)
    assert liveness is not None
    assert (liveness.probe.port, liveness.probe.period_s, liveness.failures) == ("80", 2, 4)
    assert liveness_of(pod("x", livenessProbe={"exec": {"command": ["true"]}})) is None


def test_what_cannot_be_run_is_said() -> None:
    with pytest.raises(BadUse, match=r"pod exchange/alone: .*images are never pulled"):
        to_pod(pod("alone", command=None), "alone", None, None, 0)


def view(**change: object) -> dict[str, Any]:
    return {"pid": 7, "phase": "running", "ready": True, "restarts": 0, "last_exit": None, **change}


def status(one: dict[str, Any], told: podstatus.Told, **change: object) -> tuple[str, dict[str, str], dict[str, Any]]:
    made = podstatus.running(one, told, view(**change), "10.244.0.1", "127.0.0.1")
    return made["phase"], {row["type"]: row["status"] for row in made["conditions"]}, made["containerStatuses"][0]


def test_a_status_follows_the_process() -> None:
    one, told = pod("alone"), podstatus.Told()
    phase, conditions, container = status(one, told, ready=False, phase="starting")
    assert (phase, conditions["Ready"], container["containerID"]) == ("Running", "False", "process://7")
    phase, conditions, container = status(one, told)
    assert (conditions["Ready"], conditions["ContainersReady"], container["ready"]) == ("True", "True", True)
    phase, _, container = status(one, told, pid=None, ready=False, phase="backoff", restarts=2, last_exit=-9)
    assert (phase, container["restartCount"]) == ("Running", 2)
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"] == {"exitCode": 137, "signal": 9, "reason": "Error"}
    _, _, container = status(one, told, pid=None, ready=False, phase="held", last_exit=-9)
    assert container["state"]["waiting"] == {"reason": "HeldDown", "message": "held down by the sandbox's agent"}


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (3, "Failed")])
def test_a_pod_that_is_not_restarted_has_an_end(code: int, phase: str) -> None:
    one = pod("once", policy="Never")
    made, _, container = status(one, podstatus.Told(), pid=None, ready=False, phase="stopped", last_exit=code)
    assert (made, container["state"]["terminated"]["exitCode"]) == (phase, code)


def test_a_condition_keeps_its_time_until_it_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podstatus, "now", iter("abcdef").__next__)
    told = podstatus.Told()
    assert [told.condition("Ready", holds)["lastTransitionTime"] for holds in (False, False, True, True)] == list(
        "aabb"
    )
