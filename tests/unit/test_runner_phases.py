"""The walk over the phases: what is skipped, what goes on, what the journal holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from chaoslib.exceptions import InterruptExecution

from chaoslib_ext.ctk import context as contexts
from chaoslib_ext.ctk.context import Context, Samples, Shot, Stopped
from chaoslib_ext.ctk.journal import Activities, Journal, why
from chaoslib_ext.ctk.phases import Walk
from chaoslib_ext.ctk.watching import first_notice, new_leader
from drills.model_phases import Phase
from tests.unit.runs import plan_with

PHASES = tuple(
    Phase.model_validate(one)
    for one in (
        {"baseline": {"for": "1s"}},
        {"inject": {"fault": "dies"}},
        {"detect": {"probe": "engine-leader", "within": "1s"}},
        {"recover": {"until": "sustained"}},
        {"restore": {"until": "redundancy"}},
    )
)


class FakeActivities:
    """Answers each function by name; the default is success with output True."""

    def __init__(self, answers: dict[str, dict[str, Any]]) -> None:
        self.answers, self.called = answers, list[str]()

    def run(self, type_: str, name: str, func: str, **arguments: object) -> dict[str, Any]:
        self.called.append(func)
        output = {"text": "done"} if func in ("wait", "act") else True
        return self.answers.get(func, {"status": "succeeded", "output": output})


def failing(text: str) -> dict[str, Any]:
    line = f"chaoslib.exceptions.ActivityFailed: drills.errors.FaultError: {text}\n"
    return {"status": "failed", "output": None, "exception": [line]}


def walk(answers: dict[str, dict[str, Any]], shots: bool = True) -> tuple[list[str], list[tuple[str, str]]]:
    said: list[tuple[str, str]] = []

    def emit(kind: str, **data: object) -> None:
        if "result" in data:
            said.append((str(data["phase"]), str(data["result"])))

    context = Context("run", None, None, emit)  # type: ignore[arg-type]
    if shots:
        context.shots["dies"] = Shot("dies", ("engine-0",), 1)
    fake = FakeActivities(answers)
    Walk(context, fake).all(PHASES)  # type: ignore[arg-type]
    return fake.called, said


def test_a_good_run_walks_everything() -> None:
    called, said = walk({})
    assert called == ["steady", "prepare", "apply", "witness", "detected", "wait", "undo", "wait"]
    assert {result for _, result in said} == {"ok"}


def test_no_fault_after_a_baseline_that_is_not_steady() -> None:
    called, said = walk({"steady": {"status": "succeeded", "output": False}}, shots=False)
    assert called == ["steady"]
    assert [result for _, result in said] == ["failed", "skipped", "skipped", "skipped", "skipped"]


@pytest.mark.parametrize("func", ["prepare", "apply", "witness"])
def test_a_fault_that_is_not_in_effect_is_restored_at_once(func: str) -> None:
    called, said = walk({func: failing("no effect")})
    assert called[-2:] == ["undo", "wait"]
    assert [result for _, result in said] == ["ok", "failed", "skipped", "skipped", "ok"]


def test_misses_are_recorded_and_the_drill_goes_on() -> None:
    called, said = walk(
        {"detected": {"status": "succeeded", "output": None}, "wait": failing("no sustained within 60 s")}
    )
    assert "undo" in called
    assert said[2:] == [("detect", "missed"), ("recover", "missed"), ("restore", "missed")]


SOP = {
    "sop": "failover",
    "title": "t",
    "owner": "o",
    "steps": [
        {"id": "fence", "do": {"engine.fence": {"region": "tyo"}}, "expect": "1s"},
        {"id": "promote", "do": {"bus.promote": {}}, "expect": "1s", "point_of_no_return": True},
        {"id": "serving", "do": {"wait": {"until": "sustained"}}, "expect": "1s"},
    ],
}


class FakeGuardian:
    def __init__(self, said: list[str]) -> None:
        self._said = said

    def stance(self, stance: str, phase: str) -> None:
        self._said.append(f"{stance} in {phase}")


def steps(phase: dict[str, Any], answers: dict[str, dict[str, Any]] | None = None) -> tuple[list[str], list[str]]:
    """Walk one phase, then one that heals: what was said to the guardian and emitted, and what was called."""
    said: list[str] = []

    def emit(kind: str, **data: object) -> None:
        if "step" in data:
            said.append(f"{data['step']} {data['state']}")

    plan = plan_with([{"longest": "1h"}], phases=[phase], sops={"failover": SOP})
    context = Context("run", None, FakeGuardian(said), emit, plan=plan)  # type: ignore[arg-type]
    fake = FakeActivities(answers or {})
    walked = Walk(context, fake)  # type: ignore[arg-type]
    walked.all((*plan.phases, Phase.model_validate({"restore": {"until": "none"}})))
    return said, fake.called


def test_the_steps_of_an_sop_are_walked_and_the_guardian_knows_the_point_of_no_return() -> None:
    said, called = steps({"recover": {"sop": "failover"}, "abort": "fence-and-complete"})
    assert called == ["act", "act", "wait", "undo"]
    assert said == [
        "fence started", "fence done", "hold in recover", "promote started", "promote done",
        "serving started", "serving done", "heal in restore",
    ]  # fmt: skip


def test_a_step_that_fails_ends_the_sop() -> None:
    said, called = steps({"failback": {"sop": "failover"}}, {"act": failing("no answer")})
    assert (said, called) == (["fence started", "fence failed"], ["act", "undo"])


def test_a_failback_ends_with_service_that_is_good_after_it() -> None:
    assert steps({"failback": {"sop": "failover"}})[1] == ["act", "act", "wait", "wait", "undo"]


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        ({"recover": {"until": "leader"}, "abort": "hold"}, ["hold in recover", "heal in restore"]),
        ({"recover": {"until": "leader"}, "abort": "fence-and-complete"}, ["hold in recover", "heal in restore"]),
        ({"recover": {"until": "leader"}, "abort": "heal"}, []),
    ],
)
def test_without_an_sop_the_whole_phase_lies_behind_the_point_of_no_return(phase: Any, said: list[str]) -> None:  # noqa: ANN401
    assert steps(phase)[0] == said


def test_why_is_the_words_of_the_error() -> None:
    assert why(failing("no effect within 5 s")) == "no effect within 5 s"


def test_activities_go_through_chaoslib_into_the_journal(tmp_path: Path) -> None:
    context = Context("run", None, None, lambda *_, **__: None)  # type: ignore[arg-type]
    contexts.use(context)
    try:
        journal = Journal(tmp_path / "journal.json", {"title": "t"})
        entry = Activities(journal, {"title": "t"}).run("action", "a-wait", "wait", seconds=0)
        assert entry["status"] == "succeeded"
        assert orjson.loads((tmp_path / "journal.json").read_bytes())["run"][0]["activity"]["name"] == "a-wait"
        context.stop.set()
        with pytest.raises(InterruptExecution):
            Activities(journal, {"title": "t"}).run("action", "late", "wait", seconds=60)
    finally:
        contexts.use(None)


class FakeTail:
    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows

    def read(self) -> list[dict[str, Any]]:
        rows, self._rows = self._rows, []
        return rows


def leader(t_ns: int, epoch: float | None, target: str | None = None) -> dict[str, Any]:
    return {"t_ns": t_ns, "probe": "engine-leader", "value": epoch, "target": target}


def test_a_lost_leader_is_noticed_and_only_a_newer_epoch_is_a_recovery() -> None:
    rows = [leader(5, 1, "engine-0"), leader(15, None), leader(25, 1, "engine-0"), leader(35, 2, "engine-1")]
    samples = Samples(FakeTail(rows))  # type: ignore[arg-type]
    context = Context("run", None, None, lambda *_, **__: None, samples=samples)  # type: ignore[arg-type]
    context.shots["dies"] = Shot("dies", ("engine-0",), 10)
    notice, recovery = first_notice(samples, "engine-leader", 10), new_leader(context)
    assert notice is not None
    assert recovery is not None
    assert (notice.t_ns, recovery.t_ns) == (15, 35)


def test_a_leader_that_was_not_hit_may_stay() -> None:
    samples = Samples(FakeTail([leader(5, 1, "engine-0"), leader(15, 1, "engine-0")]))  # type: ignore[arg-type]
    context = Context("run", None, None, lambda *_, **__: None, samples=samples)  # type: ignore[arg-type]
    context.shots["slow"] = Shot("slow", ("gateway-0>engine-0",), 10)
    found = new_leader(context)
    assert found is not None
    assert found.t_ns == 15
    assert first_notice(samples, "engine-leader", 10) is None


def test_pause_raises_when_the_run_is_stopped() -> None:
    context = Context("run", None, None, lambda *_, **__: None)  # type: ignore[arg-type]
    context.stop.set()
    with pytest.raises(Stopped):
        context.pause(60)
