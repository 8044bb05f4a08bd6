"""Undo on this host: helpers that work in the background, processes that they stopped, limits that were lowered."""

from __future__ import annotations

import os
import re
import resource
import shlex
import signal
import sys
import time

from chaoslib_ext import processes
from chaoslib_ext.guardian.verbs.base import Args, NotUndone, Verb
from chaoslib_ext.helpers import find

GONE_S = 0.5
"""A killed process is gone within milliseconds, unless the disk or a debugger holds it."""


class EndTagged:
    """`host.end_tagged` {tag, resume: [[pid, start_time]…]}: no helper with this tag, nobody left stopped."""

    def undo(self, args: Args) -> None:
        """Kill every process with the tag, wait for its end, then let go on what they had stopped.

        To look at every process of the machine takes longer than all the rest: it is done once here, once to observe.
        """
        deadline = time.monotonic() + GONE_S
        left = find.tagged(str(args["tag"]))
        for one in left:
            _signal(one.pid, signal.SIGKILL)
        while left := [one for one in left if processes.alive(one.pid, None)]:
            if time.monotonic() >= deadline:
                raise NotUndone(f"{_shown(left)} of {args['tag']} did not end")
            time.sleep(0.001)
        processes.send(_stopped(args), signal.SIGCONT)

    def observe(self, args: Args) -> str:
        """Nobody carries the tag, and none of the processes is stopped."""
        if left := find.tagged(str(args["tag"])):
            raise NotUndone(f"{_shown(left)} of {args['tag']} still works")
        if stopped := _stopped(args):
            raise NotUndone("still stopped: " + ", ".join(f"pid {pid}" for pid, _ in stopped))
        return f"no helper of {args['tag']} is left" + (", nobody is stopped" if args.get("resume") else "")

    def by_hand(self, args: Args) -> str:
        """By pkill, which finds neither itself nor the shell that this stands in."""
        pattern = f"[-]-tag {re.escape(str(args['tag']))}( |$)"
        words = [f"pkill -KILL -f -- {shlex.quote(pattern)}; sleep 0.1"]
        words += [f"kill -CONT {int(pid)} 2>/dev/null" for pid, _ in args.get("resume", ())]
        return "; ".join([*words, "true"])


class RestoreLimit:
    """`host.restore_limit` {pid, start_time, soft, hard}: as many open files as it might have before."""

    def undo(self, args: Args) -> None:
        """Set it; a process that has ended since needs nothing."""
        if _gone(args) or _limit(args) == _wanted(args):
            return
        _prlimit(int(args["pid"]), _wanted(args))

    def observe(self, args: Args) -> str:
        """The kernel shows the former limit, or the process is no more."""
        if _gone(args):
            return f"pid {args['pid']} has ended since, its limit with it"
        if (now := _limit(args)) != _wanted(args):
            raise NotUndone(f"pid {args['pid']} may open {now[0]} files, was {args['soft']}")
        return f"pid {args['pid']} may open {args['soft']} files"

    def by_hand(self, args: Args) -> str:
        """By prlimit of util-linux."""
        return f"prlimit --pid {int(args['pid'])} --nofile={int(args['soft'])}:{int(args['hard'])}"


VERBS: dict[str, Verb] = {"host.end_tagged": EndTagged(), "host.restore_limit": RestoreLimit()}


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _stopped(args: Args) -> list[tuple[int, float]]:
    known = [(int(pid), float(start)) for pid, start in args.get("resume", ())]
    return [(pid, start) for pid, start in known if processes.state(pid, start) in processes.STOPPED]


def _shown(found: list[find.Found]) -> str:
    return ", ".join(f"{one.what} (pid {one.pid})" for one in found)


def _gone(args: Args) -> bool:
    return not processes.alive(int(args["pid"]), float(args["start_time"]))


def _wanted(args: Args) -> tuple[int, int]:
    return int(args["soft"]), int(args["hard"])


def _limit(args: Args) -> tuple[int, int]:
    return _prlimit(int(args["pid"]))


def _prlimit(pid: int, limits: tuple[int, int] | None = None) -> tuple[int, int]:
    if sys.platform != "linux":
        raise NotUndone("limits of another process can be set on Linux only")
    try:
        if limits is None:
            return resource.prlimit(pid, resource.RLIMIT_NOFILE)
        return resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    except (OSError, ValueError) as error:
        raise NotUndone(f"pid {pid}: its limit of open files cannot be told or set: {error}") from error
