"""Small stand-ins that behave: a node agent that owns real processes, and a Toxiproxy that really proxies and delays.

They speak the interfaces of the sandbox, so that faults and guardian are tested against effects, not against mocks.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import unquote

import psutil

from tests.service import SERVICE

RUN_ID = f"20260101T000000Z-{os.getpid()}"
"""A helper is found by the tag of its run, on the whole machine: tests in other processes have other runs."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


def until[T](what: Callable[[], T | None], seconds: float = 30.0) -> T:
    """Ask until the answer is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.005)
    return answer


class _Api(BaseHTTPRequestHandler):
    """JSON in, JSON out; the server's `answer(method, path parts, body)` gives (status, object)."""

    protocol_version = "HTTP/1.1"

    def _do(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = [unquote(part) for part in self.path.strip("/").split("/")]
        status, answer = self.server.owner.answer(self.command, parts, json.loads(raw) if raw else {})  # type: ignore[attr-defined]
        body = b"" if status == 204 else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = _do

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server:
    def __init__(self) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Api)
        self._http.daemon_threads = True
        self._http.owner = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class Agent(_Server):
    """A node agent: kill, release, pause, resume, stop and start of real processes, and the power of their nodes."""

    def __init__(self, instances: dict[str, tuple[str, str]], zones: Mapping[str, str] | None = None) -> None:
        """`instances`: name -> (service, role); `zones`: the zone of those that are not in tyo-a, a node each."""
        self.ports = {name: free_port() for name in instances}
        self.zones = {name: (zones or {}).get(name, "tyo-a") for name in instances}
        self._dark, self._halted = set[str](), set[str]()
        self._specs, self._held = instances, set[str]()
        self._lock = threading.Lock()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        for name in instances:
            self._start(name)
        super().__init__()

    def _start(self, name: str) -> None:
        argv = [sys.executable, "-S", "-E", "-c", SERVICE, str(self.ports[name]), name, self._specs[name][1]]
        self._processes[name] = subprocess.Popen(argv, start_new_session=True)
        until(lambda: _listens(self.ports[name]))

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def phase(self, name: str) -> str:
        if self._processes[name].poll() is not None:
            return "held" if name in self._held or self.zones[name] in self._dark else "stopped"
        return "paused" if psutil.Process(self.pid(name)).status() == psutil.STATUS_STOPPED else "running"

    def answer(self, method: str, parts: list[str], body: dict[str, Any]) -> tuple[int, Any]:
        if parts == ["instances"]:
            return 200, [self._shown(name) for name in self._specs]
        if parts[0] == "nodes":
            if method == "POST":
                with self._lock:
                    self._switch(parts[1], on=parts[2] == "on")
            return 200, [self._node(zone) for zone in sorted(set(self.zones.values()))]
        name = parts[1]
        if name not in self._specs:
            return 404, {"error": f"no instance {name}"}
        if method == "POST":
            with self._lock:
                self._act(name, parts[2], body)
        return 200, self._shown(name)

    def _act(self, name: str, act: str, body: dict[str, Any]) -> None:
        process = self._processes[name]
        running = process.poll() is None
        if act == "stop":
            self._halted.add(name)
        if act in ("kill", "stop"):
            (self._held.add if body.get("hold") else self._held.discard)(name)
            if running:
                process.kill()
                process.wait()
            if act == "kill" and not body.get("hold"):
                self._start(name)
        elif act in ("release", "start"):
            self._held.discard(name)
            self._halted.discard(name)
            if not running and self.zones[name] not in self._dark:
                self._start(name)
        elif running:
            os.kill(process.pid, signal.SIGSTOP if act == "pause" else signal.SIGCONT)
            wanted = "paused" if act == "pause" else "running"
            until(lambda: self.phase(name) == wanted)

    def _switch(self, zone: str, on: bool) -> None:
        (self._dark.discard if on else self._dark.add)(zone)
        for name in [name for name, where in self.zones.items() if where == zone]:
            process = self._processes[name]
            if not on and process.poll() is None:
                process.kill()
                process.wait()
            elif on and process.poll() is not None and name not in self._held | self._halted:
                self._start(name)

    def _node(self, zone: str) -> dict[str, Any]:
        there = [name for name, where in self.zones.items() if where == zone]
        return {"name": zone, "zone": zone, "power": "off" if zone in self._dark else "on", "instances": there}

    def _shown(self, name: str) -> dict[str, Any]:
        running = self._processes[name].poll() is None
        with contextlib.suppress(psutil.Error):
            start = psutil.Process(self.pid(name)).create_time() if running else None
            return {
                "name": name,
                "service": self._specs[name][0],
                "zone": self.zones[name],
                "pid": self.pid(name) if running else None,
                "start_time": start,
                "phase": self.phase(name),
                "ready": running,
                "restarts": 0,
            }
        return {"name": name, "service": "", "zone": None, "pid": None, "start_time": None, "phase": "stopped"}

    def close(self) -> None:
        super().close()
        for process in self._processes.values():
            process.kill()
            process.wait()


class Toxiproxy(_Server):
    """Toxiproxy's HTTP interface over real proxying, with latency toxics."""

    def __init__(self, links: dict[str, int]) -> None:
        """`links`: name -> port of the far end."""
        self.links = {name: _Proxy(name, port) for name, port in links.items()}
        super().__init__()

    def answer(self, method: str, parts: list[str], body: dict[str, Any]) -> tuple[int, Any]:
        if parts == ["version"]:
            return 200, {"version": "2.5.0"}
        if len(parts) == 1:
            return 200, {name: proxy.shown() for name, proxy in self.links.items()}
        proxy = self.links.get(parts[1])
        if proxy is None:
            return 404, {"error": "proxy not found", "status": 404}
        if len(parts) == 2:
            if method == "POST" and "enabled" in body:
                proxy.switch(body["enabled"])
            return 200, proxy.shown()
        return proxy.toxic_call(method, parts[3] if len(parts) > 3 else None, body)

    def close(self) -> None:
        super().close()
        for proxy in self.links.values():
            proxy.switch(False)


class _Proxy:
    def __init__(self, name: str, upstream: int) -> None:
        self.name, self._upstream = name, upstream
        self.port = free_port()
        self.toxics: dict[str, dict[str, Any]] = {}
        self._links: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._accepting: threading.Thread | None = None
        self.switch(True)

    def shown(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "listen": f"127.0.0.1:{self.port}",
            "upstream": f"127.0.0.1:{self._upstream}",
            "enabled": self._listener is not None,
            "toxics": list(self.toxics.values()),
        }

    def switch(self, enabled: bool) -> None:
        if enabled and self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            self._accepting = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
            self._accepting.start()
        elif not enabled and self._listener is not None:
            listener, self._listener = self._listener, None
            listener.shutdown(socket.SHUT_RDWR)
            if self._accepting is not None:
                self._accepting.join()
            listener.close()
            for link in list(self._links):
                _reset(link)

    def toxic_call(self, method: str, name: str | None, body: dict[str, Any]) -> tuple[int, Any]:
        if method == "POST":
            if body["name"] in self.toxics:
                return 409, {"error": "toxic already exists", "status": 409}
            self.toxics[body["name"]] = body
            return 200, body
        if name is None:
            return 200, list(self.toxics.values())
        if name not in self.toxics:
            return 404, {"error": "toxic not found", "status": 404}
        if method == "DELETE":
            del self.toxics[name]
            return 204, None
        return 200, self.toxics[name]

    def _delay_s(self, stream: str) -> float:
        of_stream = [toxic for toxic in list(self.toxics.values()) if toxic["stream"] == stream]
        return float(sum(toxic["attributes"].get("latency", 0) for toxic in of_stream)) / 1000

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._upstream), 1.0)
            except OSError:
                near.close()
                continue
            self._links |= {near, far}
            for source, target, stream in ((near, far, "upstream"), (far, near, "downstream")):
                threading.Thread(target=self._pump, args=(source, target, stream), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, stream: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self._delay_s(stream))
                target.sendall(data)
        for link in (source, target):
            self._links.discard(link)
            _reset(link)


def _reset(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
    except OSError:
        return False
    return True


class Links(Protocol):
    """What serves the links: the stand-in or a real Toxiproxy."""

    url: str

    @property
    def links(self) -> Mapping[str, Shown]:
        """Each link's proxy."""

    def close(self) -> None:
        """End it."""


class Shown(Protocol):
    """One proxy, as far as a description needs it."""

    def shown(self) -> dict[str, Any]:
        """At least its `listen`."""


class Exchange:
    """Two engines, a gateway and the links between them; further engines are standbys, each in its zone."""

    toxiproxy: Links

    def __init__(self, agent: type[Agent] = Agent, zones: Mapping[str, str] | None = None) -> None:
        """`zones`: the zone of engines, where it is not tyo-a."""
        roles = {"engine-0": "primary", "engine-1": "standby"} | {
            name: "standby" for name in zones or {} if name != "engine-0"
        }
        self.agent = agent({name: ("matching-engine", role) for name, role in roles.items()}, zones)
        self.links = {f"gateway-0>{name}": self.agent.ports[name] for name in roles}
        self.toxiproxy = Toxiproxy(self.links)

    def describe(self) -> dict[str, Any]:
        """What `python -m sandbox describe` prints, as far as faults need it."""
        proxies = self.toxiproxy.links
        return {
            "state": "up",
            "agent": self.agent.url,
            "toxiproxy": self.toxiproxy.url,
            "instances": [
                {
                    "name": name,
                    "service": "matching-engine",
                    "zone": self.agent.zones[name],
                    "region": self.agent.zones[name].partition("-")[0],
                    "http": f"http://127.0.0.1:{port}",
                    "ports": {"http": port},
                }
                for name, port in self.agent.ports.items()
            ],
            "links": [
                {
                    "name": name,
                    "from": "gateway-0",
                    "to": name.partition(">")[2],
                    "group": "gateway-engine",
                    "listen": proxies[name].shown()["listen"],
                    "upstream": f"127.0.0.1:{port}",
                }
                for name, port in self.links.items()
            ],
        }

    def close(self) -> None:
        self.toxiproxy.close()
        self.agent.close()


@contextlib.contextmanager
def exchange(zones: Mapping[str, str] | None = None) -> Iterator[Exchange]:
    """An exchange of stand-ins for the time of a `with`."""
    made = Exchange(zones=zones)
    try:
        yield made
    finally:
        made.close()
