from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from chaoslib_ext.resolve import plan_of as resolved
from chaoslib_ext.resolve import planned_trace
from chaoslib_ext.supervisor.session import load_config
from drills.errors import DefinitionError, Refused
from drills.evidence import RunDir
from drills.loader import load_experiment
from drills.model import LATER_IN_LOAD, Drill, Environment, Load, Sop
from drills.plan import Plan, PlannedEnvironment, PlannedFault, PlannedTrace, Target, make_plan, read_plan
from drills.plan_text import load_text, plan_text, transform_texts
from loadgen import trace as traces
from loadgen.builder import Row, build
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
        {"load": {"trace": "linear-perp-1m", "amplify": 2}},
        {"load": {"trace": "linear-perp-1m", "transform": [{"slice": {"to": "5s"}}]}},
        {"load": {"trace": "linear-perp-1m", "jitter": "5ms"}},
        {"load": {"trace": "linear-perp-1m", "sessions": 3}},
        {"load": {"trace": "linear-perp-1m", "seed": 2}},
        {"load": {"trace": "linear-perp-1m", "workers": 2}},
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


# -- the load ----------------------------------------------------------------------------------------------------------


def test_a_plan_from_before_a_key_came_keeps_its_hash() -> None:
    said = Load(trace="t").model_dump(mode="json")
    assert said == {"trace": "t", "speed": 1.0, "amplify": 1, "outage": "retry-idempotent"}
    assert not {*LATER_IN_LOAD} & said.keys()
    assert read_plan(Path(__file__).parent.parent / "data" / "golden-run" / "plan.json").name


def test_the_load_says_how_the_trace_is_played() -> None:
    load = Load.model_validate(
        {
            "trace": "t",
            "transform": [
                {"slice": {"from": "5s", "to": "20s"}},
                {
                    "warp": [
                        {"from": "0s", "to": "5s", "speed": 2},
                        {"from": "6s", "to": "7s", "at": "9s", "copy": True},
                    ]
                },
                {"rebase": {"mid": {"BTCUSDT": "61000.5", "ETHUSDT": "3000"}}},
                {"surge": {"shape": "rate", "at": "8s", "for": "2s", "factor": 5}},
            ],
            "amplify": 4,
            "jitter": "5ms",
            "sessions": 8,
            "seed": 7,
            "workers": 2,
        }
    )
    assert load_text(load, TRACE) == (
        "t (60 s transformed, 4,800 op/s sent), folded onto 8 sessions, 4 × sessions, jitter 5ms, seed 7, "
        "by 2 workers, clients retry-idempotent in an outage"
    )
    assert transform_texts(load) == [
        "first slice (from 5s, to 20s)",
        "then warp (from 0s, to 5s, speed 2; from 6s, to 7s, at 9s, copy true)",
        "then rebase (mid (BTCUSDT 61000.5, ETHUSDT 3000))",
        "then rate surge (at 8s, for 2s, factor 5)",
    ]
    assert Load.model_validate(load.model_dump(mode="json")) == load


def test_the_rate_is_that_of_the_transformed_trace() -> None:
    recorded = planned_trace(Load(trace="linear-perp-1m"))
    cut = planned_trace(Load(trace="linear-perp-1m", transform=({"slice": {"from": "10s", "to": "15s"}},)))
    assert cut.seconds == 5
    assert cut.rate == cut.rows / 5
    assert cut.rows < recorded.rows / 8
    assert cut.sha256 == recorded.sha256


def test_a_step_that_does_not_fit_the_trace_is_one_line() -> None:
    load = Load(trace="linear-perp-1m", transform=({"slice": {"from": "10s", "to": "15m"}},))
    with pytest.raises(DefinitionError, match=r"^linear-perp-1m: transform\[0\].slice: to 15m is after the end"):
        planned_trace(load)


def test_no_worker_is_left_without_a_session() -> None:
    load = Load(trace="linear-perp-1m", sessions=1, amplify=2, workers=3)
    with pytest.raises(DefinitionError, match=r"^load.workers: 3 are more than the 2 sessions that they share$"):
        planned_trace(load)


def test_the_load_process_is_told_all_of_it(tmp_path: Path) -> None:
    load = {"trace": "t", "transform": [{"slice": {"to": "5s"}}], "speed": 2.0, "amplify": 4, "jitter": "5ms"}
    plan = plan_of(load=load | {"sessions": 8, "seed": 7, "workers": 2, "outage": "drop"})
    told = load_config(plan, RunDir(tmp_path / "run"), {"type": "sandbox"})
    assert told.transform == ({"slice": {"to": "5s"}},)
    assert (told.trace, told.speed, told.amplify, told.jitter_ms) == (TRACE.path, 2.0, 4, 5.0)
    assert (told.sessions, told.seed, told.workers, told.outage) == (8, 7, 2, "drop")
    assert told.limits_ms == plan.limits_ms


def raw(folder: Path) -> Load:
    """A load of a trace that is not sanitised and holds a withdrawal."""
    payload = orjson.dumps({"method": "POST", "path": "/v5/asset/withdraw/create", "headers": {}, "body": "{}"})
    rows = [
        Row(0, 0, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 300, 400, "o-1"),
        Row(10**9, 0, "a", "withdraw", "USDT", payload=payload),
    ]
    traces.write(build("mine", rows, {"from": "test"}), folder / "mine.parquet")
    return Load(trace=str(folder / "mine.parquet"))


@pytest.mark.parametrize(
    ("operations", "code"),
    [([], "operation-not-allowed"), (["withdraw"], "not-sanitised"), (["transfer"], "operation")],
)
def test_a_trace_that_may_not_be_played_there_is_refused(tmp_path: Path, operations: list[str], code: str) -> None:
    said = {"environment": "e", "kind": "staging", "venue": {"type": "bybit-v5"}, "policy": {"operations": operations}}
    environment, drill = Environment.model_validate(said), Drill.model_validate(drill_data())
    with pytest.raises(Refused, match=f"^refused: {code}.*; nothing was touched$"):
        planned_trace(raw(tmp_path), environment)
    with pytest.raises(Refused, match=f"^refused: {code}"):
        resolved(drill, Path("x.yaml"), None, load=raw(tmp_path), environment=environment)


def test_the_sandbox_takes_any_trace_and_its_operations_have_limits(tmp_path: Path) -> None:
    box = Environment.model_validate({"environment": "box", "kind": "embedded", "venue": {"type": "sandbox"}})
    drill = Drill.model_validate(drill_data())
    plan = resolved(drill, Path("x.yaml"), None, load=raw(tmp_path), environment=box)
    assert plan.limits_ms == {"place": 500, "cancel": 250, "amend": 250, "withdraw": 1000}
    assert resolved(drill, Path("x.yaml"), None).limits_ms == {"place": 500, "cancel": 250, "amend": 250}
