"""What the actions of an SOP promise, where that needs no order bus: fences, and who is held to be powerless."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from chaoslib_ext import sops
from chaoslib_ext.sops import places
from chaoslib_ext.world import World
from drills import registry
from drills.errors import FaultError, UsageError
from tests.standins import Exchange, exchange

REGIONS = {"engine-1": "tyo-b", "sgp-engine-0": "sgp-a"}


@pytest.fixture
def box() -> Iterator[Exchange]:
    """Engines in two regions."""
    with exchange(REGIONS) as made:
        yield made


@pytest.fixture
def world(box: Exchange) -> World:
    return World.from_describe(box.describe())


def fence(world: World, region: str = "tyo") -> str:
    return sops.build("engine.fence", {"region": region}).do(world)


def test_every_action_is_registered_with_its_parameters() -> None:
    assert set(sops.classes) | {"wait"} == set(registry.actions)
    with pytest.raises(UsageError, match=r"engine\.fence: regoin"):
        sops.build("engine.fence", {"region": "tyo", "regoin": "tyo"})


def test_a_fence_stands_on_every_engine_of_the_region_and_nowhere_else(world: World) -> None:
    assert places.unfenced(world, "tyo") == ["engine-0", "engine-1"]
    assert fence(world) == "engine-0 is fenced, engine-1 is fenced"
    assert fence(world) == "engine-0 is fenced, engine-1 is fenced"
    assert places.unfenced(world, "tyo") == []
    assert places.unfenced(world, "sgp") == ["sgp-engine-0"]
    assert sops.build("engine.unfence", {"region": "tyo"}).do(world) == "engine-0, engine-1 may lead"
    assert places.unfenced(world, "tyo") == ["engine-0", "engine-1"]


def test_an_engine_that_is_held_down_needs_no_fence(world: World) -> None:
    world.agent.act("engine-0", "kill", signal="KILL", hold=True)
    assert fence(world) == "engine-0 is down (held) and its ports refuse, engine-1 is fenced"


def test_an_engine_that_only_freezes_is_no_fence(world: World, box: Exchange, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "ASK_S", 0.3)
    os.kill(box.agent.pid("engine-0"), signal.SIGSTOP)
    with pytest.raises(FaultError, match=r"engine-0 \(paused\) does not answer.*it may go on and acknowledge"):
        fence(world)
    assert "engine-0" in places.unfenced(world, "tyo")


def test_a_region_that_is_not_there_is_named(world: World) -> None:
    with pytest.raises(FaultError, match="region 'ty': did you mean tyo"):
        fence(world, "ty")
