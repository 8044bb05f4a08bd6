"""Zones that are network namespaces: sockets in them, and how packets are lost there.

What a fault leaves carries its number, made of its tag: as the priority of rules, as the metric of routes. The guardian
uses this module too, so it stays with the standard library and psutil.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chaoslib_ext import processes

Rung = Literal["rules", "routes", "link"]

RUNGS: dict[str, str] = {"rules": "blackhole rules", "routes": "routes into nothing", "link": "link down"}
"""How packets are lost, best first, in words."""

DEVICE = "links"
"""The zone's end of its veth."""

LOST_TABLE = 66
"""The routing table of a zone in which everything is lost."""

_FIRST, _NUMBERS = 1000, 28000
_IP_S = 5.0
_PR_SET_PDEATHSIG = 1


class ZoneGone(Exception):
    """The namespace of a zone is no more, or does not take an order; the message says which."""


@dataclass(frozen=True, slots=True)
class Zone:
    """One zone: who holds its namespace, and what it dials to reach each zone."""

    name: str
    pid: int
    start_time: float
    gate: str
    pairs: Mapping[str, str]

    @property
    def path(self) -> str:
        """Its namespace, for nsenter. Raises ZoneGone where its holder has ended."""
        return path(self.pid, self.start_time)


def zones(describe: Mapping[str, Any]) -> dict[str, Zone]:
    """The zones of a world by name; none where they are no namespaces."""
    told = (describe.get("netns") or {}).get("zones") or {}
    return {
        name: Zone(name, int(one["pid"]), float(one["start_time"]), str(one["gate"]), dict(one["pairs"]))
        for name, one in told.items()
    }


def path(pid: int, start_time: float) -> str:
    """The namespace that a process holds. Raises ZoneGone where that very process has ended."""
    if not processes.alive(pid, start_time):
        raise ZoneGone(f"pid {pid}, which held the zone's namespace, has ended")
    return f"/proc/{pid}/ns/net"


def number(tag: str) -> int:
    """What marks rules and routes of this tag: below the priority of the table of local addresses."""
    return _FIRST + zlib.crc32(tag.encode()) % _NUMBERS


def ip(namespace: str, lines: Sequence[str]) -> None:
    """Run lines of `ip -batch` in a namespace, none after one that fails. Raises ZoneGone with what it said.

    It ends with us: what was begun by a run that died must not come after its undo.
    """
    _run(namespace, ["-batch", "-"], "\n".join([*lines, ""]), _die_with_us())


def left(namespace: str, rung: str, mark: int) -> list[str]:
    """What of this mark is in a namespace, each as the words that delete it. Raises ZoneGone."""
    match rung:
        case "rules":
            return [f"rule del pref {mark}" for row in _shown(namespace, "rule") if row.get("priority") == mark]
        case "routes":
            rows = [row for row in _shown(namespace, "route") if row.get("metric") == mark]
            return [f"route del {row['dst']} metric {mark}" for row in rows]
    (row,) = _shown(namespace, "link", "show", "dev", DEVICE)
    return [] if "UP" in row["flags"] else [f"link set {DEVICE} up"]


def everything_lost(namespace: str) -> list[str]:
    """All that is lost in a namespace now, whoever lost it, one line each. Raises ZoneGone."""
    rules = [row for row in _shown(namespace, "rule") if row.get("priority", 0) < _FIRST + _NUMBERS]
    routes = [row for row in _shown(namespace, "route") if row.get("dev") == "lo"]
    down = left(namespace, "link", 0)
    return sorted([json.dumps(row, sort_keys=True) for row in (*rules, *routes) if row.get("priority") != 0] + down)


def sockets(zone: Zone, kinds: Sequence[socket.SocketKind]) -> list[socket.socket]:
    """New IPv4 sockets in the zone, whatever namespace we are in. Raises ZoneGone, PermissionError."""
    made: list[socket.socket] = []
    wrong: list[OSError] = []

    def make() -> None:
        try:
            with open(zone.path) as namespace:
                os.setns(namespace.fileno(), os.CLONE_NEWNET)  # of this thread alone, which ends here
            made.extend(socket.socket(socket.AF_INET, kind) for kind in kinds)
        except OSError as error:
            wrong.append(error)

    zone.path  # noqa: B018 - raises here, not in the thread
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if wrong:
        raise ZoneGone(f"zone {zone.name} cannot be entered: {wrong[0].strerror or wrong[0]}") from wrong[0]
    return made


def _shown(namespace: str, *words: str) -> list[dict[str, Any]]:
    return [row for row in json.loads(_run(namespace, ["-j", *words]) or "[]") if row]


def _die_with_us() -> Callable[[], None]:
    """For a child: the kernel kills it when we die."""
    prctl: Any = ctypes.CDLL(None).prctl  # looked up before the fork: nothing but system calls after it
    parent = os.getpid()

    def arm() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # we died between fork and prctl
            os._exit(1)

    return arm


def _run(
    namespace: str, words: Sequence[str], given: str | None = None, before: Callable[[], None] | None = None
) -> str:
    argv = ["nsenter", f"--net={namespace}", "ip", *words]
    try:
        done = subprocess.run(
            argv, input=given, capture_output=True, text=True, timeout=_IP_S, check=False, preexec_fn=before
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ZoneGone(f"{namespace}: ip {words[0]}: {error}") from error
    if done.returncode:
        raise ZoneGone(f"{namespace}: ip {words[0]}: {' '.join(done.stderr.split())[:200]}")
    return done.stdout
