"""Faults on packets, in zones that are network namespaces; skipped where the machine cannot have them."""

from __future__ import annotations

from tests.contract.faultcases import Box, Case
from tests.netnsbox import zones_box

CASES = {
    "network.partition": Case(
        {"between": ["tyo-a", "tyo-b"]},
        "lose every packet between tyo-a and tyo-b, by blackhole rules",
        {"between": ["tyo-a", "tyo-x"]},
        ("zones",),
    ),
}

BOXES = {"zones": Box(zones_box, shared=True)}
