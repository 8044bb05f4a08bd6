"""What the faults on links promise beyond what every fault does: on Toxiproxy itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoslib_ext.faults.base import build
from chaoslib_ext.guardian.play import Player
from chaoslib_ext.guardian.verbs import accepts
from chaoslib_ext.helpers import find
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.ledger import Ledger, State
from tests.contract.faultcases.exchange import toxiproxy_box
from tests.contract.injecting import inject
from tests.standins import RUN_ID, until

ONE = "gateway-0>engine-0"


@pytest.fixture(scope="module")
def box() -> Iterator[World]:
    """Two engines behind a real Toxiproxy."""
    with toxiproxy_box() as world:
        yield world


@pytest.fixture
def world(box: World) -> World:
    """The same, as a fault of a run sees it."""
    return box.tagged(RUN_ID, "f1")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.ndjson", RUN_ID)


def undone(ledger: Ledger) -> bool:
    return Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED


@pytest.mark.parametrize("toward", ["up", "down"])
@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("network.bandwidth", {"kbps": 160}),
        ("network.slicer", {"bytes": 64, "delay": "2ms"}),
        ("network.timeout", {}),
        ("network.reset", {}),
        ("network.slow-close", {"ms": 50}),
    ],
)
def test_one_way_is_witnessed_too(
    name: str, params: dict[str, object], toward: str, world: World, ledger: Ledger
) -> None:
    inject(build(name, {"link": ONE, "toward": toward, **params}), world, ledger)
    way = {"up": "upstream", "down": "downstream"}[toward]
    assert list(world.toxiproxy.proxy(ONE).toxics()) == [f"muster-{RUN_ID}-f1-{way}"]
    assert undone(ledger)


def test_links_are_taken_by_pattern(world: World) -> None:
    assert [one.name for one in build("network.timeout", {"link": "*>engine-1"}).targets(world)] == [
        "gateway-0>engine-1"
    ]


def test_a_limit_that_would_not_show_is_refused(world: World) -> None:
    fault = build("network.slicer", {"link": ONE, "bytes": 65536, "delay": "1ms"})
    with pytest.raises(FaultError, match=r"answers a witness with \d+ bytes.*nothing was touched"):
        fault.plan_undo(fault.targets(world), world)


def test_a_swallowed_link_is_free_again_for_new_connections(world: World, ledger: Ledger) -> None:
    fault = build("network.timeout", {"link": ONE})
    inject(fault, world, ledger)
    assert undone(ledger)
    again = build("network.latency", {"link": ONE, "ms": 20})
    again.plan_undo(again.targets(world), world)
    assert getattr(again.known(ONE), "answer_s", None) is not None


def test_a_flapping_helper_that_dies_leaves_its_undo(world: World, ledger: Ledger) -> None:
    inject(build("network.flap", {"link": ONE, "up": "50ms", "down": "50ms"}), world, ledger)
    (helper,) = find.tagged(world.tag)
    os.kill(helper.pid, signal.SIGKILL)
    until(lambda: not find.tagged(world.tag))
    assert undone(ledger)
    assert accepts(world.link(ONE).listen)


def test_a_flapping_helper_that_is_told_to_end_opens_the_link(world: World, ledger: Ledger) -> None:
    inject(build("network.flap", {"link": ONE, "up": "50ms", "down": "3s"}), world, ledger)
    (helper,) = find.tagged(world.tag)
    os.kill(helper.pid, signal.SIGTERM)
    until(lambda: not find.tagged(world.tag) and accepts(world.link(ONE).listen))
    assert undone(ledger)
