"""What every fault must hold to, on real processes, real connections and real control planes."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

import chaoslib_ext.faults as faults
from chaoslib_ext.faults.base import build, classes
from chaoslib_ext.guardian.play import Player, by_hand
from chaoslib_ext.world import World
from drills import registry
from drills.errors import FaultError, Refused, UsageError
from drills.ledger import Ledger, State, read
from tests.contract.faultcases import BOXES, CASES
from tests.contract.injecting import inject
from tests.standins import RUN_ID, until

EVERY = sorted((name, box) for name, case in CASES.items() for box in case.boxes)
TAG = (RUN_ID, "f1")


@pytest.fixture(scope="module")
def shared() -> Iterator[Callable[[str], World]]:
    """Boxes that serve all tests, opened by the first that asks."""
    with contextlib.ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(BOXES[name].open()))


@pytest.fixture
def world(request: pytest.FixtureRequest, shared: Callable[[str], World]) -> Iterator[World]:
    """The box of the case, as faults see it; the stand-in where the test is about one fault only."""
    name = request.node.callspec.params["where"] if hasattr(request.node, "callspec") else "stand-in"
    if BOXES[name].shared:
        yield shared(name).tagged(*TAG)
        return
    with BOXES[name].open() as made:
        yield made.tagged(*TAG)


every = pytest.mark.parametrize(("name", "where"), EVERY)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.ndjson", RUN_ID)


def test_every_registered_fault_has_a_case() -> None:
    assert set(CASES) == set(classes) == {name for name in registry.faults if name in faults.classes}
    assert all(cls.summary and cls.proof and cls.undo_text and cls.sample for cls in classes.values())


@every
def test_the_plan_says_exactly_what_will_happen(name: str, where: str, world: World) -> None:
    fault = build(name, CASES[name].params)
    case = CASES[name]
    assert fault.describe(fault.targets(world)) == case.words_in.get(where, case.words)


@every
def test_no_target_refuses(name: str, where: str, world: World) -> None:
    with pytest.raises(Refused, match=r"target-matches-nothing.*nothing was touched"):
        build(name, CASES[name].nowhere).targets(world)


@every
def test_nothing_happens_without_a_planned_undo(name: str, where: str, world: World) -> None:
    fault = build(name, CASES[name].params)
    before = world.snapshot()
    with pytest.raises(FaultError, match="no undo was planned"):
        fault.apply(fault.targets(world), world)
    assert World.diff(before, world.snapshot()) == []


@every
def test_it_is_witnessed_and_undone_without_a_trace(name: str, where: str, world: World, ledger: Ledger) -> None:
    before = world.snapshot()
    witness = inject(build(name, CASES[name].params), world, ledger)
    assert witness.texts
    assert CASES[name].passing or World.diff(before, world.snapshot()) != []
    entry = Player(ledger).undo(ledger.book.open(), "test")[0]
    assert entry.state is State.VERIFIED
    assert World.diff(before, world.snapshot()) == []


@every
def test_undo_twice_is_safe(name: str, where: str, world: World, ledger: Ledger) -> None:
    before = world.snapshot()
    inject(build(name, CASES[name].params), world, ledger)
    Player(ledger).undo(ledger.book.entries, "test")
    assert Player(ledger).undo(ledger.book.entries, "again")[0].state is State.VERIFIED
    assert World.diff(before, world.snapshot()) == []


@every
def test_undo_from_intent_is_safe(name: str, where: str, world: World, ledger: Ledger) -> None:
    before = world.snapshot()
    fault = build(name, CASES[name].params)
    recipes = fault.plan_undo(fault.targets(world), world)
    ledger.write("intent", fault_id="f1", fault=name, recipes=recipes)
    assert Player(ledger).undo(ledger.book.open(), "test")[0].state is State.VERIFIED
    assert World.diff(before, world.snapshot()) == []


@every
def test_undo_after_a_crash_works_from_the_file(name: str, where: str, world: World, ledger: Ledger) -> None:
    before = world.snapshot()
    inject(build(name, CASES[name].params), world, ledger)
    ledger.close()  # and every object of the run is forgotten
    with ledger.path.open("ab") as file:
        file.write(b'{"e":"state","fault_id":"f1","sta')
    again = Ledger(ledger.path, RUN_ID)
    assert again.book.torn == 1
    assert Player(again).undo(again.book.open(), "muster undo")[0].state is State.VERIFIED
    assert World.diff(before, world.snapshot()) == []
    assert read(ledger.path).open() == []


@every
def test_the_command_by_hand_undoes_it(name: str, where: str, world: World, ledger: Ledger) -> None:
    before = world.snapshot()
    inject(build(name, CASES[name].params), world, ledger)
    for recipe in reversed(ledger.book.entries[0].recipes):
        subprocess.run(by_hand(recipe), shell=True, check=True, capture_output=True, timeout=30)
    until(lambda: not World.diff(before, world.snapshot()))


@every
def test_recipes_are_data(name: str, where: str, world: World) -> None:
    fault = build(name, CASES[name].params)
    recipes = fault.plan_undo(fault.targets(world), world)
    assert json.loads(json.dumps(recipes)) == recipes
    assert "secret" not in json.dumps(recipes)


@every
def test_an_unknown_parameter_is_named(name: str, where: str) -> None:
    with pytest.raises(UsageError, match=rf"{name}: targett"):
        build(name, {**CASES[name].params, "targett": "x"})
