"""What a plan touches at once: which instances, zones, and what share of each service."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drills.plan import Plan, Target


@dataclass(frozen=True, slots=True)
class Radius:
    """Instances by name with their service, the zones they lie in, and how many instances each service has."""

    instances: Mapping[str, str]
    zones: frozenset[str]
    sizes: Mapping[str, int]

    def shares(self) -> dict[str, float]:
        """The share of each touched service; 1 where nothing says how many instances it has."""
        hit = Counter(self.instances.values())
        return {service: min(1.0, count / self.sizes.get(service, count)) for service, count in hit.items()}


def radius(plan: Plan, describe: Mapping[str, Any] | None) -> Radius:
    """What all faults of a plan touch together: a fault may last until the end of its drill.

    A zone, a node or a region counts as everything that lies in it, a workload as every instance of its service. A
    link, a record or a certificate is no instance: cutting one stops none.
    """
    rows = [dict(row) for row in (describe or {}).get("instances") or ()]
    instances: dict[str, str] = {}
    zones: set[str] = set()
    for target in (target for fault in plan.faults for target in fault.targets):
        zones |= {target.zone} if target.zone else {target.name} if target.kind == "zone" else set()
        for row in rows:
            if _hits(target, row):
                instances[str(row["name"])] = str(row.get("service"))
                zones |= {str(row["zone"])} if row.get("zone") and target.kind != "link" else set()
        if target.kind in ("instance", "pod") and target.name not in instances and not _known(target, rows):
            instances[target.name] = target.service or target.name
    return Radius(instances, frozenset(zones), Counter(str(row.get("service")) for row in rows))


def _known(target: Target, rows: list[dict[str, Any]]) -> bool:
    return any(_hits(target, row) for row in rows)


def _hits(target: Target, row: Mapping[str, Any]) -> bool:
    match target.kind:
        case "instance":
            return bool(row.get("name") == target.name)
        case "pod":
            return target.name in (row.get("pod"), row.get("name"))
        case "node":
            return target.name in (row.get("node"), row.get("zone"))
        case "zone":
            return bool(row.get("zone") == target.name)
        case "region":
            return bool(row.get("region") == target.name)
        case "workload":
            return (target.service or target.name) == row.get("service")
    return False
