"""Faults on whole places: engines in two regions, two zones in the first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from chaoslib_ext.world import World
from tests.contract.cloudbox import cloudbox
from tests.contract.faultcases import Box, Case
from tests.standins import exchange

WHERE = ("two-regions",)

CASES = {
    "zone.loss": Case(
        {"zone": "tyo-a"},
        "cut every link of zone tyo-a, and power off its nodes in the same instant",
        {"zone": "tyo-x"},
        (*WHERE, "balanced"),
        words_in={
            "balanced": "cut every link of zone tyo-a, and power off its nodes in the same instant; "
            "2 targets of load balancers there leave their groups"
        },
    ),
    "region.loss": Case(
        {"region": "tyo", "cut": False},
        "power off the nodes of region tyo; its links stay: what the kernel was handed is still delivered",
        {"region": "lon"},
        WHERE,
    ),
}


@contextlib.contextmanager
def _two_regions() -> Iterator[World]:
    with exchange({"engine-1": "tyo-b", "sgp-engine-0": "sgp-a"}) as made:
        yield World.from_describe({**made.describe(), "features": ["sgp"]})


@contextlib.contextmanager
def _balanced() -> Iterator[World]:
    """Also two gateways behind the load balancer of a cloud."""
    with cloudbox() as made:
        yield made.world


BOXES = {"two-regions": Box(_two_regions), "balanced": Box(_balanced, shared=True)}
