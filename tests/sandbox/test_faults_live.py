"""The four faults on the real sandbox: each is witnessed at once, and undone without a trace."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext.faults import build
from chaoslib_ext.guardian.play import Player
from chaoslib_ext.world import World
from drills.ledger import Ledger, State
from tests.sandbox.live import RUN, live, settled
from tests.standins import until

pytestmark = pytest.mark.sandbox

CASES: list[tuple[str, dict[str, Any]]] = [
    ("network.latency", {"link": "gateway-engine", "ms": 50}),
    ("network.latency", {"link": "engine-bus", "ms": 30, "jitter_ms": 5, "toward": "up"}),
    ("network.latency", {"link": "bus-bus", "ms": 20, "toward": "down"}),
    ("network.cut", {"link": "gateway-0>engine-0"}),
    ("network.cut", {"link": "nats-0>nats-1"}),
    ("process.pause", {"service": "matching-engine", "role": "standby"}),
    ("process.pause", {"service": "matching-engine", "role": "primary"}),
    ("process.pause", {"instance": "nats-0"}),
    ("process.kill", {"instance": "gateway-1"}),
    ("process.kill", {"service": "matching-engine", "role": "primary"}),
    ("process.kill", {"instance": "nats-2", "hold": False}),
]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with live(tmp_path_factory.mktemp("home")) as made:
        yield made


@pytest.fixture
def world(sandbox: World) -> World:
    return settled(sandbox)


@pytest.mark.parametrize(("name", "params"), CASES, ids=lambda value: json.dumps(value).strip('"'))
def test_it_is_witnessed_and_undone(name: str, params: dict[str, Any], world: World, tmp_path: Path) -> None:
    fault = build(name, params)
    before = world.snapshot()
    targets = fault.targets(world)
    ledger = Ledger(tmp_path / "ledger.ndjson", RUN)
    recipes = fault.plan_undo(targets, world)
    ledger.write("intent", fault_id="f1", fault=name, recipes=recipes)
    issued = time.monotonic_ns()
    fault.apply(targets, world)
    witness = until(lambda: fault.in_effect(targets, world))
    assert issued < witness.effect_ns < issued + 500e6, "the fault window is the error of every figure"
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    until(lambda: World.diff(before, world.snapshot()) == [], 20)


def test_the_primary_is_the_leader_of_the_highest_epoch(world: World) -> None:
    leader = world.leader()
    assert leader is not None
    targets = build("process.kill", {"service": "matching-engine", "role": "primary"}).targets(world)
    assert [(target.name, target.role, target.region) for target in targets] == [(leader[0], "primary", "tyo")]
