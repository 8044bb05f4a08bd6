from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from drills.errors import DefinitionError, Refused
from drills.loader import load_experiment
from drills.model import Drill, Load, Sop
from drills.plan import Plan, PlannedEnvironment, PlannedFault, PlannedTrace, Target, make_plan, read_plan
from drills.plan_text import plan_text
from tests.unit.definitions import EXPERIMENT, drill_data, use_small_registry, write

TRACE = PlannedTrace(name="t", path="/a/t.parquet", sha256="ab" * 32, rows=600, seconds=60.0, rate=1200.0)


class Resolver:
    """Answers as a system with one primary would."""

    environment = PlannedEnvironment(name="sandbox")

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolve(self, fault_id: str, fault: str, params: Mapping[str, Any]) -> PlannedFault:
        self.asked.append(fault_id)
        if params.get("service") == "nothing":
            raise Refused("target-matches-nothing", 'service "nothing" matches nothing; nothing was touched')
        target = Target(name="engine-0", service="matching-engine", role="primary", zone="tyo-a", region="tyo")
        return PlannedFault(
            id=fault_id,
            fault=fault,
            params=dict(params),
            targets=(target,),
            describe="SIGKILL engine-0",
            undo_text="start it again",
        )


def plan_of(run_id: str | None = None, path: str = "small.yaml", trace: PlannedTrace = TRACE, **changes: Any) -> Plan:  # noqa: ANN401 - raw data
    drill = Drill.model_validate(drill_data(**changes))
    return make_plan(drill, Path(path), Resolver(), run_id=run_id, trace=trace)


def test_a_plan_holds_the_definition_and_its_targets() -> None:
    plan = plan_of("20261121T081502Z-7k2m")
    assert (plan.kind, plan.name, plan.run_id) == ("drill", "small", "20261121T081502Z-7k2m")
    assert [target.name for target in plan.targets["dies"]] == ["engine-0"]
    assert plan.fault("dies").undo_text == "start it again"
    assert plan.limits_ms == {"place": 500, "cancel": 250, "amend": 250}
    assert (plan.sustain_s, plan.theta, plan.client_timeout_ms) == (10.0, 0.999, 2000)
    assert Drill.model_validate(plan.definition).drill == "small"
    with pytest.raises(KeyError):
        plan.fault("other")


def test_the_hash_ignores_the_run_and_where_files_lie() -> None:
    elsewhere = TRACE.model_copy(update={"path": "/b/t.parquet"})
    assert plan_of("a").hash == plan_of("b", "/elsewhere/small.yaml", elsewhere).hash


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Another"},
        {"load": {"trace": "t", "amplify": 2}},
        {"guards": [{"longest": "5m"}]},
        {"objectives": [{"id": "rto", "rto": "9s", "flow": "place"}]},
        {"phases": [{"baseline": {"for": "6s"}}, {"inject": {"fault": "dies"}}]},
        {"trace": TRACE.model_copy(update={"sha256": "cd" * 32})},
    ],
)
def test_the_hash_covers_all_else(changes: dict[str, Any]) -> None:
    assert plan_of(**changes).hash != plan_of().hash


def test_the_hash_covers_the_targets() -> None:
    plan = plan_of()
    other = Target(name="engine-1")
    moved = plan.model_copy(update={"faults": (plan.faults[0].model_copy(update={"targets": (other,)}),)})
    assert moved.hash != plan.hash


def test_a_plan_is_read_back_with_the_same_hash(tmp_path: Path) -> None:
    plan = plan_of("x")
    path = write(tmp_path, plan.model_dump_json(), "plan.json")
    assert read_plan(path) == plan
    assert read_plan(path).hash == plan.hash


def test_an_altered_plan_is_refused(tmp_path: Path) -> None:
    raw = orjson.loads(plan_of("x").model_dump_json())
    raw["faults"][0]["targets"][0]["name"] = "engine-1"
    with pytest.raises(DefinitionError, match="it was altered"):
        read_plan(write(tmp_path, orjson.dumps(raw), "plan.json"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_a_plan_cut_short_is_one_line(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DefinitionError, match="is not a plan; it was altered or cut short"):
        read_plan(write(tmp_path, content, "plan.json"))


def test_a_missing_plan_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="cannot be read: no such file"):
        read_plan(tmp_path / "plan.json")


def test_a_target_that_matches_nothing_is_refused() -> None:
    with pytest.raises(Refused, match='target-matches-nothing: service "nothing" matches nothing'):
        plan_of(faults={"dies": {"process.kill": {"service": "nothing"}}})


def test_another_load_replaces_the_drills() -> None:
    drill = Drill.model_validate(drill_data())
    plan = make_plan(drill, Path("x.yaml"), Resolver(), load=Load(trace="other", amplify=3))
    assert plan.load == Load(trace="other", amplify=3)


def test_an_experiment_is_named_by_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_small_registry(monkeypatch)
    path = write(tmp_path, EXPERIMENT, "link-latency.yaml")
    plan = make_plan(load_experiment(path), path, Resolver())
    assert (plan.kind, plan.name, plan.phases) == ("experiment", "link-latency", ())
    assert [fault.id for fault in plan.faults] == ["dies"]
    assert plan.definition["version"] == "1.0.0"
    assert "the method of the experiment" in plan_text(plan)


SOP = Sop.model_validate(
    {
        "sop": "back",
        "title": "t",
        "owner": "o",
        "steps": [
            {"id": "lead", "do": {"wait": {"until": "leader"}}, "expect": "5s", "point_of_no_return": True},
            {"id": "tell", "human": "Tell them.", "by": "communications", "expect": "1m"},
        ],
    }
)


def test_the_sops_are_part_of_the_plan_and_of_its_hash() -> None:
    drill = Drill.model_validate(drill_data(phases=[{"inject": {"fault": "dies"}}, {"recover": {"sop": "back"}}]))
    plan = make_plan(drill, Path("x.yaml"), Resolver(), sops={"back": SOP})
    assert plan.hash != make_plan(drill, Path("x.yaml"), Resolver()).hash
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    assert (
        "  2 recover   SOP back, within 60s\n"
        "      lead       wait leader, expected within 5s; no way back after it\n"
        "      tell       communications: Tell them., expected within 60s\n"
    ) in plan_text(plan)


def test_the_text_of_a_plan() -> None:
    plan = plan_of(
        guards=[{"longest": "5m"}, {"slo": "order-place", "except": "x"}],
        phases=[
            {"baseline": {"for": "5s"}},
            {"inject": {"fault": "dies"}, "abort": "heal"},
            {"restore": {"undo": ["dies"], "until": "none"}},
            {"recover": {"sop": "engine-failover"}},
        ],
    )
    text = plan_text(plan)
    assert text.replace(plan.hash[:8], "########") == (
        "small on sandbox · plan ########\n"
        "A small drill\n"
        "\n"
        "load        linear-perp-1m (60 s recorded, 1,200 op/s sent), clients retry-idempotent in an outage\n"
        "objectives  rto         place good again within 10s\n"
        "guards      stops after 5m\n"
        "            stops when order-place outside x burns its budget 14.4 × too fast\n"
        "\n"
        "faults\n"
        "  dies  process.kill\n"
        "    target  engine-0 (primary, tyo-a)\n"
        "    does    SIGKILL engine-0\n"
        "    undo    start it again\n"
        "\n"
        "phases\n"
        "  1 baseline  5s\n"
        "  2 inject    dies  (abort: heal)\n"
        "  3 restore   undo dies\n"
        "  4 recover   SOP engine-failover, within 60s\n"
        "\n"
        "undo        whatever still holds at the end or at an abort, last first: dies\n"
        "nothing was touched"
    )
