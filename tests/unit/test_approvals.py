"""Approvals: bound to plan, targets and window; counted by person; void as soon as anything changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from chaoslib_ext.approvals import Approval, approve, enforce_approvals, load, save
from chaoslib_ext.cli import main
from drills.errors import Refused, UsageError
from drills.model import Environment
from drills.plan import Plan, PlannedFault, Target
from tests.unit.runs import plan_with

NOW = datetime.fromisoformat("2026-11-20T03:00:00+00:00")
DAY = timedelta(days=1)


def plan(target: str = "engine-0", **more: object) -> Plan:
    fault = PlannedFault(
        id="x", fault="process.kill", params={}, targets=(Target(name=target),), describe="", undo_text=""
    )
    return plan_with([{"longest": "1h"}], faults=[fault.model_dump()], owner="trading-core", **more)


def environment(kind: str = "staging", **policy: object) -> Environment:
    return Environment.model_validate({"environment": "box", "kind": kind, "policy": policy})


ONE = environment(approvals={"count": 1})
TWO = environment(approvals={"count": 2})


def given(*people: str, at: datetime = NOW, by: Environment = ONE) -> list[Approval]:
    return [approve(plan(), by, name, DAY, at) for name in people]


def enforce(approvals: list[Approval], by: Environment = ONE, what: Plan | None = None, runner: str = "sam") -> None:
    enforce_approvals(what or plan(), by, approvals, runner=runner, now=NOW)


def test_enough_people_agreed() -> None:
    enforce(given("ana"))
    enforce(given("ana", "bo"), TWO)
    enforce([], environment())
    enforce(given("sam", by=environment(approvals={"count": 1, "author_may": True})), environment(
        approvals={"count": 1, "author_may": True}
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("people", "by", "said"),
    [
        ([], ONE, "needs 1 approval, has 0"),
        (["ana", "Ana"], TWO, "needs 2 approvals, has 1"),
        (["sam"], ONE, "has 0; sam may not approve a plan of their own"),
        (["trading-core"], ONE, "has 0; trading-core may not approve"),
        ([], environment("production"), "needs 1 approval, has 0"),
    ],
)
def test_too_few_people_agreed(people: list[str], by: Environment, said: str) -> None:
    with pytest.raises(Refused, match=f"needs-approval: .*{said}.*nothing was touched"):
        enforce(given(*people), by)


@pytest.mark.parametrize(
    ("what", "by"),
    [
        (plan("engine-1"), ONE),
        (plan(title="Another hypothesis"), ONE),
        (plan(), environment(approvals={"count": 1}, window="Mon-Fri 09:00-16:00 Asia/Singapore")),
    ],
)
def test_what_changed_makes_it_void(what: Plan, by: Environment) -> None:
    with pytest.raises(Refused, match=r"approval-void: the approval of quick by ana is not of this plan"):
        enforce(given("ana"), by, what)


def test_it_is_for_one_environment_and_ends() -> None:
    other = approve(plan(), Environment.model_validate({"environment": "other", "kind": "staging"}), "ana", DAY, NOW)
    with pytest.raises(Refused, match=r"approval-void: .* is for other, not for box"):
        enforce([other])
    with pytest.raises(Refused, match=r"approval-expired: .* ended at 2026-11-20"):
        enforce(given("ana", at=NOW - DAY))


def test_it_is_a_file_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.json"
    path.write_text(plan().model_dump_json())
    out = tmp_path / "ana.json"
    assert main.run(["approve", str(path), "--by", "ana", "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert "process.kill" in said.out
    assert "approved by ana until" in said.err
    assert load(out).by == "ana"
    path.write_text(path.read_text().replace("engine-0", "engine-1"))
    assert main.run(["approve", str(path), "--by", "ana", "-o", str(out)]) == 2
    out.write_text("{}")
    with pytest.raises(UsageError, match="is not an approval"):
        load(out)


def test_words_for_targets_cannot_be_approved() -> None:
    unresolved = plan(environment={"name": "sandbox", "resolved": False})
    with pytest.raises(UsageError, match="has no targets"):
        approve(unresolved, ONE, "ana", DAY, NOW)


def test_an_approval_comes_back_as_it_was(tmp_path: Path) -> None:
    made = given("ana")[0]
    save(made, tmp_path / "a.json")
    assert load(tmp_path / "a.json") == made
