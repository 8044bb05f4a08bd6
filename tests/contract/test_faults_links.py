"""What single faults promise beyond what every fault does: on instances and links."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoslib_ext.faults.base import build
from chaoslib_ext.guardian.play import Player
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.ledger import Ledger, State
from tests.contract.injecting import inject
from tests.realproxy import RealToxiproxy, toxiproxy_server
from tests.standins import Exchange, exchange


@pytest.fixture(params=["stand-in", "toxiproxy"])
def box(request: pytest.FixtureRequest) -> Iterator[Exchange]:
    """Two engines behind links; the links once by the stand-in, once by Toxiproxy itself."""
    binary = toxiproxy_server()
    if request.param == "toxiproxy" and binary is None:
        pytest.skip("no toxiproxy-server on this machine")
    with exchange() as made:
        if request.param == "stand-in":
            yield made
            return
        assert binary is not None
        made.toxiproxy.close()
        real = RealToxiproxy(binary, made.links)
        made.toxiproxy = real
        try:
            yield made
        finally:
            real.close()
            made.toxiproxy = real


@pytest.fixture
def world(box: Exchange) -> World:
    """The same, as faults see it."""
    return World.from_describe(box.describe()).tagged("20260101T000000Z-test", "f1")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.ndjson", "20260101T000000Z-test")


def test_a_kill_that_is_not_held_lets_the_agent_restart_it(world: World, ledger: Ledger) -> None:
    before = world.agent.instance("engine-0").pid
    witness = inject(build("process.kill", {"instance": "engine-0", "hold": False}), world, ledger)
    assert witness.texts == (f"pid {before} of engine-0 is gone",)
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED


def test_an_instance_that_does_not_run_is_not_killed(world: World) -> None:
    world.agent.act("engine-0", "stop")
    fault = build("process.kill", {"instance": "engine-0"})
    with pytest.raises(FaultError, match="engine-0 is stopped, not running; nothing was touched"):
        fault.plan_undo(fault.targets(world), world)


def test_a_pause_is_undone_by_signal_when_the_agent_is_silent(world: World, box: Exchange, ledger: Ledger) -> None:
    inject(build("process.pause", {"instance": "engine-0"}), world, ledger)
    recipe = dict(ledger.book.entries[0].recipes[0])
    recipe["args"] = {**recipe["args"], "agent": "http://127.0.0.1:1"}
    ledger.book.entries[0].recipes = (recipe,)
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    assert box.agent.phase("engine-0") == "running"


def test_a_link_that_others_cut_stays_cut(world: World, ledger: Ledger) -> None:
    world.toxiproxy.proxy("gateway-0>engine-1").disable()
    before = world.snapshot()
    inject(build("network.cut", {"link": "gateway-engine"}), world, ledger)
    Player(ledger).undo(ledger.book.open(), "test")
    assert World.diff(before, world.snapshot()) == []
    assert not world.toxiproxy.proxy("gateway-0>engine-1").enabled


def test_a_link_that_is_cut_already_proves_nothing(world: World) -> None:
    world.toxiproxy.proxy("gateway-0>engine-0").disable()
    for params in ({"link": "gateway-0>engine-0"}, {"link": "gateway-0>engine-0", "ms": 10}):
        fault = build("network.latency" if "ms" in params else "network.cut", params)
        with pytest.raises(FaultError, match=r"cut.*nothing was touched"):
            fault.plan_undo(fault.targets(world), world)


def test_the_toxics_of_others_stay_and_ours_are_signed(world: World, ledger: Ledger) -> None:
    link = world.toxiproxy.proxy("gateway-0>engine-0")
    link.add_toxic(name="theirs", type="latency", stream="downstream", attributes={"latency": 5})
    inject(build("network.latency", {"link": "gateway-0>engine-0", "ms": 40, "toward": "up"}), world, ledger)
    assert set(link.toxics()) == {"theirs", "muster-20260101T000000Z-test-f1-upstream"}
    Player(ledger).undo(ledger.book.open(), "test")
    assert set(link.toxics()) == {"theirs"}


def test_a_delay_is_measured_not_believed(world: World, ledger: Ledger) -> None:
    witness = inject(build("network.latency", {"link": "gateway-0>engine-0", "ms": 60}), world, ledger)
    shown = float(witness.texts[0].split(" takes ")[1].split(" ms")[0])
    assert 120 <= shown < 400


def test_a_far_end_that_is_dead_is_said_and_not_timed(world: World, ledger: Ledger) -> None:
    world.agent.act("engine-1", "stop")
    witness = inject(build("network.latency", {"link": "gateway-engine", "ms": 30}), world, ledger)
    assert "a round trip takes" in witness.texts[0]
    assert "its far end is silent, nothing to time" in witness.texts[1]


def test_a_delay_that_nothing_can_time_is_not_witnessed(world: World) -> None:
    world.agent.act("engine-1", "stop")
    fault = build("network.latency", {"link": "gateway-0>engine-1", "ms": 30})
    targets = fault.targets(world)
    fault.plan_undo(targets, world)
    fault.apply(targets, world)
    assert fault.in_effect(targets, world) is None


def test_an_undo_that_cannot_work_is_an_orphan_with_its_command(box: Exchange, world: World, ledger: Ledger) -> None:
    inject(build("network.cut", {"link": "gateway-0>engine-0"}), world, ledger)
    recipe = {"verb": "toxiproxy.set_enabled", "args": {"api": box.agent.url, "proxy": "x", "enabled": True}}
    ledger.book.entries[0].recipes = (recipe,)
    said: list[str] = []
    entry = Player(ledger, give_up_s=0.3, say=said.append).undo(ledger.book.open(), "test")[0]
    assert entry.state is State.ORPHANED
    assert entry.by_hand == (f"curl -fsS -X POST -d '{{\"enabled\": true}}' {box.agent.url}/proxies/x",)
    assert entry.by_hand[0] in said[0]


def test_a_server_that_is_gone_holds_nothing(box: Exchange, world: World, ledger: Ledger) -> None:
    inject(build("process.kill", {"instance": "engine-0"}), world, ledger)
    inject_cut = build("network.cut", {"link": "gateway-0>engine-1"})
    recipes = inject_cut.plan_undo(inject_cut.targets(world), world)
    ledger.write("intent", fault_id="f2", fault="network.cut", recipes=recipes)
    box.close()
    done = Player(ledger, give_up_s=5).undo(ledger.book.open(), "test")
    assert [entry.state for entry in done] == [State.VERIFIED, State.VERIFIED]
