"""chaosk8s on the real control plane, through the client of one environment: what works, and what does not and why."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext.faults import chaosk8s_calls
from drills.errors import FaultError
from tests.contract.chaosk8s_table import TABLE, Try
from tests.kubebox import POD, KubeBox
from tests.standins import until

TRIED = {name: how for name, how in TABLE.items() if isinstance(how, Try)}


def _workload(kind: str, name: str, **spec: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    labels = {"app": name}
    image = "registry.invalid/bad:1" if name == "bad" else "muster/none"
    pod = {**POD, "containers": [{"name": "main", "image": image}]}
    body = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": body}


def _service(name: str) -> dict[str, Any]:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": {"name": name}}, "spec": spec}


def _crd(kind: str, scope: str) -> dict[str, Any]:
    plural, schema = f"{kind.lower()}s", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind}
    spec = {"group": "muster.test", "scope": scope, "names": names, "versions": [version]}
    return {"metadata": {"name": f"{plural}.muster.test"}, "spec": spec}


FILES = {
    "secret": {"metadata": {"name": "key"}, "stringData": {"a": "b"}},
    "web": _workload("Deployment", "web", replicas=2),
    "bad": _workload("Deployment", "bad", replicas=1),
    "set": _workload("StatefulSet", "set", replicas=1, serviceName="set"),
    "each": _workload("DaemonSet", "each"),
    "service": _service("web"),
    "ingress": {
        "metadata": {"name": "web"},
        "spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}},
    },
}


@pytest.fixture(scope="module")
def box(kubernetes: KubeBox) -> Iterator[KubeBox]:
    """The control plane, where whatever asks the shell for another gets nowhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", "/nowhere")
        patch.setenv("KUBERNETES_HOST", "http://203.0.113.7")
        for kind, scope in (("Thing", "Namespaced"), ("Big", "Cluster")):
            path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            kubernetes.cluster.order("POST", path, _crd(kind, scope))
            until(partial(_served, kubernetes, kind))
        yield kubernetes


def _served(box: KubeBox, kind: str) -> bool:
    return box.cluster.ask("GET", f"/apis/muster.test/v1/{kind.lower()}s")[0] == 200


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("definitions")
    for name, body in FILES.items():
        (folder / f"{name}.json").write_text(json.dumps(body))
    return folder


def test_the_table_names_every_action_and_probe_that_there_is() -> None:
    import chaosk8s

    found = set()
    for module in pkgutil.walk_packages(chaosk8s.__path__, "chaosk8s."):
        if module.name.rpartition(".")[2] in ("actions", "probes"):
            names = importlib.import_module(module.name).__all__
            found |= {f"{module.name.removeprefix('chaosk8s.')}.{name}" for name in names}
    assert set(TABLE) == found
    assert all(len(how) > 20 for how in TABLE.values() if isinstance(how, str))


@pytest.mark.parametrize("name", TRIED)
def test_it_works_with_the_client_of_the_environment(name: str, box: KubeBox, files: Path) -> None:
    how = TRIED[name]
    args = {
        key: str(files / f"{value[5:]}.json") if str(value).startswith("FILE:") else value
        for key, value in how.args.items()
    }
    _before(name, box)
    if how.fails:
        with pytest.raises(FaultError, match=how.fails):
            chaosk8s_calls.call(box.cluster, name, **args)
        return
    answer = chaosk8s_calls.call(box.cluster, name, **args)
    assert how.want(answer), answer


def _before(name: str, box: KubeBox) -> None:
    """What some of them need to be there, or to have happened since the one before."""
    path = "/apis/apps/v1/namespaces/chaos"
    if name == "deployment.probes.deployment_available_and_healthy":
        until(lambda: _ready(box, f"{path}/deployments/web") == 2, 30)
    if name in ("daemonset.probes.daemon_set_available_and_healthy", "daemonset.probes.daemon_set_fully_available"):
        until(lambda: _ready(box, f"{path}/daemonsets/each") == 3, 30)
    if name == "actions.remove_service_endpoint":
        box.cluster.order("POST", "/api/v1/namespaces/chaos/services", _service("other"))


def _ready(box: KubeBox, path: str) -> int:
    status = (box.cluster.get(path) or {}).get("status") or {}
    return int(status.get("readyReplicas", status.get("numberReady")) or 0)
