"""The loss of a region and the way back, by the steps of the SOPs, on the real sandbox with its second region."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from chaoslib_ext import sops
from chaoslib_ext.faults import build
from chaoslib_ext.guardian.play import Player
from chaoslib_ext.sops import bus, places
from chaoslib_ext.world import World
from drills import ledger as ledgers
from drills.errors import FaultError
from drills.events import Event, Kind, read_events
from drills.ledger import Ledger, State
from tests.contract.injecting import inject
from tests.crash import Place, emptied, strays
from tests.standins import until

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

SOPS = Path(__file__).parents[2] / "drills" / "sops"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A sandbox of its own with both regions, all ready."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MUSTER_HOME", str(tmp_path_factory.mktemp("home")))
        words = [sys.executable, "-m", "sandbox", "up", "--dr"]
        up = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert up.returncode == 0, up.stderr
        try:
            yield World.embedded().tagged("20260101T000000Z-test", "f1")
        finally:
            subprocess.run([sys.executable, "-m", "sandbox", "down"], check=True, capture_output=True, timeout=60)


def follow(sop: str, world: World) -> None:
    """Every step of a procedure, as a drill does it."""
    for step in yaml.safe_load((SOPS / f"{sop}.yaml").read_text())["steps"]:
        ((name, params),) = step["do"].items()
        assert sops.build(name, params).do(world), step["id"]


def test_a_lost_region_is_replaced_and_takes_over_again(world: World, tmp_path: Path) -> None:
    before = world.snapshot()
    with pytest.raises(FaultError, match=r"engine-0, engine-1 of tyo may still acknowledge.*nothing was touched"):
        sops.build("bus.promote", {"region": "sgp"}).do(world)
    ledger = Ledger(tmp_path / "ledger.ndjson", "20260101T000000Z-test")
    witness = inject(build("region.loss", {"region": "tyo"}), world, ledger)
    assert "sgp-engine-0" in witness.texts[-1]
    follow("region-failover", world)
    assert (world.leader() or ("",))[0].startswith("sgp-")
    # what was replaced comes back fenced: healing alone would make two primaries
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    assert places.unfenced(world, "tyo") == []
    until(lambda: not World.diff(before, world.snapshot()), 30)
    follow("region-failback", world)
    assert (world.leader() or ("",))[0] in ("engine-0", "engine-1")
    mirror = bus.streams(places.of(world, places.BUS, "sgp"))["ORDDR"]
    assert mirror["config"]["mirror"]["name"] == "ORD"


def test_a_planned_loss_waits_for_the_mirror_or_does_not_happen(world: World, tmp_path: Path) -> None:
    until(lambda: (world.leader() or ("",))[0] in ("engine-0", "engine-1"), 30)
    ledger = Ledger(tmp_path / "ledger.ndjson", "20260101T000000Z-test")
    before = world.snapshot()
    wan = [one.name for one in world.links if one.group == "wan"]
    proxies = world.toxiproxy.proxies()
    for name in wan:
        proxies[name].disable()
    end = last_of(world, "tyo", "ORD")
    until(lambda: last_of(world, "tyo", "ORD") > end)  # a heartbeat
    with pytest.raises(FaultError, match=r"ORDDR is \d+ entries behind ORD after 0\.5 s"):
        inject(build("region.loss", {"region": "tyo", "mode": "planned", "catch_up": "0.5s"}), world, ledger)
    assert {one.zone for one in world.agent.nodes() if one.power == "on"} >= {"tyo-a", "tyo-b", "tyo-c"}
    for name in wan:
        proxies[name].enable()
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    until(lambda: not World.diff(before, world.snapshot()), 30)
    until(world.leader, 30)
    again = Ledger(tmp_path / "again.ndjson", "20260101T000000Z-test")
    witness = inject(build("region.loss", {"region": "tyo", "mode": "planned"}), world, again)
    text = "\n".join(witness.texts)
    assert "entries of ORD" in text
    assert text.index("stopped in order: gateway-1") < text.index("ORDDR in sgp has all") < text.index("nats-0")
    assert Player(again).undo(again.book.open(), "test")[0].state is State.VERIFIED
    until(lambda: not World.diff(before, world.snapshot()), 30)


DRILL = """\
drill: lost
title: Tokyo goes dark, and the run is stopped while Singapore takes over
hypothesis: Whoever stops it, nobody leads beside Singapore.
owner: trading-core
services: [matching-engine]
load: {trace: linear-perp-1m, speed: 0.1, outage: retry-idempotent}
objectives:
  - {id: back, rto: 5m, flow: place}
guards: [{longest: 9m}]
faults:
  dark: {region.loss: {region: tyo}}
phases:
  - baseline: {for: 2s}
  - inject: {fault: dark}
  - recover: {sop: region-failover, within: 60s}
    abort: fence-and-complete
  - verify: {for: 60s}
  - restore: {until: none}
"""


def last_of(world: World, region: str, stream: str) -> int:
    """The number of the last entry of a region's order stream."""
    return int(bus.info(places.of(world, places.BUS, region), stream)["state"]["last_seq"])


def of_run(runs: Path, kind: Kind) -> list[Event]:
    """The events of that kind so far."""
    return [event for path in runs.glob("*/*/events.ndjson") for event in read_events(path) if event.kind is kind]


def test_a_run_that_is_stopped_while_it_fails_over_fences_first_and_ends_with_one_leader(
    world: World, tmp_path: Path
) -> None:
    place, runs, drill = Place(Path(os.environ["MUSTER_HOME"]), world), tmp_path / "runs", tmp_path / "lost.yaml"
    drill.write_text(DRILL)
    until(lambda: last_of(world, "sgp", "ORDDR") >= last_of(world, "tyo", "ORD"), 60)  # it follows again
    process = place.start("run", str(drill), "--runs", str(runs))
    try:
        until(lambda: any(one.data["phase"] == "recover" for one in of_run(runs, Kind.PHASE_STARTED)), 200)
        process.send_signal(signal.SIGTERM)
        assert process.wait(240) == 4, place.said()
    finally:
        process.kill()
        process.wait()
    (abort,) = of_run(runs, Kind.ABORT)
    assert abort.data["action"] == "fence-and-complete"
    steps = [event for event in of_run(runs, Kind.STEP) if event.data["state"] == "done"]
    assert [event.data["step"] for event in steps] == ["fence", "promote", "announce", "verify"]
    (undoing,) = of_run(runs, Kind.FAULT_UNDOING)
    assert abort.t_ns < steps[-1].t_ns < undoing.t_ns
    run = next(runs.glob("*/*"))
    assert [entry.state for entry in ledgers.read(run / "ledger.ndjson").entries] == [State.VERIFIED]
    assert (world.leader() or ("",))[0].startswith("sgp-")
    assert places.unfenced(world, "tyo") == []
    assert emptied(lambda: strays(place, run), 3.0) == []
