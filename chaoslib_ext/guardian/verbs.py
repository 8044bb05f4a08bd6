"""The verbs of undo recipes: they need the recipe and nothing else, not the run, not the fault that wrote it.

Each is safe to play twice, and safe where the fault was never applied. What an undo did is never believed: `is_undone`
looks at the system. Where nothing listens on a port of this host, what the server held in memory (a held instance, a
toxic) is gone with it; that is said, never taken for a success silently.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
from collections.abc import Mapping
from typing import Any, Protocol

from chaoslib_ext import httpjson, processes

Args = Mapping[str, Any]

TIMEOUT_S = 1.0


class NotUndone(Exception):
    """The system did not take the undo, or does not show it; the message says what was seen."""


class Verb(Protocol):
    """One kind of undo."""

    def undo(self, args: Args) -> None:
        """Order it; idempotent. Raises NotUndone, httpjson.Unreachable."""

    def observe(self, args: Args) -> str:
        """What shows that it is undone. Raises NotUndone, httpjson.Unreachable."""

    def by_hand(self, args: Args) -> str:
        """The exact shell command for a person."""


class Release:
    """`agent.release` {agent, instance}: a held-down instance may start again."""

    def undo(self, args: Args) -> None:
        """Release it; the agent starts it when it does not run."""
        _order("POST", _instance(args, "/release"), {})

    def observe(self, args: Args) -> str:
        """It runs: not held, not stopped, and its process lives."""
        seen = _get(_instance(args))
        phase, pid = seen.get("phase"), seen.get("pid")
        if phase in ("running", "starting") and pid and processes.alive(int(pid), seen.get("start_time")):
            return f"{args['instance']} is {phase} as pid {pid}"
        raise NotUndone(f"{args['instance']} is {phase}")

    def by_hand(self, args: Args) -> str:
        """Ask the agent with curl."""
        return _curl("POST", _instance(args, "/release"))


class Resume:
    """`agent.resume` {agent, instance, pid, start_time}: a stopped process goes on."""

    def undo(self, args: Args) -> None:
        """Ask the agent; where it is silent, signal the very process that was stopped."""
        try:
            _order("POST", _instance(args, "/resume"), {})
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


class RemoveToxic:
    """`toxiproxy.remove_toxic` {api, proxy, toxic}: this toxic goes, those of others stay."""

    def undo(self, args: Args) -> None:
        """Delete it; one that is not there is fine."""
        _order("DELETE", _proxy(args, "/toxics/" + httpjson.segment(args["toxic"])), missing_ok=True)

    def observe(self, args: Args) -> str:
        """The proxy's list does not show it."""
        status, seen = httpjson.call("GET", _proxy(args, "/toxics"), timeout_s=TIMEOUT_S)
        if status == 404:
            return f"link {args['proxy']} is gone, and its toxics with it"
        if status != 200 or any(one["name"] == args["toxic"] for one in seen):
            raise NotUndone(f"link {args['proxy']} still has toxic {args['toxic']}")
        return f"link {args['proxy']} has no toxic {args['toxic']}"

    def by_hand(self, args: Args) -> str:
        """Ask Toxiproxy with curl."""
        return _curl("DELETE", _proxy(args, "/toxics/" + httpjson.segment(args["toxic"])))


class SetEnabled:
    """`toxiproxy.set_enabled` {api, proxy, enabled}: the proxy listens again as it did before."""

    def undo(self, args: Args) -> None:
        """Set the switch."""
        _order("POST", _proxy(args), {"enabled": bool(args["enabled"])})

    def observe(self, args: Args) -> str:
        """The switch stands as before and, when open, the port takes connections."""
        status, seen = httpjson.call("GET", _proxy(args), timeout_s=TIMEOUT_S)
        if status != 200 or seen["enabled"] != bool(args["enabled"]):
            raise NotUndone(f"link {args['proxy']} is not {'open' if args['enabled'] else 'cut'}")
        if args["enabled"] and not accepts(str(seen["listen"])):
            raise NotUndone(f"link {args['proxy']} is open but {seen['listen']} takes no connection")
        return f"link {args['proxy']} is {'open' if args['enabled'] else 'cut'}"

    def by_hand(self, args: Args) -> str:
        """Ask Toxiproxy with curl."""
        return _curl("POST", _proxy(args), '{"enabled": %s}' % ("true" if args["enabled"] else "false"))


VERBS: dict[str, Verb] = {
    "agent.release": Release(),
    "agent.resume": Resume(),
    "toxiproxy.remove_toxic": RemoveToxic(),
    "toxiproxy.set_enabled": SetEnabled(),
}
"""Every verb by its name in recipes."""


def accepts(address: str, timeout_s: float = 0.5) -> bool:
    """Whether something takes a TCP connection at host:port."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]") or "127.0.0.1", int(port)), timeout_s).close()
    except OSError:
        return False
    return True


def _instance(args: Args, path: str = "") -> str:
    return f"{args['agent']}/instances/{httpjson.segment(args['instance'])}{path}"


def _proxy(args: Args, path: str = "") -> str:
    return f"{args['api']}/proxies/{httpjson.segment(args['proxy'])}{path}"


def _order(method: str, url: str, body: object = None, *, missing_ok: bool = False) -> None:
    status, answer = httpjson.call(method, url, body, timeout_s=TIMEOUT_S)
    if status >= 300 and not (missing_ok and status == 404):
        raise NotUndone(f"{method} {url} answered {status}: {answer}")


def _get(url: str) -> dict[str, Any]:
    status, answer = httpjson.call("GET", url, timeout_s=TIMEOUT_S)
    if status != 200 or not isinstance(answer, dict):
        raise NotUndone(f"GET {url} answered {status}: {answer}")
    return answer


def _curl(method: str, url: str, body: str | None = None) -> str:
    data = "" if body is None else f" -d {shlex.quote(body)}"
    return f"curl -fsS -X {method}{data} {shlex.quote(url)}"
