"""Undo in the network namespaces of zones: packets pass again."""

from __future__ import annotations

from chaoslib_ext import netns, processes
from chaoslib_ext.guardian.verbs.base import Args, NotUndone, Verb


class Heal:
    """`netns.heal` {zone, pid, start_time, rung, mark}: nothing of this mark is left in the namespace of a zone.

    A namespace whose holder has ended is gone with all that was lost in it: no other process can be started there.
    """

    def undo(self, args: Args) -> None:
        """Take away what is there of it; a namespace that is no more needs nothing."""
        if not _gone(args):
            try:
                if lines := _left(args):
                    netns.ip(_path(args), lines)
            except netns.ZoneGone as error:
                raise NotUndone(str(error)) from error

    def observe(self, args: Args) -> str:
        """The kernel shows nothing of this mark, or the namespace is no more."""
        if _gone(args):
            return f"the namespace of {args['zone']} is gone, with all that was lost in it"
        try:
            lines = _left(args)
        except netns.ZoneGone as error:
            raise NotUndone(str(error)) from error
        if lines:
            raise NotUndone(f"zone {args['zone']} still loses packets: to be done: {lines[0]}")
        return f"zone {args['zone']} loses nothing of this fault"

    def by_hand(self, args: Args) -> str:
        """By nsenter and ip, as root."""
        enter, mark = f"nsenter --net=/proc/{int(args['pid'])}/ns/net ip", int(args["mark"])
        match args["rung"]:
            case "rules":
                return f"while {enter} rule del pref {mark} 2>/dev/null; do :; done"
            case "routes":
                shown = f"{enter} -o route show metric {mark} | cut -d' ' -f1"
                return f"for to in $({shown}); do {enter} route del $to metric {mark}; done"
        return f"{enter} link set {netns.DEVICE} up"


VERBS: dict[str, Verb] = {"netns.heal": Heal()}


def _gone(args: Args) -> bool:
    return not processes.alive(int(args["pid"]), float(args["start_time"]))


def _path(args: Args) -> str:
    return netns.path(int(args["pid"]), float(args["start_time"]))


def _left(args: Args) -> list[str]:
    return netns.left(_path(args), str(args["rung"]), int(args["mark"]))
