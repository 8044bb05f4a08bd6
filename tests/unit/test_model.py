from __future__ import annotations

import pytest
from pydantic import ValidationError

from drills.model import (
    Drill,
    FaultSpec,
    InvariantObjective,
    LongestGuard,
    MttdObjective,
    MttrObjective,
    Phase,
    Restore,
    RpoObjective,
    RtoObjective,
    SloGuard,
    SloObjective,
    Step,
)
from tests.unit.definitions import drill_data


def test_the_key_of_an_objective_says_its_kind() -> None:
    drill = Drill.model_validate(
        drill_data(
            objectives=[
                {"id": "a", "rto": "10s", "flow": "place"},
                {"id": "b", "rpo": {"lost": 0}},
                {"id": "c", "invariant": "single-writer"},
                {"id": "d", "slo": "order-place", "spend": "20%"},
                {"id": "e", "mttd": "1m", "alert": "Down"},
                {"id": "f", "mttr": "5m"},
            ]
        )
    )
    kinds = [RtoObjective, RpoObjective, InvariantObjective, SloObjective, MttdObjective, MttrObjective]
    assert [type(objective) for objective in drill.objectives] == kinds


def test_guards_are_told_by_their_key_and_except_is_a_key() -> None:
    drill = Drill.model_validate(drill_data(guards=[{"slo": "order-place", "except": "x"}, {"longest": "5m"}]))
    slo, longest = drill.guards
    assert isinstance(slo, SloGuard)
    assert slo.except_ == "x"
    assert isinstance(longest, LongestGuard)
    assert longest.longest == 300.0


def test_a_drill_is_frozen() -> None:
    drill = Drill.model_validate(drill_data())
    with pytest.raises(ValidationError, match="frozen"):
        drill.title = "other"


def test_a_dump_loads_again_and_keeps_its_units() -> None:
    drill = Drill.model_validate(drill_data(guards=[{"slo": "order-place", "except": "x"}, {"longest": "5m"}]))
    dump = drill.model_dump(mode="json", exclude_none=True)
    assert dump["objectives"][0]["rto"] == "10s"
    assert dump["faults"] == {"dies": {"process.kill": {"service": "matching-engine", "role": "primary"}}}
    assert Drill.model_validate(dump) == drill


def test_an_rpo_without_a_window_asks_for_ten_milliseconds() -> None:
    drill = Drill.model_validate(drill_data(objectives=[{"id": "a", "rpo": {"lost": 0, "zombie": 2}}]))
    objective = drill.objectives[0]
    assert isinstance(objective, RpoObjective)
    assert objective.rpo.window == 0.01
    assert objective.rpo.limits == {"lost": 0, "zombie": 2}


def test_a_phase_knows_its_kind_and_params() -> None:
    phase = Phase.model_validate({"restore": {"undo": ["a"], "until": "none"}, "abort": "heal"})
    assert phase.kind == "restore"
    assert phase.params == Restore(undo=("a",), until="none")
    assert phase.abort == "heal"


def test_inject_takes_one_fault_or_several() -> None:
    one = Phase.model_validate({"inject": {"fault": "a"}})
    two = Phase.model_validate({"inject": {"faults": ["a", "b"]}})
    assert one.inject is not None
    assert two.inject is not None
    assert one.inject.ids == ("a",)
    assert two.inject.ids == ("a", "b")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "names no phase"),
        ({"abort": "heal"}, "names no phase"),
        ({"verify": None}, "verify is empty"),
        ({"baseline": {"for": "1s"}, "verify": {"for": "1s"}}, "is two phases, baseline and verify"),
        ({"inject": {}}, "give either fault or faults"),
        ({"inject": {"fault": "a", "faults": ["b"]}}, "give either fault or faults"),
        ({"detect": {"within": "1s"}}, "give either probe or alert"),
        ({"recover": {"sop": "a", "until": "leader"}}, "give either sop or until"),
        ({"restore": {"undo": []}}, "is not a list of fault ids"),
    ],
)
def test_a_phase_that_means_nothing(data: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Phase.model_validate(data)


@pytest.mark.parametrize("data", [{}, {"a": {}, "b": {}}, {"a": 3}, 3])
def test_a_fault_is_one_key(data: object) -> None:
    with pytest.raises(ValidationError):
        FaultSpec.model_validate(data)


def test_a_fault_without_parameters() -> None:
    assert FaultSpec.model_validate({"zone.loss": None}) == FaultSpec(name="zone.loss", params={})


@pytest.mark.parametrize("name", ["A", "a b", "a/b", "..", "", "-a", "a" * 65, "a\n"])
def test_a_name_is_safe_as_a_folder(name: str) -> None:
    with pytest.raises(ValidationError, match="is not a name"):
        Drill.model_validate(drill_data(drill=name))


@pytest.mark.parametrize(
    "load", [{"speed": 0}, {"speed": float("nan")}, {"amplify": 21}, {"amplify": 1.5}, {"amplify": True}]
)
def test_a_load_within_bounds(load: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Drill.model_validate(drill_data(load={"trace": "t", **load}))


def test_a_step_is_done_or_human() -> None:
    with pytest.raises(ValidationError, match="give either do or human"):
        Step.model_validate({"id": "a", "expect": "5s"})
    with pytest.raises(ValidationError, match="do names 2 actions"):
        Step.model_validate({"id": "a", "expect": "5s", "do": {"wait": {}, "stop": {}}})
