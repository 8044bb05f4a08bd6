"""The loss of a zone on the real sandbox: the rest trades on, and the zone comes back without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoslib_ext.faults import build
from chaoslib_ext.guardian.play import Player
from chaoslib_ext.sops import bus, places
from chaoslib_ext.world import World
from drills.ledger import Ledger, State
from tests.contract.injecting import inject
from tests.sandbox.live import RUN, live, settled
from tests.standins import until

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with live(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def world(sandbox: World) -> World:
    return settled(sandbox)


def zone_of_the_leader(world: World) -> str:
    leader = world.leader()
    assert leader is not None
    return str(world.instance(leader[0]).zone)


@pytest.mark.parametrize("mode", ["unplanned", "planned"])
def test_the_others_take_over_and_the_zone_comes_back(mode: str, world: World, tmp_path: Path) -> None:
    zone, before = zone_of_the_leader(world), world.snapshot()
    ledger = Ledger(tmp_path / "ledger.ndjson", RUN)
    witness = inject(build("zone.loss", {"zone": zone, "mode": mode}), world, ledger)
    text = "\n".join(witness.texts)
    assert "rehearsed: links cut, then power lost" in text
    assert "nats-1" in text.partition("elsewhere still answer")[2] or zone == "tyo-b"
    assert ("resigned" in text) == (mode == "planned")
    until(lambda: (lead := world.leader()) and world.instance(lead[0]).zone != zone, 15)
    staying = [one for one in world.instances if one.service == places.BUS and one.zone != zone]
    until(lambda: bus.leader(staying, "ORD") in {one.name for one in staying}, 15)
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    until(lambda: not World.diff(before, world.snapshot()), 15)
