"""Faults through the cloud: the sandbox's own, over stand-ins for what it switches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from chaoslib_ext.world import World
from tests.contract.cloudbox import cloudbox
from tests.contract.faultcases import Box, Case

CASES = {
    "cloud.instance-stop": Case({"node": "tyo-a"}, "stop instance tyo-a by force", {"zone": "tyo-z"}, ("cloud",)),
    "cloud.zone-isolate": Case({"zone": "tyo-b"}, "cut zone tyo-b off", {"zone": "tyo"}, ("cloud",)),
    "cloud.target-deregister": Case(
        {"group": "gateway-ws", "zone": "tyo-a"},
        "take 1 target of tyo-a out of gateway-ws",
        {"group": "gateway-fix", "zone": "tyo-a"},
        ("cloud",),
    ),
    "cloud.record-switch": Case(
        {"record": "api.exchange.test", "to": "sgp"},
        "point api.exchange.test to sgp",
        {"record": "api.exchange.test", "to": "fra"},
        ("cloud",),
    ),
}


@contextlib.contextmanager
def _cloud() -> Iterator[World]:
    with cloudbox() as box:
        yield box.world


BOXES = {"cloud": Box(_cloud, shared=True)}
