"""The live system that faults act on: instances by the node agent, links by Toxiproxy, roles by /status."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chaoslib_ext import httpjson, planes
from chaoslib_ext.agentclient import AgentClient
from drills.errors import ComponentError, Refused

if TYPE_CHECKING:
    from chaoslib_ext.cluster import Cluster
    from chaoslib_ext.links import LinkServer

STATUS_S = 0.5
"""A healthy instance answers /status in a millisecond; a paused one never."""

PHASES = {"starting": "running"}

NOT_UP = 3
"""Exit code of `python -m sandbox describe` where none is up."""

TAG = "muster-by-hand"
"""Prefix of toxic names where no run is known."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance: where it is and where it answers; `ports` by name, on `host`."""

    name: str
    service: str
    zone: str | None
    region: str | None
    http: str | None
    ports: Mapping[str, int]
    host: str = "127.0.0.1"

    def address(self, port: str) -> str:
        """ "host:port" of one of its ports by name. Raises KeyError."""
        return f"{self.host}:{self.ports[port]}"


@dataclass(frozen=True, slots=True)
class Link:
    """One direction of dialling between two instances; `listen` and `upstream` are host:port."""

    name: str
    source: str
    target: str
    group: str
    listen: str
    upstream: str


@dataclass(frozen=True)
class World:
    """Everything a fault may ask or order. `tag` marks what a fault leaves in the system as ours."""

    describe: Mapping[str, Any]
    instances: tuple[Instance, ...]
    links: tuple[Link, ...]
    tag: str = field(default=TAG)

    @classmethod
    def from_describe(cls, describe: Mapping[str, Any]) -> World:
        """From the JSON of `python -m sandbox describe`."""
        instances = tuple(
            Instance(
                name=str(raw["name"]),
                service=str(raw["service"]),
                zone=raw.get("zone"),
                region=raw.get("region"),
                http=raw.get("http"),
                ports=dict(raw.get("ports") or {}),
                host=str(raw.get("host") or "127.0.0.1"),
            )
            for raw in describe["instances"]
        )
        links = tuple(
            Link(raw["name"], raw["from"], raw["to"], raw["group"], raw["listen"], raw["upstream"])
            for raw in describe["links"]
        )
        return cls(describe, instances, links)

    @classmethod
    def embedded(cls) -> World:
        """The sandbox of this checkout. Raises Refused `sandbox-not-up`, ComponentError when it cannot be asked."""
        argv = [sys.executable, "-m", "sandbox", "describe"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode == NOT_UP:
            raise Refused("sandbox-not-up", "no sandbox of this checkout is up; run `muster sandbox up`")
        if done.returncode != 0:
            raise ComponentError("sandbox", done.stderr.strip() or f"describe ended with {done.returncode}")
        return cls.from_describe(json.loads(done.stdout))

    def tagged(self, run_id: str, fault_id: str) -> World:
        """The same world, where what a fault leaves carries this run and fault in its name."""
        return replace(self, tag=f"muster-{run_id}-{fault_id}")

    @cached_property
    def agent(self) -> AgentClient:
        """The node agent."""
        return AgentClient(str(self.describe["agent"]), self.tag)

    def of_agent(self, **args: object) -> dict[str, Any]:
        """Arguments of a recipe for the node agent: its address, and the tag under which it was given orders."""
        return {"agent": self.agent.url, "tag": self.tag, **args}

    @cached_property
    def toxiproxy(self) -> LinkServer:
        """The server of all links (imported late: its package costs a quarter of a second)."""
        from chaoslib_ext.links import LinkServer

        return LinkServer(str(self.describe["toxiproxy"]))

    @cached_property
    def cluster(self) -> Cluster | None:
        """The Kubernetes of this world, not asked yet who it is; None where there is none."""
        raw = self.describe.get("kubernetes")
        if not raw:
            return None
        from chaoslib_ext.cluster import Place, connect

        return connect(Place.from_describe(raw))

    def instance(self, name: str) -> Instance:
        """The instance of that name. Raises KeyError."""
        return next((one for one in self.instances if one.name == name), None) or _missing(name)

    def link(self, name: str) -> Link:
        """The link of that name ("from>to"). Raises KeyError."""
        return next((one for one in self.links if one.name == name), None) or _missing(name)

    def status(self, instance: str, *, timeout_s: float = STATUS_S) -> dict[str, Any] | None:
        """Its /status; None when it has none or does not answer in time."""
        base = self.instance(instance).http
        if base is None:
            return None
        try:
            code, answer = httpjson.call("GET", f"{base.rstrip('/')}/status", timeout_s=timeout_s)
        except httpjson.Unreachable:
            return None
        return answer if code == 200 and isinstance(answer, dict) else None

    def statuses(self) -> dict[str, dict[str, Any] | None]:
        """The /status of every instance that speaks HTTP, asked at once: a silent one costs no more than STATUS_S."""
        asked = [one.name for one in self.instances if one.http]
        with ThreadPoolExecutor(max_workers=max(1, len(asked))) as pool:
            return dict(zip(asked, pool.map(self.status, asked), strict=True))

    def role(self, instance: str) -> str | None:
        """primary, standby, starting … or None when it does not say."""
        status = self.status(instance)
        return None if status is None or status.get("role") is None else str(status["role"])

    def leader(self) -> tuple[str, int] | None:
        """(instance, epoch) of the primary with the highest epoch; None when no instance says it leads."""
        found = [
            (int(status.get("epoch") or 0), name)
            for name, status in self.statuses().items()
            if status is not None and status.get("role") == "primary"
        ]
        return None if not found else (max(found)[1], max(found)[0])

    def snapshot(self) -> dict[str, Any]:
        """What a fault may change, as it is now: phases, roles, proxies with their toxics. JSON-serialisable."""
        links = self.toxiproxy.proxies() if self.describe.get("toxiproxy") else {}
        agent = self.agent.instances() if self.describe.get("agent") else ()
        return {
            # a process that waits for others to be ready runs: what it waits for is no trace of a fault
            "instances": {one.name: PHASES.get(one.phase, one.phase) for one in agent},
            "roles": {name: (status or {}).get("role") for name, status in self.statuses().items()},
            "proxies": {
                name: {"enabled": proxy.enabled, "toxics": list(proxy.listed)} for name, proxy in links.items()
            },
            "planes": planes.snapshot(self),
        }

    @staticmethod
    def diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
        """One line for each trace that `after` shows and `before` does not; roles are left out (see `moved`)."""
        lines = [
            f"{name} is {after['instances'].get(name, 'gone')}, was {phase}"
            for name, phase in before["instances"].items()
            if after["instances"].get(name) != phase
        ]
        for name, proxy in before["proxies"].items():
            now = after["proxies"].get(name)
            if now is None:
                lines.append(f"link {name} is gone")
                continue
            if now["enabled"] != proxy["enabled"]:
                lines.append(f"link {name} is {_switch(now['enabled'])}, was {_switch(proxy['enabled'])}")
            lines += [f"link {name} has toxic {toxic}" for toxic in now["toxics"] if toxic not in proxy["toxics"]]
            lines += [f"link {name} lost toxic {toxic}" for toxic in proxy["toxics"] if toxic not in now["toxics"]]
        lines += [f"link {name} is new" for name in after["proxies"] if name not in before["proxies"]]
        return lines + planes.diff(before.get("planes", {}), after.get("planes", {}))

    @staticmethod
    def moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
        """One line for each role that moved: intended in a failover, never a trace."""
        return [
            f"{name} is {after['roles'].get(name) or 'silent'}, was {role or 'silent'}"
            for name, role in before["roles"].items()
            if after["roles"].get(name) != role
        ]


def _switch(enabled: bool) -> str:
    return "open" if enabled else "cut"


def _missing(name: str) -> Any:  # noqa: ANN401 - never returns
    raise KeyError(name)
