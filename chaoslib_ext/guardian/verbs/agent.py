"""Undo through the node agent: instances that were held down or stopped, nodes without power.

The `tag` of a recipe tells the agent that what was ordered under it before is over: it refuses what comes late.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from chaoslib_ext import httpjson, late, processes
from chaoslib_ext.guardian.verbs.base import TIMEOUT_S, Args, NotUndone, Verb, curl, get, order

START_S = 8.0
"""How long a new process may take to get ready before that is its own affair and no longer the undo's."""


class Release:
    """`agent.release` {agent, tag, instance}: a held-down instance may start again."""

    def undo(self, args: Args) -> None:
        """Release it; the agent starts it when it does not run."""
        order("POST", _instance(args, "/release"), {}, headers=_over(args))

    def observe(self, args: Args) -> str:
        """It runs: not held, not stopped, and its process lives."""
        seen = get(_instance(args))
        phase, pid = seen.get("phase"), seen.get("pid")
        if phase in ("running", "starting") and pid and processes.alive(int(pid), seen.get("start_time")):
            return f"{args['instance']} is {phase} as pid {pid}"
        raise NotUndone(f"{args['instance']} is {phase}")

    def by_hand(self, args: Args) -> str:
        """Ask the agent with curl."""
        return curl("POST", _instance(args, "/release"))


class Resume:
    """`agent.resume` {agent, tag, instance, pid, start_time}: a stopped process goes on."""

    def undo(self, args: Args) -> None:
        """Ask the agent; where it is silent, signal the very process that was stopped."""
        try:
            order("POST", _instance(args, "/resume"), {}, headers=_over(args))
        except (httpjson.Unreachable, NotUndone):
            if not processes.alive(int(args["pid"]), args["start_time"]):
                raise
            os.kill(int(args["pid"]), signal.SIGCONT)

    def observe(self, args: Args) -> str:
        """The process is no longer stopped, or is no more: nobody restores a process that has died since."""
        pid = int(args["pid"])
        state = processes.state(pid, args["start_time"])
        if state is None:
            return f"{args['instance']} (pid {pid}) has ended since, no pause is left"
        if state in processes.STOPPED:
            raise NotUndone(f"{args['instance']} (pid {pid}) is still stopped")
        return f"{args['instance']} (pid {pid}) is {state}"

    def by_hand(self, args: Args) -> str:
        """The signal itself works without the agent."""
        return f"kill -CONT {int(args['pid'])}"


class ClearOverride:
    """`agent.clear_override` {agent, tag, instance, key}: the instance runs again as its manifest says."""

    def undo(self, args: Args) -> None:
        """Take it away; one that is not there is fine. The agent starts the instance again behind its answer."""
        order("DELETE", _instance(args, f"/override/{httpjson.segment(args['key'])}"), headers=_over(args))

    def observe(self, args: Args) -> str:
        """Neither wanted nor what its process was started with; and it runs, unless something else holds it.

        One that starts slowly (it catches up, the machine is busy) is without the override all the same.
        """
        seen = get(_instance(args))
        phase = seen.get("phase")
        if args["key"] in seen.get("overrides", ()):
            raise NotUndone(f"{args['instance']} ({phase}) still runs with override {args['key']}")
        if phase == "backoff" or (phase == "starting" and _age_s(seen) < START_S):
            raise NotUndone(f"{args['instance']} is {phase} after its override went")
        return f"{args['instance']} is {phase}, without override {args['key']}"

    def by_hand(self, args: Args) -> str:
        """Ask the agent with curl."""
        return curl("DELETE", _instance(args, f"/override/{httpjson.segment(args['key'])}"))


class NodeOn:
    """`agent.node_on` {agent, tag, node, running}: the node has power, and what ran on it runs."""

    def undo(self, args: Args) -> None:
        """Give it power; the agent starts what was not held down by itself."""
        order("POST", f"{args['agent']}/nodes/{httpjson.segment(args['node'])}/on", {}, headers=_over(args))

    def observe(self, args: Args) -> str:
        """The node is on, and each process that ran on it before lives again."""
        status, nodes = httpjson.call("GET", f"{args['agent']}/nodes", timeout_s=TIMEOUT_S)
        power = {one["name"]: one["power"] for one in nodes} if status == 200 else {}
        if power.get(args["node"]) != "on":
            raise NotUndone(f"node {args['node']} is {power.get(args['node'], 'not known')}")
        runs = [Release().observe({**args, "instance": name}) for name in args["running"]]
        return f"node {args['node']} is on; " + ", ".join(runs)

    def by_hand(self, args: Args) -> str:
        """Ask the agent with curl."""
        return curl("POST", f"{args['agent']}/nodes/{httpjson.segment(args['node'])}/on")


VERBS: dict[str, Verb] = {
    "agent.release": Release(),
    "agent.resume": Resume(),
    "agent.clear_override": ClearOverride(),
    "agent.node_on": NodeOn(),
}


def _over(args: Args) -> dict[str, str]:
    return late.over(args.get("tag"))


def _age_s(seen: Mapping[str, Any]) -> float:
    return time.time() - float(seen.get("start_time") or 0)


def _instance(args: Args, path: str = "") -> str:
    return f"{args['agent']}/instances/{httpjson.segment(args['instance'])}{path}"
