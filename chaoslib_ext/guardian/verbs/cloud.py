"""Undo through a cloud: instances, borders of zones, records, targets, scaling groups, from their saved former state.

Every recipe holds `cloud` (its name) and `target` (how it is reached, without keys). The cloud's word is not enough:
where the recipe names addresses that took connections before, or answers that the name had, they must be back too. A
cloud that nobody answers for is never taken for gone: what it did lives in machines, not in its control plane.
"""

from __future__ import annotations

import shlex
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable

import orjson

from chaoslib_ext import cloud, dnsask
from chaoslib_ext.cloud import Cloud, CloudError
from chaoslib_ext.guardian.verbs.base import Args, NotUndone, Verb, accepts

cloud.load()  # now, when the recipe is written: boto3 takes half a second


class _CloudVerb(ABC):
    """What all of them share: connecting, and a refusal that is no crash."""

    name: str

    def undo(self, args: Args) -> None:
        """Order it. Raises NotUndone with the action that failed."""
        _tried(lambda: self.order(cloud.enter(str(args["cloud"]), args["target"]), args))

    def observe(self, args: Args) -> str:
        """Ask the cloud, then the addresses and names that it is about."""
        return _tried(lambda: self.look(cloud.enter(str(args["cloud"]), args["target"]), args) + _effects(args))

    def by_hand(self, args: Args) -> str:
        """The cloud's own command line where it is on the path, else ours."""
        made = cloud.connect(str(args["cloud"]), args["target"]).by_hand(self.name, args)
        if made:
            return made
        recipe = orjson.dumps({"verb": self.name, "args": dict(args)}).decode()
        return shlex.join([sys.executable, "-m", "chaoslib_ext.guardian.hand", recipe])

    @abstractmethod
    def order(self, cloud: Cloud, args: Args) -> None:
        """Undo it."""

    @abstractmethod
    def look(self, cloud: Cloud, args: Args) -> str:
        """What the cloud shows. Raises NotUndone."""


class Start(_CloudVerb):
    """`cloud.start` {ids, zone, ports}: instances run again."""

    name = "cloud.start"
    patience_s = 55.0
    """A machine boots; whoever asks the guardian waits for a minute."""

    def order(self, cloud: Cloud, args: Args) -> None:
        """Start those that are stopped."""
        cloud.start(args["ids"])

    def look(self, cloud: Cloud, args: Args) -> str:
        """All run."""
        states = cloud.states(args["ids"])
        if left := [f"{name} is {state}" for name, state in states.items() if state != "running"]:
            raise NotUndone(", ".join(left))
        return f"{', '.join(args['ids'])} running"


class ResumeScaling(_CloudVerb):
    """`cloud.resume_scaling` {zone, group, processes}: a scaling group replaces unhealthy instances again."""

    name = "cloud.resume_scaling"

    def order(self, cloud: Cloud, args: Args) -> None:
        """Resume what was not suspended before."""
        cloud.resume(args)

    def look(self, cloud: Cloud, args: Args) -> str:
        """None of them is suspended."""
        if left := cloud.still_suspended(args):
            raise NotUndone(f"group {args['group']} has {', '.join(left)} still suspended")
        return f"group {args['group']} has none of {', '.join(args['processes'])} suspended"


class RestoreBorder(_CloudVerb):
    """`cloud.restore_border` {zone, subnets, tag, ports}: packets enter and leave the zone as before."""

    name = "cloud.restore_border"

    def order(self, cloud: Cloud, args: Args) -> None:
        """Put the former one back."""
        cloud.restore(args, args["tag"])

    def look(self, cloud: Cloud, args: Args) -> str:
        """It is the former one, and nothing of ours is left."""
        if left := cloud.not_restored(args, args["tag"]):
            raise NotUndone("; ".join(left))
        return f"the border of {args['zone']} is as it was"


class RestoreRecord(_CloudVerb):
    """`cloud.restore_record` {zone_id, name, sets, dns, answers}: every set of the record is as before."""

    name = "cloud.restore_record"

    def order(self, cloud: Cloud, args: Args) -> None:
        """Write the former sets."""
        cloud.switch(args, {})

    def look(self, cloud: Cloud, args: Args) -> str:
        """They read as they were."""
        now = cloud.record(args["name"])["sets"]
        if left := sorted(name for name, one in args["sets"].items() if now.get(name) != one):
            raise NotUndone(f"{args['name']}: set {', '.join(left)} is not as it was")
        return f"{args['name']} has its former sets"


class Register(_CloudVerb):
    """`cloud.register` {zone, group, targets, dns, answers}: targets are in their group again."""

    name = "cloud.register"

    def order(self, cloud: Cloud, args: Args) -> None:
        """Register them."""
        cloud.register(args["group"], args["targets"])

    def look(self, cloud: Cloud, args: Args) -> str:
        """All are in it."""
        there = {(one.id, one.port) for one in cloud.targets(args["group"])}
        if left := [one["id"] for one in args["targets"] if (one["id"], one["port"]) not in there]:
            raise NotUndone(f"{', '.join(left)} not in {args['group']}")
        return f"{', '.join(one['id'] for one in args['targets'])} in {args['group']}"


VERBS: dict[str, Verb] = {
    one.name: one for one in (Start(), ResumeScaling(), RestoreBorder(), RestoreRecord(), Register())
}


def _tried[T](act: Callable[[], T]) -> T:
    try:
        return act()
    except CloudError as error:
        raise NotUndone(str(error)) from error


def _effects(args: Args) -> str:
    """What shows outside of the cloud that it is undone: addresses take connections, a name has its former answers."""
    if silent := [address for address in args.get("ports", ()) if not accepts(address)]:
        raise NotUndone(f"{silent[0]} takes no connection yet")
    said = f", {len(args['ports'])} addresses take connections" if args.get("ports") else ""
    if args.get("dns") and (name := args.get("record") or args.get("name")):
        found = dnsask.answers(args["dns"], name)
        if not found <= set(args["answers"]) or not found:
            raise NotUndone(f"{name} answers {', '.join(sorted(found)) or 'nothing'}")
        said += f", {name} answers {', '.join(sorted(found))}"
    return said
