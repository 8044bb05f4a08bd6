"""The whole sandbox as faults see it: one for a file of tests, settled before each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaoslib_ext.world import World
from tests.sandbox.box import exchange
from tests.standins import until

RUN = "20260101T000000Z-test"


@contextmanager
def live(home: Path, *options: str) -> Iterator[World]:
    """A sandbox of its own, whatever else is up."""
    with exchange(home, *options) as box:
        yield World.from_describe(box.describe())


def settled(world: World) -> World:
    """The same for fault f1 of RUN, once all its instances are ready and exactly one leads."""
    until(lambda: all(one.ready for one in world.agent.instances()), 30)
    until(world.leader, 30)
    return world.tagged(RUN, "f1")
