"""What the faults through a cloud share: the right account, the right to act, and who shows the effect."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from chaoslib_ext import cloud, dnsask, planes, processes
from chaoslib_ext.cloud import Act, Cloud, Denied, WrongAccount
from chaoslib_ext.faults.base import Fault, Recipe, Witness
from chaoslib_ext.guardian.verbs import accepts
from chaoslib_ext.world import Instance, World
from drills import registry
from drills.errors import ComponentError, FaultError, Refused
from drills.plan import Target


class CloudFault(Fault):
    """Base of faults on what a cloud runs."""

    def cloud(self, world: World) -> Cloud:
        """The cloud of the world. Raises Refused: `no-cloud` without one, `account-identity` in a wrong account."""
        return entered(world)

    def rehearse(self, act: Act, saved: Mapping[str, Any], world: World) -> None:
        """Whether the account may do and undo it, as far as the cloud tells. Raises Refused `cloud-permission`."""
        try:
            self.cloud(world).rehearse(act, saved)
        except Denied as error:
            raise Refused("cloud-permission", f"{self.name}: {error}; nothing was touched") from error

    def recipe(self, verb: str, world: World, **args: object) -> Recipe:
        """An undo recipe for this cloud."""
        return recipe(verb, world, **args)

    def zone_of(self, word: str, world: World) -> str:
        """The zone of that name. Raises Refused `target-matches-nothing`."""
        zones = self.cloud(world).zones()
        if word not in zones:
            raise nothing(f"zone {word!r}", registry.did_you_mean(word, zones))
        return word


def entered(world: World) -> Cloud:
    """The cloud of the world. Raises Refused: `no-cloud` where it has none, `account-identity` in a wrong account."""
    try:
        return cloud.enter(*_reached(world))
    except WrongAccount as error:
        raise Refused("account-identity", f"{error}; nothing was touched") from error


def recipe(verb: str, world: World, **args: object) -> Recipe:
    """An undo recipe for the cloud of the world."""
    name, target = _reached(world)
    return {"verb": verb, "args": {"cloud": name, "target": target, **args}}


def _reached(world: World) -> tuple[str, dict[str, Any]]:
    found = cloud.target_of(world.describe)
    if found is None:
        raise Refused("no-cloud", "the environment has no cloud; run `muster sandbox up --aws`; nothing was touched")
    return found


def nothing(what: str, hint: str) -> Refused:
    """The refusal of a target that is not there."""
    return Refused("target-matches-nothing", f"{what} matches nothing; {hint}; nothing was touched")


def region_of(zone: str, world: World) -> str | None:
    """The region of a zone, by whatever runs there."""
    return next((one.region for one in world.instances if one.zone == zone), None)


def addresses(instances: Collection[Instance]) -> list[str]:
    """host:port of every port of these instances that takes connections now."""
    every = sorted({one.address(port) for one in instances for port in one.ports})
    return [address for address in every if accepts(address)]


def silent(listening: Sequence[str], world: World) -> list[str] | None:
    """A sentence for each address (with the link that it is), where none takes connections any more; else None."""
    if any(accepts(address) for address in listening):
        return None
    links = {one.listen: f" ({one.name})" for one in world.links}
    return [f"{address}{links.get(address, '')} refuses connections" for address in listening]


def running(instances: Collection[Instance], world: World) -> list[tuple[str, int, float]]:
    """(instance, pid, start time) of the processes that run there, where a node agent tells; else none."""
    if not world.describe.get("agent"):
        return []
    try:
        found = {one.name: one for one in world.agent.instances()}
    except ComponentError:
        return []
    seen = [found[one.name] for one in instances if one.name in found]
    return [(one.name, one.pid, one.start_time) for one in seen if one.pid and one.start_time]


def gone(known: Sequence[tuple[str, int, float]]) -> list[str] | None:
    """A sentence for each process, where all have ended; else None."""
    if any(processes.alive(pid, start) for _, pid, start in known):
        return None
    return [f"pid {pid} of {name} is gone" for name, pid, _ in known]


def resolver(fault: Fault, world: World) -> str:
    """Address of the resolver that witnesses. Raises FaultError without one: nothing could show the effect."""
    address = (world.describe.get("dns") or {}).get("address")
    if not address:
        raise FaultError(f"{fault.name}: the environment names no resolver that could show it; nothing was touched")
    return str(address)


def answered(address: str, name: str, wanted: Collection[str]) -> Witness | None:
    """Evidence that a name answers with nothing but these addresses."""
    found = dnsask.answers(address, name)
    if not found or not found <= set(wanted):
        return None
    return Witness((f"{address} answers {', '.join(sorted(found))} for {name}",))


def names_target(kind: Any, name: str, zone: str | None, world: World) -> Target:  # noqa: ANN401 - one of Target's kinds
    """A target in a zone."""
    return Target(kind=kind, name=name, zone=zone, region=region_of(zone, world) if zone else None)


def snapshot(world: World) -> dict[str, str]:
    """Instances, borders, records and targets of the world's cloud; nothing where it has none."""
    if cloud.target_of(world.describe) is None:
        return {}
    described = next(world.describe[name] for name in cloud.known() if world.describe.get(name))
    reached = cloud.connect(*_reached(world))
    found: dict[str, str] = {}
    for look in (_instances, _borders, _targets, _records):
        with contextlib.suppress(Denied):  # what these keys may not even read, they did not change
            found |= look(reached, described)
    return found


def _instances(reached: Cloud, _: Mapping[str, Any]) -> dict[str, str]:
    return {f"instance {one.node}": one.state for one in reached.instances()}


def _borders(reached: Cloud, _: Mapping[str, Any]) -> dict[str, str]:
    borders = [reached.border(zone) for zone in reached.zones()]
    return {f"subnet {one['id']} of {border['zone']}": one["acl"] for border in borders for one in border["subnets"]}


def _targets(reached: Cloud, described: Mapping[str, Any]) -> dict[str, str]:
    groups = {group: reached.targets(group) for group in described.get("target_groups") or {}}
    return {
        f"targets of {group}": ", ".join(f"{one.id}:{one.port}" for one in found) for group, found in groups.items()
    }


def _records(reached: Cloud, described: Mapping[str, Any]) -> dict[str, str]:
    name = described.get("record")
    sets = reached.record(name)["sets"] if name else {}
    return {f"record {name} set {key}": str(one["weight"]) for key, one in sets.items()}


planes.SNAPSHOTS["cloud"] = snapshot
