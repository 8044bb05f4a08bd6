"""What the cloud says the world should be like now, read from moto's own memory, without a request.

Documented simplifications, all on the safe side of what a drill measures: a state is reached at once (AWS takes seconds
to minutes); the load balancer asks nobody's health, its targets are what is registered; what an Auto Scaling group
launches in the place of a terminated instance is the same node.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import moto.backends

from sandbox.cloud import names
from sandbox.cloud.seed import World

_backends: Any = moto.backends.get_backend
"""Typed for names that are known to a checker; ours are values."""

_ON = ("pending", "running")
_SCALING_TAG = "aws:autoscaling:groupName"


@dataclass(frozen=True)
class Record:
    """A record as the resolver takes it; `weights` one for each value, or none where all are alike."""

    ttl: int
    values: tuple[str, ...]
    weights: tuple[int, ...] = ()


@dataclass(frozen=True)
class Wish:
    """What should be: power by node, zones that no packet may enter or leave, records by name."""

    power: Mapping[str, bool]
    isolated: frozenset[str]
    records: Mapping[str, Record]


class Look:
    """Reads one cloud; keeps which instance is which node by now."""

    def __init__(self, world: World) -> None:
        self.world = world

    def wish(self) -> Wish:
        """What should be now. Raises RuntimeError or KeyError where moto is in the middle of a change: ask again."""
        return Wish(
            power={node.name: self._powered(node.name) for node in self.world.nodes},
            isolated=frozenset(node.zone for node in self.world.nodes if self._isolated(node.zone)),
            records=self._records(),
        )

    def _ec2(self, zone: str) -> Any:  # noqa: ANN401 - moto's backends have no public types
        return self._backend("ec2", zone)

    def _backend(self, service: str, zone: str) -> Any:  # noqa: ANN401
        region = names.REGIONS[zone.partition("-")[0]]
        return _backends(service)[names.ACCOUNT][region]

    def _powered(self, node: str) -> bool:
        instance = self._instance(node)
        if instance is not None and instance.state == "terminated":
            instance = self._replacement(node) or instance
        return instance is not None and instance.state in _ON

    def _instance(self, node: str) -> Any:  # noqa: ANN401
        zone = self._zone(node)
        return self._ec2(zone).get_instance_by_id(self.world.instances[node])

    def _zone(self, node: str) -> str:
        return next(one.zone for one in self.world.nodes if one.name == node)

    def _replacement(self, node: str) -> Any:  # noqa: ANN401
        """The instance that a group launched for this node, which from now on is the node."""
        ec2 = self._ec2(self._zone(node))
        known = set(self.world.instances.values())
        for instance in list(ec2.all_instances()):
            tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
            if instance.state in _ON and instance.id not in known and _SCALING_TAG in tags:
                ec2.create_tags([instance.id], {"Name": node, names.TAG: names.TAGGED})
                self._register(node, instance.id)
                self.world.instances[node] = instance.id
                return instance
        return None

    def _register(self, node: str, instance_id: str) -> None:
        gateway = next(one.gateway for one in self.world.nodes if one.name == node)
        elb = self._backend("elbv2", self._zone(node))
        for port, number in (gateway or {}).get("ports", {}).items():
            arn = self.world.groups.get(names.of_region(self._zone(node).partition("-")[0], f"{names.GROUP}-{port}"))
            if arn:
                elb.register_targets(arn, [{"Id": instance_id, "Port": number}])

    def _isolated(self, zone: str) -> bool:
        subnet = self.world.subnets[zone]
        acls = list(self._ec2(zone).network_acls.values())
        mine = next((acl for acl in acls if any(one.subnet_id == subnet for one in acl.associations)), None)
        return mine is not None and (_denies_all(mine.entries, egress=False) or _denies_all(mine.entries, egress=True))

    def _records(self) -> dict[str, Record]:
        zone = _backends("route53")[names.ACCOUNT]["aws"].get_hosted_zone(self.world.zone_id)
        found: dict[str, list[Any]] = {}
        for one in list(zone.rrsets):
            if one.type == "A" and one.records:
                found.setdefault(one.name.rstrip("."), []).append(one)
        gone = self._without_target()
        return {name: _record(sets, gone) for name, sets in found.items()}

    def _without_target(self) -> frozenset[str]:
        """Hosts of gateways that are missing in a target group of theirs: a name knows hosts only, not ports."""
        gone = set()
        for node in self.world.nodes:
            if not node.gateway:
                continue
            elb = self._backend("elbv2", node.zone)
            region = node.region
            groups = [
                elb.target_groups[arn]
                for port in node.gateway["ports"]
                if (arn := self.world.groups.get(names.of_region(region, f"{names.GROUP}-{port}"))) in elb.target_groups
            ]
            if groups and not all(self.world.instances[node.name] in group.targets for group in groups):
                gone.add(str(node.gateway.get("host") or "127.0.0.1"))
        return frozenset(gone)


def _record(sets: Iterable[Any], gone: frozenset[str]) -> Record:
    """One record of all sets of its name: each address with the weight of its set.

    An address without a target leaves the answer, as the node of a network load balancer leaves DNS; where none would
    be left it fails open, as AWS does.
    """
    sets = list(sets)
    pairs = [(str(value), 1 if one.weight is None else int(one.weight)) for one in sets for value in one.records]
    kept = [pair for pair in pairs if pair[0] not in gone] or pairs
    kept = [pair for pair in kept if pair[1]] or kept
    ttl = min(int(one.ttl or names.RECORD_TTL_S) for one in sets)
    values, weights = zip(*kept, strict=True)
    return Record(ttl, values, weights if len(set(weights)) > 1 else ())


def _denies_all(entries: Iterable[Any], *, egress: bool) -> bool:
    """Whether the first rule about everything, in this direction, denies it; none at all denies too."""
    ours = sorted(
        (entry for entry in entries if bool(entry.egress) == egress), key=lambda entry: int(entry.rule_number)
    )
    if any(str(entry.rule_action).lower() == "allow" and not _everything(entry) for entry in ours):
        return False
    first = next((entry for entry in ours if _everything(entry)), None)
    return first is None or str(first.rule_action).lower() == "deny"


def _everything(entry: Any) -> bool:  # noqa: ANN401
    return str(entry.protocol) == "-1" and entry.cidr_block == "0.0.0.0/0"
