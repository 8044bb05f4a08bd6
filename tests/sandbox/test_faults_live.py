"""Faults on the real sandbox: each is witnessed at once, trading goes on, and it is undone without a trace."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext.faults import build
from chaoslib_ext.guardian.play import Player
from chaoslib_ext.helpers import find
from chaoslib_ext.sops import bus, places
from chaoslib_ext.world import World
from drills.errors import Refused
from drills.ledger import Ledger, State
from tests.contract.faultcases.host import leftover_clocks
from tests.contract.injecting import inject
from tests.sandbox.box import exchange
from tests.standins import RUN_ID, until

pytestmark = pytest.mark.sandbox

RUN = RUN_ID
WINDOW_NS = 500_000_000
AT_ONCE: list[tuple[str, dict[str, Any]]] = [
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
AFTER_A_WHILE: list[tuple[str, dict[str, Any]]] = [
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
"""A duty cycle, or a process that is started anew, shows when it has gone on for some time."""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A sandbox of its own, whatever else is up."""
    with exchange(tmp_path_factory.mktemp("home")) as box:
        yield World.from_describe(box.describe())
    until(lambda: not leftover_clocks())


@pytest.fixture
def world(sandbox: World) -> World:
    """The same, with all its instances ready and exactly one leader."""
    until(lambda: all(one.ready for one in sandbox.agent.instances()), 30)
    until(sandbox.leader, 30)
    return sandbox.tagged(RUN, "f1")


def undone(world: World, ledger: Ledger, before: dict[str, Any]) -> None:
    """The guardian's undo says so, and the system shows it."""
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    until(lambda: World.diff(before, world.snapshot()) == [], 20)
    assert find.tagged(world.tag) == []


@pytest.mark.parametrize(("name", "params"), AT_ONCE + AFTER_A_WHILE, ids=lambda value: json.dumps(value).strip('"'))
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
    assert issued < witness.effect_ns
    if (name, params) in AT_ONCE:
        assert witness.effect_ns < issued + WINDOW_NS, "the fault window is the error of every figure"
    else:
        until(world.leader, 20)
    undone(world, ledger, before)


def zone_of_the_leader(world: World) -> str:
    leader = world.leader()
    assert leader is not None
    return str(world.instance(leader[0]).zone)


@pytest.mark.parametrize("mode", ["unplanned", "planned"])
def test_a_zone_is_lost_the_others_take_over_and_it_comes_back(mode: str, world: World, tmp_path: Path) -> None:
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
    undone(world, ledger, before)


@pytest.mark.parametrize("params", [{"by": "+30s"}, {"ms": 50}], ids=["clock.skew", "disk.slow-fsync"])
def test_the_order_bus_is_refused_because_it_is_written_in_go(params: dict[str, Any], world: World) -> None:
    fault = build("clock.skew" if "by" in params else "disk.slow-fsync", {"service": "order-bus", **params})
    before = world.snapshot()
    with pytest.raises(Refused, match=r"nats-0 is a Go program \(nats-server\).*nothing was touched"):
        fault.plan_undo(fault.targets(world), world)
    assert World.diff(before, world.snapshot()) == []


def test_the_primary_is_the_leader_of_the_highest_epoch(world: World) -> None:
    leader = world.leader()
    assert leader is not None
    targets = build("process.kill", {"service": "matching-engine", "role": "primary"}).targets(world)
    assert [(target.name, target.role, target.region) for target in targets] == [(leader[0], "primary", "tyo")]
