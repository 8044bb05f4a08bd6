"""From the files of a run to its verdict: every word, every reason, and what is public about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoslib_ext.cli.main import run as cli
from chaoslib_ext.judge import evaluate, judge
from drills.errors import DefinitionError
from drills.evidence import RunDir
from drills.sentences import block
from drills.verdict import Verdict, Word, differences, exit_code, json_schema, read_verdict, to_json, worst_word
from drills.words import duration_text, percent_text, seconds_text
from tests.runs import OBJECTIVES, Spec, build

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "verdict.schema.json"
WORDS: tuple[Word, ...] = ("passed", "inconclusive", "failed", "aborted")


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("passed"), Spec())


def verdict_of(tmp_path: Path, **figures: Any) -> Verdict:  # noqa: ANN401 - fields of Spec
    return judge(build(tmp_path, Spec(**figures)))


def test_a_clean_run_passes_with_figures_errors_and_bounds(passed: Path) -> None:
    verdict = judge(passed)
    assert (verdict.verdict, verdict.exit_code, verdict.reasons) == ("passed", 0, ())
    assert verdict.outcomes.model_dump() == {"system": "passed", "injection": "passed", "cleanup": "passed"}
    assert verdict.rto.value_s == pytest.approx(2.0, abs=0.01)
    assert 0 < (verdict.rto.error_s or 0) < 0.1
    assert (verdict.rpo.lost, verdict.rpo.duplicated, verdict.rpo.lost_observed) == (0, 0, None)
    assert verdict.rpo.power == pytest.approx(0.998, abs=0.002)
    assert verdict.marks["T2"] == verdict.marks["T3"] == pytest.approx(1.98)
    assert verdict.mark_sources["T1"] == "the drill's own probe (engine-leader)"
    assert verdict.run.t0_wall is not None
    assert "Trading was back 2.00 s after the primary matching engine died (± 0.0" in verdict.sentences[0]
    assert "none was lost and none executed twice; a loss window over 4.9 ms" in verdict.sentences[1]


def test_what_is_absent_says_why(passed: Path) -> None:
    raw = json.loads(to_json(evaluate(passed)))
    absent = raw["absent"]
    for part in ("rto", "rpo", "marks", "load"):
        for key, value in raw[part].items():
            if key == "reason":
                continue
            assert value is not None or f"{part}.{key}" in absent, f"{part}.{key}"
    assert absent["marks.T8"] == "the drill has no failback phase"
    assert "drop copy" in absent["rpo.lost_observed"]


def test_a_way_back_has_its_mark(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, failback="ok")
    assert verdict.verdict == "passed"
    assert verdict.marks["T8"] == pytest.approx(14.0, abs=0.5)


CASES: list[tuple[dict[str, Any], Word, int, str]] = [
    ({"lost": 23}, "failed", 1, "23 were lost"),
    ({"zombie": 12}, "failed", 1, "all acknowledged by a primary already replaced"),
    ({"duplicated": 3}, "failed", 1, "3 were executed once too often"),
    ({"never_back": True, "after_s": 30.0}, "failed", 1, "not back within the 32.0 s observed"),
    ({"outage_s": 7.0}, "failed", 1, "rto-cancel 7.00 s"),
    ({"never_back": True, "after_s": 3.0}, "inconclusive", 3, "observe 20 s after the fault instead of 5.0 s"),
    ({"failback": "failed"}, "failed", 1, "service did not fail back: no sustained within 60 s"),
    ({"rate": 41.0}, "inconclusive", 3, "(muster run … --amplify 12), or repeat ≥ 12 times"),
    ({"unsteady": True}, "inconclusive", 3, "the baseline was not steady"),
    ({"slow_generator": True}, "inconclusive", 3, "lag p99 was 55.0 ms, at most 50 ms counts"),
    ({"unsent_share": 0.06}, "inconclusive", 3, "of the schedule was sent"),
    ({"audit": "missing"}, "inconclusive", 3, "the audit was not read"),
    ({"audit": "incomplete"}, "inconclusive", 3, "stopped at 1,000 of 30,000"),
    ({"witnessed": False}, "inconclusive", 3, "engine-0 still answers"),
    ({"injected": False}, "inconclusive", 3, "was never injected"),
    ({"probes": False}, "inconclusive", 3, "probe engine-leader had no data"),
    ({"aborted": "guard longest", "after_s": 2.0}, "aborted", 4, "stopped by guard longest 3.0 s after"),
    ({"aborted": "ctrl-c", "injected": False}, "aborted", 130, "stopped by ctrl-c"),
    ({"clean": False}, "failed", 6, "toxic slow on engine-0>nats-0"),
    ({"orphaned": True}, "failed", 6, "muster undo --all"),
    ({"lost": 5, "aborted": "guard longest"}, "failed", 1, "5 were lost"),
]


@pytest.mark.parametrize(("figures", "word", "code", "text"), CASES, ids=[str(case[0]) for case in CASES])
def test_every_way_not_to_pass(tmp_path: Path, figures: dict[str, Any], word: Word, code: int, text: str) -> None:
    verdict = verdict_of(tmp_path, **figures)
    assert (verdict.verdict, verdict.exit_code) == (word, code)
    assert text in " ".join((*verdict.sentences, *verdict.reasons))
    assert verdict.reasons, "whatever is not passed says why"
    if word == "inconclusive":
        remedies = [cause.remedy for cause in verdict.causes if cause.result == "inconclusive"]
        assert all(remedies), "and what would make it conclusive"
    assert block(verdict).startswith(word.upper() + "  ")


def test_rejects_after_the_return_do_not_make_the_baseline_unsteady(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, rejects_after_s=3.0, after_s=20.0)
    assert (verdict.verdict, verdict.reasons) == ("passed", ())
    assert verdict.rto.value_s is not None
    assert verdict.rto.value_s > 2.5, "good again only when cancels find their orders"


@pytest.mark.parametrize(
    ("figures", "finding"),
    [
        ({"lost": 23}, ("ack-before-replicate", "matching-engine")),
        ({"zombie": 12}, ("no-fencing", "matching-engine")),
        ({"duplicated": 3}, ("dedupe-not-kept-across-failover", "matching-engine")),
        ({"redundancy": False}, ("redundancy-not-restored", "matching-engine")),
        ({"never_back": True, "after_s": 30.0}, ("slow-recovery", "matching-engine")),
        ({"detect": False}, ("fault-not-noticed", "monitoring")),
        ({}, None),
    ],
)
def test_findings_name_class_and_component(
    tmp_path: Path, figures: dict[str, Any], finding: tuple[str, str] | None
) -> None:
    found = [(f.class_, f.component) for f in verdict_of(tmp_path, **figures).findings]
    assert found[:1] == ([finding] if finding else [])


def test_the_other_objectives(tmp_path: Path) -> None:
    objectives = [
        {"id": "good", "slo": "order-place"},
        {"id": "slow", "slo": "order-place-p99"},
        {"id": "budget", "slo": "order-place", "spend": "20%"},
        {"id": "alerted", "mttd": "1m", "alert": "MatchingEngineDown"},
        {"id": "seen", "mttd": "5s", "probe": "engine-leader"},
        {"id": "repaired", "mttr": "5m"},
        {"id": "other", "invariant": "conservation"},
    ]
    results = {o.name: o for o in verdict_of(tmp_path, objectives=objectives).objectives}
    words = {name: o.result for name, o in results.items()}
    assert words == {
        "good": "failed", "slow": "failed", "budget": "passed", "alerted": "inconclusive", "seen": "passed",
        "repaired": "passed", "other": "inconclusive",
    }  # fmt: skip
    assert "own probe is not an alert" in (results["alerted"].reason or "")
    assert results["repaired"].value == pytest.approx(0.9, abs=0.02)
    # 1.5 s of weighted downtime of a budget of 2,592 s
    assert results["budget"].value == pytest.approx(1.5 / 2592, rel=0.05)


def test_a_limit_within_the_error_is_not_proven(tmp_path: Path) -> None:
    objectives = [{"id": "rto", "rto": "2010ms", "flow": "place"}]
    verdict = verdict_of(tmp_path, objectives=objectives)
    assert verdict.verdict == "inconclusive"
    assert "within the error" in verdict.reasons[0]


def test_a_flow_that_the_traffic_does_not_hold(tmp_path: Path) -> None:
    verdict = verdict_of(tmp_path, mix={"place": 1.0})
    assert {o.name: o.result for o in verdict.objectives}["rto-cancel"] != "passed"
    assert "the traffic holds no cancel" in " ".join(verdict.reasons)


@pytest.mark.parametrize("name", ["witness.parquet", "audit/commands.parquet", "audit/meta.json", "samples.parquet"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damaged_evidence_never_passes_and_is_named(tmp_path: Path, name: str, damage: str) -> None:
    path = build(tmp_path, Spec())
    if damage == "gone":
        (path / name).unlink()
    else:
        (path / name).write_bytes((path / name).read_bytes()[:50])
    verdict = judge(path)
    assert verdict.verdict == "inconclusive"
    assert verdict.reasons


def test_an_altered_event_log_never_passes(tmp_path: Path) -> None:
    path = build(tmp_path, Spec())
    log = RunDir(path).events
    log.write_bytes(log.read_bytes().replace(b'"steady":true', b'"steady":true ', 1))
    log.write_bytes(log.read_bytes().replace(b'"rate":600.0', b'"rate":2000.0', 1))
    verdict = judge(path)
    assert verdict.verdict != "passed"
    assert "events.ndjson" in " ".join(verdict.reasons)


def test_without_a_plan_there_is_nothing_to_judge(tmp_path: Path) -> None:
    path = build(tmp_path, Spec(rate=100))
    plan = RunDir(path).plan
    plan.write_bytes(plan.read_bytes().replace(b"10s", b"11s", 1))
    with pytest.raises(DefinitionError, match="altered"):
        judge(path)


def test_the_same_files_give_the_same_bytes(passed: Path) -> None:
    assert to_json(evaluate(passed)) == to_json(evaluate(passed))
    judge(passed)
    assert differences(read_verdict(RunDir(passed).verdict), evaluate(passed)) == []


@given(st.lists(st.sampled_from(WORDS)))
def test_the_worst_word_wins(words: list[Word]) -> None:
    expected = next((w for w in ("failed", "aborted", "inconclusive") if w in words), "passed")
    assert worst_word(words) == expected
    assert worst_word([*words, worst_word(words)]) == expected


def test_exit_codes() -> None:
    assert [exit_code(word) for word in WORDS] == [0, 3, 1, 4]
    assert exit_code("failed", undo_incomplete=True) == 6
    assert exit_code("failed", interrupted=True) == 130
    assert exit_code("aborted", interrupted=True, undo_incomplete=True) == 6


def test_the_published_schema_is_that_of_the_model() -> None:
    assert json.loads(SCHEMA.read_text()) == json.loads(json.dumps(json_schema())), (
        "write it again: muster judge --schema > docs/reference/verdict.schema.json"
    )


def test_the_keys_that_scripts_rely_on(passed: Path) -> None:
    raw = json.loads(to_json(evaluate(passed)))
    assert raw["schema_version"] == 1
    assert {
        "verdict",
        "reasons",
        "outcomes",
        "objectives",
        "rto",
        "rpo",
        "marks",
        "findings",
        "load",
        "versions",
    } <= set(raw)
    assert {"name", "limit", "value", "error", "unit", "result"} <= set(raw["objectives"][0])
    assert list(raw["rpo"])[:9] == [
        "lost", "lost_observed", "duplicated", "phantom", "executed_reject", "reordered", "zombie", "unresolved",
        "foreign",
    ]  # fmt: skip
    assert list(raw["marks"]) == ["T0_low", "T0_high", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8"]
    assert {"offered", "answered", "lag_p99_ms", "valid"} <= set(raw["load"])


def test_an_unreadable_verdict_names_its_field(tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    path.write_text('{"schema_version": 2}')
    with pytest.raises(DefinitionError, match="schema_version"):
        read_verdict(path)


def test_figures_for_people() -> None:
    assert seconds_text(2.1384, 0.0149) == "2.14 s ± 0.01"
    assert seconds_text(0.0123) == "0.012 s"
    assert seconds_text(None) == "never"
    assert (duration_text(10), duration_text(0.5), duration_text(300)) == ("10 s", "500 ms", "5 m")
    assert (percent_text(0.99999), percent_text(1.0), percent_text(0.29)) == ("99.99 %", "100.00 %", "29.00 %")


def test_judge_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = build(tmp_path, Spec(lost=2))
    assert cli(["judge", str(path)]) == 1
    assert "wrote" in capsys.readouterr().err
    stored = RunDir(path).verdict
    stored.write_bytes(stored.read_bytes().replace(b'"lost": 2,', b'"lost": 0,', 1))
    assert cli(["judge", "latest", "--runs", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "rpo.lost: 0 -> 2" in captured.err
    assert "2 were lost" in captured.out
    assert cli(["judge", str(path), "--write", "-o", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["rpo"]["lost"] == 2
    assert read_verdict(stored).rpo.lost == 2
    assert cli(["judge", "nothing", "--runs", str(tmp_path)]) == 2


def test_objectives_of_the_generator_are_those_of_the_catalogue() -> None:
    assert [o["id"] for o in OBJECTIVES] == ["rto-place", "rto-cancel", "no-loss", "one-writer"]
