"""Plans and events for tests of what follows a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drills.plan import Plan


def plan_with(guards: Sequence[dict[str, Any]], **more: object) -> Plan:
    """A small plan with these guards."""
    body: dict[str, Any] = {
        "name": "quick",
        "kind": "drill",
        "title": "The primary dies",
        "definition": {},
        "definition_path": "quick.yaml",
        "environment": {"name": "sandbox"},
        "services": ["matching-engine"],
        "load": {"trace": "linear-perp-1m"},
        "objectives": [{"id": "rto-place", "rto": "10s", "flow": "place"}],
        "guards": list(guards),
        "faults": [],
    }
    return Plan.model_validate({**body, **more})
