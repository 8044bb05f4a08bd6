"""Fills the references of a pod (see sandbox/node/pods.py) and makes of it what can be started."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.errors import BadUse
from sandbox.home import CHECKOUT, Box
from sandbox.node.pods import Pod, Readiness
from sandbox.node.processes import MARK

_REFERENCE = re.compile(r"\$\{([A-Z]+)(?::([^}]*))?\}")
_INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
"""What a pod gets of our environment: enough to run, nothing that could be a credential."""


@dataclass(frozen=True)
class Runnable:
    """One pod with everything known that its process needs."""

    name: str
    service: str
    zone: str | None
    region: str | None
    host: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    readiness: Readiness | None
    ready_port: int | None
    restart_policy: str
    grace_s: float
    enter: tuple[str, ...] = ()
    """Words before `argv` that start it in the namespace of its zone."""


class Resolver:
    """Knows the addresses of one sandbox, from the state that `up` wrote."""

    def __init__(self, box: Box, state: Mapping[str, Any], plant: str = "") -> None:
        described = state["describe"]
        self.box = box
        self.described: Mapping[str, Any] = described
        self.parts: Mapping[str, str] = state["parts"]
        self.ports = {row["name"]: row["ports"] for row in described["instances"]}
        self.hosts: dict[str, str] = {row["name"]: row["host"] for row in described["instances"]}
        self.links: list[Mapping[str, str]] = described["links"]
        self.plant = plant

    def runnable(self, pod: Pod) -> Runnable:
        """The pod, ready to be started; raises BadUse for a reference to something that is not there."""
        volume = self.box.data / pod.name
        ports = self.ports[pod.name]
        env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        env |= {"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1", MARK: str(self.box.root)}
        env |= {name: self.fill(pod, value) for name, value in pod.env.items()}
        return Runnable(
            name=pod.name,
            service=pod.service,
            zone=pod.zone,
            region=pod.region,
            host=self.hosts[pod.name],
            argv=tuple(self.fill(pod, word) for word in pod.command),
            env=env,
            cwd=volume,
            log=self.box.log_of(pod.name),
            readiness=pod.readiness,
            ready_port=ports[pod.readiness.port] if pod.readiness else None,
            restart_policy=pod.restart_policy,
            grace_s=pod.grace_s,
            enter=self._enter(pod),
        )

    def _enter(self, pod: Pod) -> tuple[str, ...]:
        if not self.described.get("netns"):
            return ()
        from sandbox.netns.build import enter

        return enter(self.described, pod.zone, self.hosts[pod.name])

    def fill(self, pod: Pod, text: str) -> str:
        """`text` with every reference replaced; raises BadUse naming pod and reference."""
        return _REFERENCE.sub(lambda match: self._value(pod, match[0], match[1], match[2] or ""), text)

    def _value(self, pod: Pod, written: str, kind: str, name: str) -> str:
        fixed = {
            "NAME": pod.name,
            "ZONE": pod.zone or "",
            "REGION": pod.region or "",
            "HOST": self.hosts[pod.name],
            "FIRST": "1" if pod.ordinal == 0 else "0",
            "PYTHON": sys.executable,
            "CONF": str(self.box.conf),
            "TRUTH": str(self.box.truth),
            "SECRET": str(self.box.secret_file),
            "VOLUME": str(self.box.data / pod.name),
            "PLANT": self.plant,
        }
        if not name and kind in fixed:
            return fixed[kind]
        if kind == "PART" and name in self.parts:
            return self.parts[name]
        if kind == "PORT" and name in self.ports[pod.name]:
            return str(self.ports[pod.name][name])
        if kind in ("LINKS", "NAMED"):
            links = [link for link in self.links if link["from"] == pod.name and link["group"] == name]
            if links:
                return ",".join(
                    f"{link['to']}={link['listen']}" if kind == "NAMED" else link["listen"] for link in links
                )
        raise BadUse(f"{pod.name}: {written} refers to nothing here; see sandbox/node/pods.py for what there is")
