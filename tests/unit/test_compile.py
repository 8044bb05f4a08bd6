from __future__ import annotations

from typing import Any

import yaml

from drills.compile import compile_drill, compile_text
from drills.model import Drill, Sop
from tests.unit.definitions import drill_data

SOP = Sop.model_validate(
    {
        "sop": "back",
        "title": "t",
        "owner": "o",
        "steps": [
            {"id": "lead", "do": {"wait": {"until": "leader"}}, "expect": "5s"},
            {"id": "tell", "human": "Tell them.", "expect": "1m"},
        ],
    }
)


def compiled(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - raw data
    return compile_drill(Drill.model_validate(drill_data(**changes)), {"back": SOP})


def calls(experiment: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    method = experiment["method"]
    return [(a["name"], a["provider"]["func"], a["provider"]["arguments"]) for a in method]


def test_each_phase_becomes_activities_in_order() -> None:
    experiment = compiled(
        phases=[
            {"baseline": {"for": "5s"}},
            {"inject": {"fault": "dies"}},
            {"detect": {"probe": "engine-leader", "within": "10s"}},
            {"decide": {"ask": "Go?", "by": "x", "within": "1m"}},
            {"recover": {"sop": "back"}},
            {"recover": {"until": "sustained", "within": "30s"}},
            {"verify": {"for": "15s"}},
            {"restore": {}},
        ]
    )
    kill = {"fault": "process.kill", "target": {"service": "matching-engine", "role": "primary"}}
    assert calls(experiment) == [
        ("1-baseline", "wait", {"seconds": 5}),
        ("dies", "inject", {"fault_id": "dies", **kill}),
        ("3-detect", "wait", {"until": "leader", "within": 10}),
        ("5-recover", "wait", {"until": "leader", "within": 5}),
        ("6-recover", "wait", {"until": "leader", "within": 30}),
        ("6-recover-2", "wait", {"seconds": 10}),
        ("7-verify", "wait", {"seconds": 15}),
        ("8-restore", "undo", {"fault_id": "all"}),
        ("8-restore-2", "wait", {"seconds": 5}),
    ]


def test_parameters_that_name_no_target_stand_beside_it() -> None:
    experiment = compiled(faults={"dies": {"network.latency": {"link": "gateway-engine", "ms": 60}}})
    arguments = calls(experiment)[1][2]
    assert arguments["target"] == {"link": "gateway-engine"}
    assert arguments["ms"] == 60


def test_faults_of_one_instant_follow_each_other_and_a_partial_undo_names_its_fault() -> None:
    kill = {"process.kill": {"instance": "engine-0"}}
    experiment = compiled(
        faults={"a": kill, "b": kill},
        phases=[{"inject": {"faults": ["a", "b"]}}, {"restore": {"undo": ["a"], "until": "none"}}],
    )
    assert [(name, func) for name, func, _ in calls(experiment)] == [
        ("a", "inject"),
        ("b", "inject"),
        ("2-restore", "undo"),
    ]
    assert calls(experiment)[2][2] == {"fault_id": ["a"]}


def test_names_of_activities_are_unique() -> None:
    twice = [{"inject": {"fault": "dies"}}, {"verify": {"for": "1s"}}, {"verify": {"for": "1s"}}]
    names = [name for name, _, _ in calls(compiled(phases=twice))]
    assert len(set(names)) == len(names)


def test_the_hypothesis_asks_each_slo_once() -> None:
    experiment = compiled(
        objectives=[
            {"id": "a", "rto": "10s", "flow": "place"},
            {"id": "b", "rto": "10s", "flow": "cancel"},
            {"id": "c", "slo": "order-place"},
        ]
    )
    probes = experiment["steady-state-hypothesis"]["probes"]
    assert [probe["name"] for probe in probes] == ["order-place-good", "order-cancel-good"]
    assert all(probe["tolerance"] is True for probe in probes)


def test_the_text_is_yaml_that_both_worlds_read_alike() -> None:
    drill = Drill.model_validate(drill_data(guards=[{"longest": "5m"}]))
    text = compile_text(drill, {})
    assert text.startswith("# small, compiled by `muster compile`.")
    assert "Less safe than `muster run small`" in text
    assert yaml.safe_load(text) == compile_drill(drill, {})
    assert "&id" not in text
