"""What faults may leave on this host, told as the plane `host`: overrides, lowered limits, helpers at work."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable

from chaoslib_ext import planes, processes
from chaoslib_ext.agentclient import Process
from chaoslib_ext.faults.base import Recipe
from chaoslib_ext.helpers import find
from chaoslib_ext.world import World
from drills.errors import ComponentError, Refused


def end_tagged(world: World, resume: Iterable[tuple[int, float]] = ()) -> Recipe:
    """The undo of everything that works under the tag of this world; `resume`: what it may leave stopped."""
    return {"verb": "host.end_tagged", "args": {"tag": world.tag, "resume": [list(one) for one in resume]}}


def on_linux(fault: str) -> None:
    """Raises Refused elsewhere."""
    if sys.platform != "linux":
        raise Refused("not-possible-here", f"{fault}: takes Linux; nothing was touched")


def open_files_limit(pid: int) -> tuple[int, int] | None:
    """Soft and hard limit of open files of a process; None where it cannot be told."""
    if sys.platform != "linux":
        return None
    try:
        return resource.prlimit(pid, resource.RLIMIT_NOFILE)
    except OSError:
        return None


def snapshot(world: World) -> dict[str, str]:
    """Overrides by instance, limits that no process has by itself, helpers at work in this world."""
    agent = world.describe.get("agent")
    if not agent:
        return {}
    lines = {
        f"helper {one.what} of {one.order('tag')}": "at work" for one in find.tagged() if one.order("world") == agent
    }
    try:
        seen = world.agent.instances()
    except ComponentError:
        return lines
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    for one in seen:
        if one.overrides:
            lines[f"overrides of {one.name}"] = ", ".join(one.overrides)
        limit = _limit(one)
        if limit is not None and limit[0] not in usual:  # Go raises its soft limit to the hard one
            lines[f"open files of {one.name}"] = f"at most {limit[0]}"
    return lines


def _limit(one: Process) -> tuple[int, int] | None:
    if one.pid is None or not processes.alive(one.pid, one.start_time):
        return None
    return open_files_limit(one.pid)


planes.SNAPSHOTS["host"] = snapshot
