"""The node agent's HTTP interface: instances as processes, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from chaoslib_ext import httpjson, late
from drills.errors import ComponentError

Act = Literal["kill", "release", "pause", "resume", "stop", "start"]

QUICK_S = 2.0
ACT_S = 10.0
"""A graceful stop waits for the instance to end."""


@dataclass(frozen=True, slots=True)
class Process:
    """An instance as its node agent sees it; `pid` and `start_time` (psutil create time) are null while none runs."""

    name: str
    service: str
    zone: str | None
    phase: str
    pid: int | None
    start_time: float | None
    ready: bool
    overrides: tuple[str, ...] = ()

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> Process:
        """From the agent's JSON; unknown keys are ignored."""
        pid, start = raw.get("pid"), raw.get("start_time")
        return cls(
            name=str(raw["name"]),
            service=str(raw.get("service", "")),
            zone=raw.get("zone"),
            phase=str(raw.get("phase", "unknown")),
            pid=int(pid) if pid else None,
            start_time=float(start) if start else None,
            ready=bool(raw.get("ready", False)),
            overrides=tuple(str(key) for key in raw.get("overrides") or ()),
        )


@dataclass(frozen=True, slots=True)
class Node:
    """A machine as its agent sees it; `power` is on or off, `instances` are those that run on it."""

    name: str
    zone: str | None
    power: str
    instances: tuple[str, ...]


class AgentClient:
    """Asks and orders one node agent. Raises ComponentError (agent, or what it refused) on every failure.

    With a `tag` every order says so: one that arrives after the undo of that fault is refused.
    """

    def __init__(self, url: str, tag: str | None = None) -> None:
        self.url, self._tag = url.rstrip("/"), tag

    def instances(self) -> tuple[Process, ...]:
        """All instances, as they are now."""
        return tuple(Process.parse(raw) for raw in self._call("GET", "/instances"))

    def instance(self, name: str) -> Process:
        """One instance, as it is now."""
        return Process.parse(self._call("GET", f"/instances/{httpjson.segment(name)}"))

    def nodes(self) -> tuple[Node, ...]:
        """All nodes, as they are now."""
        return tuple(
            Node(str(raw["name"]), raw.get("zone"), str(raw["power"]), tuple(raw.get("instances") or ()))
            for raw in self._call("GET", "/nodes")
        )

    def power(self, node: str, *, on: bool) -> None:
        """Give a node its power or take it; returns when its processes show it."""
        self._call("POST", f"/nodes/{httpjson.segment(node)}/{'on' if on else 'off'}", {}, timeout_s=ACT_S)

    def act(self, name: str, act: Act, **body: object) -> Process:
        """Order one act (kill takes signal and hold) and return the instance after it."""
        path = f"/instances/{httpjson.segment(name)}/{act}"
        return Process.parse(self._call("POST", path, body or {}, timeout_s=ACT_S))

    def override(self, name: str, key: str, **wanted: object) -> Process:
        """Have the instance started again with env, disk_mb, fill under this key; returns it as it is then."""
        path = f"/instances/{httpjson.segment(name)}/override"
        return Process.parse(self._call("POST", path, {"key": key, **wanted}, timeout_s=ACT_S))

    def _call(self, method: str, path: str, body: object = None, timeout_s: float = QUICK_S) -> Any:  # noqa: ANN401 - JSON
        headers = late.order(self._tag) if self._tag and method != "GET" else None
        try:
            status, answer = httpjson.call(method, self.url + path, body, timeout_s=timeout_s, headers=headers)
        except httpjson.Unreachable as error:
            raise ComponentError("node agent", f"{error}; is the sandbox up?") from error
        if status >= 300:
            raise ComponentError("node agent", f"{method} {self.url}{path} answered {status}: {answer}")
        return answer
