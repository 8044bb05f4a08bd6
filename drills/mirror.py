"""How far another region is behind by design, out of the description of an environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drills.timeline import Lead

MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Mirror:
    """Regions by instance, and what a message takes from one region to another: nanoseconds, one way."""

    regions: Mapping[str, str]
    lag_ns: int

    def moved(self, leads: Sequence[Lead], t0_ns: int) -> tuple[str, str] | None:
        """(former, present) region of whoever leads, where another region took over after `t0_ns`."""
        known = [(lead.t_ns, self.regions[lead.instance]) for lead in leads if lead.instance in self.regions]
        before = [region for t_ns, region in known if t_ns < t0_ns]
        after = [region for t_ns, region in known if t_ns >= t0_ns]
        return (before[-1], after[0]) if before and after and before[-1] != after[0] else None


def mirror_of(environment: Mapping[str, Any]) -> Mirror | None:
    """The mirror of an environment whose links between regions name their `latency_ms`; None where none does."""
    regions = {str(one["name"]): str(one["region"]) for one in environment["instances"] if one.get("region")}
    slow = [
        float(link["latency_ms"])
        for link in environment["links"]
        if link.get("latency_ms") and regions.get(link["from"]) != regions.get(link["to"])
    ]
    return Mirror(regions, round(max(slow) * MS)) if slow else None
