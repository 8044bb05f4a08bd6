"""What a run says of its losses is what the sandbox's truth log says: one kill as built, one with W01 planted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks.bench_truth import Spoiled, run_drill, sandbox
from benchmarks.truthrule import Compared, compare

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

OF_THE_MACHINE = {"load-late", "load-not-offered", "baseline-not-steady"}
"""Causes that a busy machine gives a run; they weaken its times, not its counts."""
TRIES = 4


def killed_once(folder: Path, plant: str | None, at_least: int = 0) -> tuple[Compared, dict[str, Any]]:
    """One run with a kill, and `at_least` so many lost; W01 loses nothing where the kill falls right on a write."""
    with sandbox(folder / "home", plant) as env:
        for _ in range(TRIES):
            try:
                run_dir = run_drill(env, folder / "runs")
            except Spoiled:
                continue
            verdict = orjson.loads((run_dir / "verdict.json").read_bytes())
            if "baseline-not-steady" in codes(verdict):
                continue  # nobody was killed
            found = compare(run_dir)
            if len(found.true_lost_ids) >= at_least:
                return found, verdict
    raise AssertionError(f"no usable run in {TRIES}")


def codes(verdict: dict[str, Any]) -> set[str]:
    return {cause["code"] for cause in verdict["causes"]}


def objectives(verdict: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["result"] for one in verdict["objectives"]}


def test_a_clean_kill_loses_nothing_and_says_so(tmp_path: Path) -> None:
    found, verdict = killed_once(tmp_path, None)
    assert found.acked > 1000
    assert found.true_lost_ids == frozenset()
    assert found.rpo_exact
    assert found.acked_unread == 0, "no gateway died, so every answer was read"
    assert found.audit_matches, "the audit holds exactly what the engines committed"
    assert verdict["rpo"]["lost"] == 0
    assert objectives(verdict)["no-loss"] == objectives(verdict)["one-writer"] == "passed"
    assert verdict["findings"] == []
    assert codes(verdict) <= OF_THE_MACHINE
    assert verdict["verdict"] == ("inconclusive" if codes(verdict) else "passed")


def test_every_operation_that_w01_loses_is_counted_and_no_other(tmp_path: Path) -> None:
    found, verdict = killed_once(tmp_path, "W01", at_least=1)
    assert verdict["rpo"]["lost"] == len(found.true_lost_ids) > 0
    assert found.lost_ids == found.true_lost_ids
    assert found.rpo_exact
    assert found.acked_unread == 0
    assert found.audit_matches
    assert objectives(verdict)["no-loss"] == "failed"
    assert verdict["verdict"] == "failed"
    assert ("ack-before-replicate", "matching-engine") in {(f["class"], f["component"]) for f in verdict["findings"]}
    assert set(verdict["rpo"]["examples"]["lost"]) <= found.true_lost_ids
