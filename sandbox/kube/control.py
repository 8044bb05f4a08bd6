"""The control plane of one sandbox: four processes on loopback that die with whoever started them."""

import http.client
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

from sandbox.errors import SandboxError
from sandbox.kube import servers
from sandbox.kube.papers import Papers, write, write_kubeconfig
from sandbox.kube.servers import HOST
from sandbox.node.processes import MARK, end_all, spawn
from sandbox.ports import allocate

READY_S = 90.0  # three seconds where nothing else runs; this is for a machine that is busy
_INHERITED = ("PATH", "HOME", "LANG", "TZ", "TMPDIR")
_REVIVE_EVERY_S = 1.0
_GOGC = "200"  # less work at the start, for some memory


_AGENT_IS_A_KUBELET = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "muster-node-agent"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "muster-node-agent"}],
}


@dataclass(frozen=True)
class Cluster:
    """A control plane that answers: where, and which (`uid` of its kube-system namespace, new with every start)."""

    kubeconfig: Path
    server: str
    uid: str
    papers: Papers


@dataclass(frozen=True)
class Place:
    """Where a control plane keeps its things; `mark` is the sandbox folder by which a scan finds its processes."""

    folder: Path
    logs: Path
    kubeconfig: Path
    mark: Path

    @property
    def data(self) -> Path:
        """The store of etcd."""
        return self.folder / "etcd"


class ControlPlane:
    """Starts, watches and ends the four; `programs` maps part names to paths, `started` is told of each process."""

    def __init__(
        self, place: Place, programs: Mapping[str, str], started: Callable[[str, int, float], None] = lambda *_: None
    ) -> None:
        self.place = place
        self.programs = programs
        self._started = started
        self._argv: dict[str, list[str]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._revived = 0.0

    def start(self) -> Cluster:
        """Start all four and wait until the API answers; raises SandboxError naming the one that does not.

        Must be called in the main thread: the kernel ends the four when the thread that started them ends.
        """
        place = self.place
        shutil.rmtree(place.folder, ignore_errors=True)
        for folder in (place.folder, place.logs, place.kubeconfig.parent):
            folder.mkdir(parents=True, exist_ok=True)
        client, peer, secure = allocate(3)
        server = f"https://{HOST}:{secure}"
        papers = write(place.folder / "papers")
        write_kubeconfig(place.kubeconfig, server, papers.ca, papers.admin_token)
        path = self.programs
        self._argv = {
            "etcd": servers.etcd(path["etcd"], place.data, client, peer),
            "kube-apiserver": servers.apiserver(path["kube-apiserver"], papers, secure, client),
            "kube-controller-manager": servers.controller_manager(
                path["kube-controller-manager"], papers, place.kubeconfig
            ),
            "kube-scheduler": servers.scheduler(path["kube-scheduler"], place.kubeconfig),
        }
        self._spawn("etcd")
        self._until("etcd", lambda: _healthy(client))
        self._spawn("kube-apiserver")
        ask = Asker(secure, papers)
        self._until("kube-apiserver", ask.ready)
        ask.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", _AGENT_IS_A_KUBELET)
        self._spawn("kube-controller-manager")
        self._spawn("kube-scheduler")
        uid = ask.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
        # the controllers work when they have made what every namespace is given
        self._until("kube-controller-manager", lambda: ask.found("/api/v1/namespaces/default/serviceaccounts/default"))
        return Cluster(place.kubeconfig, server, uid, papers)

    def revive(self) -> list[str]:
        """Start again what has ended by itself, at most once a second; returns their names."""
        now = time.monotonic()
        if now - self._revived < _REVIVE_EVERY_S:
            return []
        self._revived = now
        ended = [name for name, process in self._running.items() if process.poll() is not None]
        for name in ended:
            self._spawn(name)
        return ended

    def stop(self) -> None:
        """Kill all four, wait for them, and remove everything but the logs. Idempotent.

        Raises SandboxError naming a process that would not end.
        """
        left = end_all(process for child in self._running.values() if (process := _process(child)))
        for child in self._running.values():
            child.poll()  # reaped: no zombie is left to whoever goes on
        if left:
            raise SandboxError(f"control plane: pid {', '.join(str(one.pid) for one in left)} did not end when killed")
        self._running.clear()
        shutil.rmtree(self.place.folder, ignore_errors=True)
        self.place.kubeconfig.unlink(missing_ok=True)

    def processes(self) -> dict[str, int]:
        """The pid of each, by name."""
        return {name: process.pid for name, process in self._running.items()}

    def _spawn(self, name: str) -> None:
        env = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        env |= {MARK: str(self.place.mark), "GOGC": _GOGC}
        log = self.place.logs / f"{name}.log"
        try:
            process = spawn(self._argv[name], env, self.place.folder, log)
        except OSError as error:
            raise SandboxError(f"{name}: cannot run {self._argv[name][0]}: {error.strerror}") from error
        self._running[name] = process
        if known := _process(process):
            self._started(name, process.pid, known.create_time())

    def _until(self, name: str, seen: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_S
        process = self._running[name]
        log = self.place.logs / f"{name}.log"
        while not seen():
            if (code := process.poll()) is not None:
                raise SandboxError(f"{name}: ended with {code}: {_last_line(log)}; see {log}")
            if time.monotonic() > deadline:
                raise SandboxError(f"{name}: not ready after {READY_S:g} s: {_last_line(log)}; see {log}")
            time.sleep(0.02)


class Asker:
    """A few plain questions to the API server as its admin, over one connection where it can be kept."""

    def __init__(self, port: int, papers: Papers) -> None:
        self._context = ssl.create_default_context(cafile=str(papers.ca))
        self._headers = {"Authorization": f"Bearer {papers.admin_token}"}
        self._port = port

    def ready(self) -> bool:
        """Whether /readyz says ok; False where nobody answers."""
        try:
            status, body = self._ask("/readyz")
        except (OSError, http.client.HTTPException):
            return False
        return status == 200 and body == b"ok"

    def found(self, path: str) -> bool:
        """Whether the object at `path` is there; raises SandboxError when nobody answers."""
        return self._answered(path)[0] == 200

    def get(self, path: str) -> dict[str, Any]:
        """The object at `path`; raises SandboxError for any other answer than 200."""
        status, body = self._answered(path)
        if status != 200:
            raise SandboxError(f"kube-apiserver: GET {path}: {status}: {body[:200].decode(errors='replace')}")
        value: dict[str, Any] = orjson.loads(body)
        return value

    def post(self, path: str, value: dict[str, Any]) -> None:
        """Create an object; raises SandboxError when it is not created."""
        status, body = self._answered(path, value)
        if status != 201:
            raise SandboxError(f"kube-apiserver: POST {path}: {status}: {body[:200].decode(errors='replace')}")

    def _answered(self, path: str, value: dict[str, Any] | None = None) -> tuple[int, bytes]:
        try:
            return self._ask(path, value)
        except (OSError, http.client.HTTPException) as error:
            raise SandboxError(f"kube-apiserver: {path}: {error}") from error

    def _ask(self, path: str, value: dict[str, Any] | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(HOST, self._port, timeout=5, context=self._context)
        try:
            body = None if value is None else orjson.dumps(value)
            headers = self._headers | ({"Content-Type": "application/json"} if body else {})
            connection.request("GET" if body is None else "POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def _healthy(port: int) -> bool:
    """Whether etcd serves: it listens before that, and an API server that comes too early waits a second."""
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _process(child: "subprocess.Popen[bytes]") -> psutil.Process | None:
    try:
        return psutil.Process(child.pid) if child.poll() is None else None
    except psutil.NoSuchProcess:
        return None


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][:200] if lines else "it said nothing"
