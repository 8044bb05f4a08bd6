"""Steps as people write them, and the words for each mistake."""

from __future__ import annotations

import pytest

from drills.errors import DefinitionErrors
from loadgen import transform


def test_every_step_and_shape_is_read() -> None:
    storm = {"shape": "reconnect-storm", "at": "5s", "share": "30%"}
    steps = [{"slice": {"from": "5s"}}, {"seed": {"orders": True}}, {"warp": [{"from": "0s", "to": "1s", "speed": 2}]}]
    made = transform.parse([*steps, {"rebase": {"mid": {"A": "1.5"}}}, {"surge": storm}], "x.yaml")
    assert [step.key for step in made] == ["slice", "seed", "warp", "rebase", "surge"]
    assert [{step.key: step.said()} for step in made][-2:] == [{"rebase": {"mid": {"A": "1.5"}}}, {"surge": storm}]
    assert transform.parse([], "x.yaml") == ()


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (5, "transform[0]: 5 is not a mapping; write slice: {from: 5s}"),
        ({}, "transform[0]: names 0 steps; name one of slice, seed, warp, rebase, surge"),
        ({"slic": {}}, 'transform[0]: unknown step "slic"; did you mean slice?'),
        ({"slice": 5}, "transform[0].slice: 5 is not a mapping"),
        ({"slice": {}}, "transform[0].slice: names no time; write from, to or both"),
        ({"slice": {"form": "5s"}}, 'transform[0].slice: unknown key "form"; did you mean from?'),
        ({"slice": {"from": 5}}, "transform[0].slice.from: 5 is not a duration; write 5s"),
        ({"slice": {"from": "5s", "to": "5s"}}, "transform[0].slice: to 5s is not after from 5s"),
        ({"slice": {"from": "5s", "orphans": "sed"}}, 'orphans: "sed" is not one of drop, seed; did you mean seed?'),
        ({"seed": {}}, "transform[0].seed: seeds nothing; write orders: true or balances"),
        ({"seed": {"orders": True}}, "transform[0].seed.orders: no slice stands right before it; put a slice step"),
        ({"seed": {"orders": 1}}, "transform[0].seed.orders: 1 is neither true nor false"),
        ({"seed": {"balances": {"a": {"b": 0.1}}}}, "seed.balances.a.b: 0.1 is not an exact amount"),
        ({"warp": {}}, "transform[0].warp: a mapping is not a list of pieces; write - {from: 0s, to: 5s, speed: 2}"),
        ({"warp": []}, "transform[0].warp: is empty; give at least one"),
        ({"warp": [{"from": "1s", "to": "2s"}]}, "transform[0].warp[0]: needs either speed or at"),
        ({"warp": [{"from": "1s", "to": "2s", "speed": 0}]}, "transform[0].warp[0].speed: 0 must be at least 0.001"),
        ({"warp": [{"from": "1s", "to": "2s", "speed": 2, "copy": True}]}, "copy needs at, the time to copy to"),
        ({"warp": [{"from": "3s", "to": "2s", "at": "1s"}]}, "transform[0].warp[0]: to 2s is not after from 3s"),
        (
            {"warp": [{"from": "1s", "to": "3s", "speed": 2}, {"from": "2s", "to": "4s", "speed": 3}]},
            "transform[0].warp: a piece from 2s starts before another ends at 3s",
        ),
        ({"rebase": {}}, "transform[0].rebase: changes nothing; write mid, tick or lot"),
        ({"rebase": {"mid": {"A": 1.5}}}, "transform[0].rebase.mid.A: 1.5 is not an exact amount above zero"),
        ({"rebase": {"tick": {"A": "-1"}}}, 'transform[0].rebase.tick.A: "-1" is not an exact amount above zero'),
        ({"rebase": {"tick": {"A": "1e-9"}}}, "with at most 8 decimals"),
        ({"rebase": {"tick": {"A": "1e400"}}}, "is not an exact amount"),
        ({"rebase": {"tick": {"A": "ten"}}}, '"ten" is not an exact amount'),
        ({"surge": {}}, "transform[0].surge: shape is missing; name one of rate, cancel-storm, liquidation-cascade"),
        ({"surge": {"shape": "storm"}}, 'transform[0].surge.shape: unknown shape "storm"'),
        ({"surge": {"shape": ["rate"]}}, "transform[0].surge.shape: unknown shape a list"),
        ({"surge": {"shape": "rate", "at": "1s", "for": "1s"}}, "transform[0].surge: factor is missing"),
        ({"surge": {"shape": "rate", "at": "1s", "for": "1s", "factor": 1}}, "surge.factor: 1 must be at least 2"),
        ({"surge": {"shape": "rate", "at": "1s", "for": "0s", "factor": 2}}, "surge.for: "),
        (
            {"surge": {"shape": "cancel-storm", "at": "1s", "for": "1s", "share": 3}},
            "share: 3 is not a share; write 20%",
        ),
    ],
)
def test_a_mistake_is_one_line_with_its_place(step: object, said: str) -> None:
    with pytest.raises(DefinitionErrors) as caught:
        transform.parse([step], "x.yaml")
    (error,) = caught.value.errors
    assert str(error).startswith("x.yaml: transform[0]")
    assert said in str(error)
    assert "\n" not in str(error)


def test_all_wrong_steps_are_told_at_once() -> None:
    with pytest.raises(DefinitionErrors) as caught:
        transform.parse([{"slice": {}}, {"surg": {}}, {"warp": [{"from": "x"}]}], "x.yaml")
    assert [error.message.split(":")[0] for error in caught.value.errors] == [
        "transform[0].slice",
        "transform[1]",
        "transform[2].warp[0].from",
        "transform[2].warp[0]",
    ]


def test_what_is_no_list_is_refused() -> None:
    with pytest.raises(DefinitionErrors, match="1 mistake"):
        transform.parse({"slice": {}}, "x.yaml")
