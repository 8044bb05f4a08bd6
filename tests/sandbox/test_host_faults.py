"""Faults on processes and hosts of the real exchange: each is witnessed, trading has a leader, and nothing is left."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext.faults import build
from chaoslib_ext.guardian.play import Player
from chaoslib_ext.helpers import find
from chaoslib_ext.world import World
from drills.errors import Refused
from drills.ledger import Ledger, State
from tests.sandbox.live import RUN, live, settled
from tests.standins import until

pytestmark = pytest.mark.sandbox

CASES: list[tuple[str, dict[str, Any]]] = [
    ("host.cpu-starve", {"service": "matching-engine", "role": "primary", "share": "50%"}),
    ("host.cpu-starve", {"instance": "nats-0", "share": "80%"}),
    ("host.fd-exhaustion", {"instance": "gateway-0"}),
    ("host.fd-exhaustion", {"instance": "nats-0", "left": 2}),
    ("process.restart-storm", {"instance": "gateway-1", "every": "300ms"}),
    ("clock.skew", {"service": "matching-engine", "role": "standby", "by": "+30s"}),
    ("disk.slow-fsync", {"instance": "gateway-1", "ms": 50}),
    ("disk.full", {"instance": "nats-2"}),
    ("host.memory-stress", {"mb": 256, "instance": "engine-0"}),
]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with live(tmp_path_factory.mktemp("home")) as made:
        yield made
    assert [name for name in os.listdir("/dev/shm") if "faketime" in name] == []


@pytest.fixture
def world(sandbox: World) -> World:
    return settled(sandbox)


@pytest.mark.parametrize(("name", "params"), CASES, ids=lambda value: json.dumps(value).strip('"'))
def test_it_is_witnessed_and_undone(name: str, params: dict[str, Any], world: World, tmp_path: Path) -> None:
    fault = build(name, params)
    before = world.snapshot()
    targets = fault.targets(world)
    ledger = Ledger(tmp_path / "ledger.ndjson", RUN)
    ledger.write("intent", fault_id="f1", fault=name, recipes=fault.plan_undo(targets, world))
    fault.apply(targets, world)
    assert until(lambda: fault.in_effect(targets, world))
    until(world.leader, 20)
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    until(lambda: World.diff(before, world.snapshot()) == [], 20)
    assert find.tagged(world.tag) == []


@pytest.mark.parametrize("params", [{"by": "+30s"}, {"ms": 50}], ids=["clock.skew", "disk.slow-fsync"])
def test_the_order_bus_is_refused_because_it_is_written_in_go(params: dict[str, Any], world: World) -> None:
    fault = build("clock.skew" if "by" in params else "disk.slow-fsync", {"service": "order-bus", **params})
    before = world.snapshot()
    with pytest.raises(Refused, match=r"nats-0 is a Go program \(nats-server\).*nothing was touched"):
        fault.plan_undo(fault.targets(world), world)
    assert World.diff(before, world.snapshot()) == []
