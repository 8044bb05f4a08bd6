"""What partitions promise beyond the contract of all faults: what stalls, what goes on, and on every rung."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoslib_ext import netns
from chaoslib_ext.faults.base import Witness, build
from chaoslib_ext.guardian.play import Player, by_hand
from chaoslib_ext.world import World
from drills.errors import FaultError, Refused, UsageError
from drills.ledger import Ledger, State
from tests.contract.injecting import inject
from tests.netnsbox import DOOR, zones_box
from tests.standins import until

PARTITION = "network.partition"
TAG = ("20260101T000000Z-test", "f1")


@pytest.fixture(scope="module")
def by_rules() -> Iterator[World]:
    with zones_box("rules") as world:
        yield world.tagged(*TAG)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.ndjson", TAG[0])


def undone(ledger: Ledger) -> bool:
    return Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED


def connection(world: World, here: str, there: str) -> socket.socket:
    """An open connection from within a zone through its link to another, proven by an echo."""
    (end,) = netns.sockets(netns.zones(world.describe)[here], [socket.SOCK_STREAM])
    host, _, port = world.link(f"echo-{here}>echo-{there}").listen.rpartition(":")
    end.settimeout(2)
    end.connect((host, int(port)))
    assert heard(end, b"before")
    return end


def heard(end: socket.socket, what: bytes, within_s: float = 2.0) -> bool:
    end.settimeout(within_s)
    end.sendall(what)
    with contextlib.suppress(TimeoutError):
        return end.recv(100) == what
    return False


def test_open_connections_stall_and_go_on_after_it(by_rules: World, ledger: Ledger) -> None:
    with connection(by_rules, "tyo-a", "tyo-b") as cut, connection(by_rules, "tyo-a", "sgp-a") as other:
        inject(build(PARTITION, {"between": ["tyo-a", "tyo-b"]}), by_rules, ledger)
        assert not heard(cut, b"during", 0.3)
        assert heard(other, b"during")
        assert undone(ledger)
        cut.settimeout(10)
        assert cut.recv(100) == b"during"  # TCP sent it again: nothing of the connection was lost


def test_one_way_loses_what_goes_that_way_only(by_rules: World, ledger: Ledger) -> None:
    fault = build(PARTITION, {"from": "tyo-b", "to": "sgp-a"})
    assert fault.model_dump(mode="json", exclude_none=True) == {"from": "tyo-b", "to": "sgp-a"}
    witness = inject(fault, by_rules, ledger)
    assert "datagrams from tyo-b to sgp-a are lost" in witness.texts
    assert "datagrams from sgp-a to tyo-b arrive" in witness.texts
    assert undone(ledger)


@pytest.mark.parametrize("place", [{"zone": "tyo-a"}, {"region": "tyo"}])
def test_a_place_can_be_apart_from_everything(by_rules: World, ledger: Ledger, place: dict[str, str]) -> None:
    before = by_rules.snapshot()
    inside = connection(by_rules, "tyo-a", "tyo-a")
    door = f"{by_rules.instance('echo-tyo-a').host}:{DOOR}"
    with inside:
        witness = inject(build(PARTITION, place), by_rules, ledger)
        assert heard(inside, b"during")  # within the place all is well
    assert f"a client's connection to {door} gets no answer" in witness.texts
    assert "datagrams from tyo-a to tyo-a arrive" in witness.texts or "region" in place
    assert undone(ledger)
    assert World.diff(before, by_rules.snapshot()) == []


def test_regions_are_all_their_zones(by_rules: World, ledger: Ledger) -> None:
    fault = build(PARTITION, {"between": ["tyo", "sgp"]})
    assert [target.name for target in fault.targets(by_rules)] == ["tyo|sgp"]
    witness = inject(fault, by_rules, ledger)
    assert "datagrams from tyo-a to tyo-b arrive" in witness.texts
    assert "datagrams from tyo-b to sgp-a are lost" in witness.texts
    assert undone(ledger)


def test_where_nothing_passes_before_it_proves_nothing(by_rules: World, ledger: Ledger) -> None:
    inject(build(PARTITION, {"between": ["tyo-a", "tyo-b"]}), by_rules, ledger)
    fault = build(PARTITION, {"between": ["tyo-b", "tyo-a"]})
    targets = fault.targets(by_rules)
    with pytest.raises(FaultError, match=r"no packet passes now.*nothing was touched"):
        fault.plan_undo(targets, by_rules)
    assert undone(ledger)


@pytest.mark.parametrize(
    ("rung", "params"),
    [("routes", {"between": ["tyo-a", "tyo-b"]}), ("link", {"zone": "tyo-a"})],
    ids=["routes", "link"],
)
def test_the_lower_rungs_hold_to_it_too(rung: str, params: dict[str, Any], ledger: Ledger) -> None:
    with zones_box(rung) as made:
        world = made.tagged(*TAG)
        before = world.snapshot()
        for _ in range(2):  # by the guardian, then by hand
            fault = build(PARTITION, params)
            assert netns.RUNGS[rung] in fault.describe(fault.targets(world))
            witness = inject(fault, world, ledger)
            assert isinstance(witness, Witness)
            assert World.diff(before, world.snapshot()) != []
            assert undone(ledger)
            assert World.diff(before, world.snapshot()) == []
        inject(build(PARTITION, params), world, ledger)
        for recipe in ledger.book.entries[-1].recipes:
            subprocess.run(by_hand(recipe), shell=True, check=True, timeout=10)
        assert undone(ledger)
        until(lambda: not World.diff(before, world.snapshot()))
        _refuses(rung, world)


def _refuses(rung: str, world: World) -> None:
    wrong: list[dict[str, Any]] = [{"from": "tyo-a", "to": "tyo-b"}, {"region": "tyo"}]
    wrong += [{"zone": "tyo-a"}] if rung == "routes" else [{"between": ["tyo-a", "tyo-b"]}]
    for params in wrong:
        with pytest.raises(Refused, match=r"not-possible-here.*nothing was touched"):
            build(PARTITION, params).targets(world)


@pytest.mark.parametrize(
    "params", [{}, {"from": "tyo-a"}, {"zone": "tyo-a", "region": "tyo"}, {"between": ["tyo-a"]}], ids=str
)
def test_what_means_nothing_is_said(params: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=PARTITION):
        build(PARTITION, params)
