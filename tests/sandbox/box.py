"""A sandbox of its own for a test, driven as everybody drives it: by its command line and its agent's HTTP."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
import psutil

from sandbox.home import CHECKOUT, checkout_key
from sandbox.node.pods import REGION, ZONE
from sandbox.node.processes import marked

WEB = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: web{place}}}}}
spec:
  restartPolicy: {policy}
  terminationGracePeriodSeconds: 1
  containers:
    - command: {command}
      ports: [{{name: http, containerPort: 80{pinned}}}]
      readinessProbe: {{httpGet: {{path: /, port: http}}, periodSeconds: 1}}
"""
SERVE = f'"${{PYTHON}}", {Path(__file__).parent / "stand_in.py"}, "${{PORT:http}}"'


class TestBox:
    """One sandbox under a MUSTER_HOME of its own, with a folder of manifests."""

    __test__ = False

    def __init__(self, home: Path) -> None:
        self.home = home
        self.root = home / "sandbox" / checkout_key()
        self.manifests = home / "manifests"
        self.manifests.mkdir(parents=True, exist_ok=True)

    def pod(
        self,
        name: str,
        command: str = f"[{SERVE}]",
        policy: str = "Always",
        host_port: int | None = None,
        zone: str | None = None,
    ) -> None:
        """Write the manifest of a stand-in instance."""
        pinned = "" if host_port is None else f", hostPort: {host_port}"
        place = "" if zone is None else f", {ZONE}: {zone}, {REGION}: {zone.partition('-')[0]}"
        text = WEB.format(name=name, command=command, policy=policy, pinned=pinned, place=place)
        (self.manifests / f"{name}.yaml").write_text(text)

    def popen(self, *words: str, before: Sequence[str] = ()) -> "subprocess.Popen[str]":
        """Start `python -m sandbox WORDS` without waiting for it, by the command `before` where there is one."""
        env = {**os.environ, "MUSTER_HOME": str(self.home), "PYTHONPATH": str(CHECKOUT)}
        return subprocess.Popen(
            [*before, sys.executable, "-m", "sandbox", *words],
            env=env,
            cwd=self.home,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *words: str, before: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
        """Run `python -m sandbox WORDS` to its end."""
        with self.popen(*words, before=before) as process:
            out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def up(self, *words: str, bundled: bool = False) -> None:
        """Bring it up; the test's own manifests unless `bundled`."""
        done = self.run("up", *words, *([] if bundled else ["--manifests", str(self.manifests)]))
        assert done.returncode == 0, done.stderr

    def describe(self) -> dict[str, Any]:
        """What `describe` prints."""
        done = self.run("describe")
        assert done.returncode == 0, done.stderr
        described: dict[str, Any] = json.loads(done.stdout)
        return described

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        base: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """One request to the agent (or to `base`): status and JSON."""
        state = orjson.loads((self.root / "state.json").read_bytes())["describe"]
        place = urlsplit(base or state["agent"])
        connection = http.client.HTTPConnection(place.hostname or "", place.port or 0, timeout=10)
        try:
            connection.request(method, path, None if body is None else orjson.dumps(body), headers or {})
            answer = connection.getresponse()
            return answer.status, orjson.loads(answer.read() or b"null")
        finally:
            connection.close()

    def act(self, name: str, act: str, body: object = None) -> dict[str, Any]:
        """POST an act on an instance; it must succeed."""
        status, answer = self.call("POST", f"/instances/{name}/{act}", body)
        assert status == 200, answer
        return dict(answer)

    def view(self, name: str) -> dict[str, Any]:
        """One instance as the agent sees it."""
        return dict(self.call("GET", f"/instances/{name}")[1])

    def agent(self) -> psutil.Process:
        """The agent's process."""
        return psutil.Process(orjson.loads((self.root / "agent.json").read_bytes())["pid"])

    def truth(self) -> list[dict[str, Any]]:
        """The agent's truth log."""
        return [orjson.loads(line) for line in (self.root / "truth" / "agent.ndjson").read_bytes().splitlines()]

    def processes(self) -> list[psutil.Process]:
        """Every live process of this sandbox, found by its mark, not by what the sandbox wrote."""
        return [process for process in marked(self.root) if process.status() != psutil.STATUS_ZOMBIE]


def until[T](ask: Callable[[], T], timeout_s: float = 30.0) -> T:
    """Ask until the answer is truthy; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"still {answer!r} after {timeout_s} s"
        time.sleep(0.02)
    return answer


def dialled(box: TestBox, described: dict[str, Any]) -> set[tuple[str, str]]:
    """(who, what) of every established connection from an instance to a port of the sandbox; links by their name."""
    places = {(row["host"], port): row["name"] for row in described["instances"] for port in row["ports"].values()}
    for link in described["links"]:
        host, port = link["listen"].split(":")
        places[host, int(port)] = link["name"]
    names = {row["pid"]: row["name"] for row in box.call("GET", "/instances")[1]}
    found = set()
    for one in psutil.net_connections("tcp4"):
        if one.status == psutil.CONN_ESTABLISHED and one.pid in names and one.raddr and one.laddr:
            here, there = (one.laddr.ip, one.laddr.port), (one.raddr.ip, one.raddr.port)
            if here not in places and there in places:  # the end that dials; the other one is not counted again
                found.add((names[one.pid], places[there]))
    return found


def switch(box: TestBox, described: dict[str, Any], link: str, enabled: bool) -> None:
    """Open or cut one link."""
    status, answer = box.call("POST", f"/proxies/{quote(link, safe='')}", {"enabled": enabled}, described["toxiproxy"])
    assert status == 200, answer


@contextmanager
def exchange(home: Path, *options: str) -> Iterator[TestBox]:
    """The whole sandbox as it is shipped, brought up with these options; nothing of it is left afterwards."""
    made = TestBox(home)
    made.up(*options, bundled=True)
    try:
        yield made
    finally:
        assert made.run("down").returncode == 0
        assert made.processes() == []
