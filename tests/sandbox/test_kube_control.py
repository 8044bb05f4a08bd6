"""The control plane alone: it starts, it decides by RBAC, and nothing of it outlives its owner."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from sandbox.home import CHECKOUT
from sandbox.kube.papers import write_kubeconfig
from sandbox.node.processes import marked
from tests.sandbox.box import until
from tests.sandbox.kube_box import Kubectl, built

pytestmark = [pytest.mark.sandbox, pytest.mark.untimed, built]

SERVERS = {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """`python -m sandbox.kube`, started and not waited for."""
    return subprocess.Popen(
        [sys.executable, "-m", "sandbox.kube", str(folder), *words],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def servers(folder: Path) -> list[psutil.Process]:
    return [process for process in marked(folder) if process.status() != psutil.STATUS_ZOMBIE]


@dataclass
class Plane:
    folder: Path
    process: subprocess.Popen[str]
    said: dict[str, str]
    kubectl: Kubectl


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """One control plane for all tests; the end of it is a test by itself: SIGTERM leaves nothing but logs."""
    folder = tmp_path_factory.mktemp("kube")
    with start(folder) as process:
        assert process.stdout
        said = json.loads(process.stdout.readline())
        yield Plane(folder, process, said, Kubectl(Path(said["kubeconfig"])))
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert servers(folder) == []
    assert [path.name for path in folder.iterdir() if path.name != ".kube"] == ["logs"]


def test_it_says_where_it_is_and_which_it_is(plane: Plane) -> None:
    assert set(plane.said) == {"kubeconfig", "server", "uid"}
    assert plane.kubectl.json("get", "namespace", "kube-system")["metadata"]["uid"] == plane.said["uid"]
    assert plane.said["server"].startswith("https://127.0.0.1:")
    assert oct(Path(plane.said["kubeconfig"]).stat().st_mode & 0o777) == "0o600"
    assert {Path(process.exe()).name.rpartition("-")[0] for process in servers(plane.folder)} == SERVERS


def test_a_service_account_may_do_what_its_role_says_and_nobody_else_anything(plane: Plane) -> None:
    kubectl = plane.kubectl
    kubectl("create", "serviceaccount", "drill")
    ca = plane.folder / "control" / "papers" / "ca.crt"
    drill, nobody = (plane.folder / name for name in ("drill.json", "nobody.json"))
    write_kubeconfig(drill, plane.said["server"], ca, kubectl("create", "token", "drill").strip())
    write_kubeconfig(nobody, plane.said["server"], ca, "none")
    try:
        assert "forbidden" in Kubectl(drill).run("get", "pods").stderr.lower()
        assert Kubectl(nobody).run("get", "pods").returncode == 1
        kubectl("create", "role", "reader", "--verb=list", "--resource=pods")
        kubectl("create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:drill")
        until(lambda: Kubectl(drill).run("get", "pods").returncode == 0)
        assert Kubectl(drill).run("get", "secrets").returncode == 1
    finally:
        drill.unlink()
        nobody.unlink()


def test_controllers_work_before_there_is_a_node(plane: Plane) -> None:
    plane.kubectl("create", "deployment", "web", "--image=none", "--replicas=2")
    pods = until(lambda: plane.kubectl.items("pods", "-l", "app=web"))
    assert {pod["status"]["phase"] for pod in pods} == {"Pending"}
    plane.kubectl("delete", "deployment", "web")


def test_a_server_that_ends_is_started_again(plane: Plane) -> None:
    scheduler = next(process for process in servers(plane.folder) if "kube-scheduler" in process.exe())
    scheduler.kill()
    until(lambda: any("kube-scheduler" in p.exe() and p.pid != scheduler.pid for p in servers(plane.folder)))


@pytest.mark.parametrize("end", ["killed", "orphaned"])
def test_nothing_outlives_it(tmp_path: Path, end: str) -> None:
    owner = subprocess.Popen(["sleep", "600"])
    with start(tmp_path, "--owner-pid", str(owner.pid)) as process:
        until(lambda: servers(tmp_path))  # in the middle of its start
        (process if end == "killed" else owner).kill()
        process.wait(20)
    until(lambda: servers(tmp_path) == [])
    owner.kill()
    owner.wait()
