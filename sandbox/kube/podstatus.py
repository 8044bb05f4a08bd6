"""What the API server is told of a pod: a function of its instance's view, and nothing else."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_SIGNALLED = 128


@dataclass
class Told:
    """What stays from one report to the next: since when each condition is as it is, and when the process began."""

    since: dict[str, tuple[str, str]] = field(default_factory=dict)
    began: dict[int, str] = field(default_factory=dict)
    began_at: str = ""

    def condition(self, kind: str, holds: bool, reason: str = "") -> dict[str, str]:
        """A condition, with the time of its last change."""
        status = "True" if holds else "False"
        if self.since.get(kind, ("", ""))[0] != status:
            self.since[kind] = (status, now())
        row = {"type": kind, "status": status, "lastTransitionTime": self.since[kind][1]}
        return {**row, "reason": reason} if reason and not holds else row

    def start_of(self, pid: int) -> str:
        """When the process was first reported."""
        if pid not in self.began:
            self.began = {pid: now()}
        return self.began[pid]


def now() -> str:
    """The wall time as the API server writes it: whole seconds."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_micro() -> str:
    """The wall time as leases have it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def waiting(pod: Mapping[str, Any], told: Told, reason: str, message: str) -> dict[str, Any]:
    """The status of a pod whose process cannot be started (yet)."""
    told.began_at = told.began_at or now()
    state = {"waiting": {"reason": reason, "message": message}}
    return {
        "phase": "Pending",
        "startTime": told.began_at,
        "conditions": [told.condition(kind, False, "ContainersNotReady") for kind in ("Ready", "ContainersReady")],
        "containerStatuses": [_container(pod, state, ready=False, restarts=0, pid=None, last=None)],
    }


def running(pod: Mapping[str, Any], told: Told, view: Mapping[str, Any], pod_ip: str, host_ip: str) -> dict[str, Any]:
    """The status of a pod with an instance, from the instance's view."""
    told.began_at = told.began_at or now()
    over = ended(pod, view)
    ready = bool(view["ready"])
    why = "PodCompleted" if over else "ContainersNotReady"
    last = _exit(view["last_exit"]) if view["last_exit"] is not None else None
    state = {"terminated": last} if over else _state(told, view)
    started = over or view["pid"] is not None or view["restarts"] > 0 or view["last_exit"] is not None
    return {
        "phase": ("Succeeded" if view["last_exit"] == 0 else "Failed") if over else "Running" if started else "Pending",
        "startTime": told.began_at,
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}],
        "conditions": [
            told.condition("PodReadyToStartContainers", True),
            told.condition("Initialized", True),
            told.condition("ContainersReady", ready, why),
            told.condition("Ready", ready, why),
        ],
        "containerStatuses": [
            _container(pod, state, ready, view["restarts"], view["pid"], None if over or last is None else last)
        ],
    }


def ended(pod: Mapping[str, Any], view: Mapping[str, Any]) -> bool:
    """Whether the pod has done its work: its policy does not ask for another start."""
    policy = pod["spec"].get("restartPolicy", "Always")
    return view["phase"] == "stopped" and view["last_exit"] is not None and policy != "Always"


def _state(told: Told, view: Mapping[str, Any]) -> dict[str, Any]:
    if view["pid"] is not None:
        return {"running": {"startedAt": told.start_of(view["pid"])}}
    if view["phase"] == "backoff":
        if view["last_exit"] is None:
            return {"waiting": {"reason": "ContainerCreating"}}
        return {"waiting": {"reason": "CrashLoopBackOff", "message": f"ended with {view['last_exit']}; starts again"}}
    what = "held down" if view["phase"] == "held" else "stopped"
    return {"waiting": {"reason": what.title().replace(" ", ""), "message": f"{what} by the sandbox's agent"}}


def _exit(code: int) -> dict[str, Any]:
    """A process's end; Popen says -9 where a container says 137."""
    plain = {"exitCode": code if code >= 0 else _SIGNALLED - code, "reason": "Completed" if code == 0 else "Error"}
    return {**plain, "signal": -code} if code < 0 else plain


def _container(
    pod: Mapping[str, Any],
    state: Mapping[str, Any],
    ready: bool,
    restarts: int,
    pid: int | None,
    last: Mapping[str, Any] | None,
) -> dict[str, Any]:
    container = pod["spec"]["containers"][0]
    row: dict[str, Any] = {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": ready,
        "started": pid is not None,
        "restartCount": restarts,
        "state": dict(state),
        "lastState": {"terminated": dict(last)} if last else {},
    }
    return {**row, "containerID": f"process://{pid}"} if pid is not None else row
