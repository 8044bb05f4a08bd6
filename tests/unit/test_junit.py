"""junit.xml: an inconclusive objective is an error, never a pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from chaoslib_ext.judge import judge
from drills.evidence import RunDir
from reports.junit import render, write_junit
from tests.runs import Spec, build


def suite_of(tmp_path: Path, **figures: Any) -> ElementTree.Element:  # noqa: ANN401 - fields of Spec
    path = build(tmp_path, Spec(**figures))
    write_junit(path, judge(path))
    suite = ElementTree.fromstring(RunDir(path).junit.read_bytes()).find("testsuite")
    assert suite is not None
    return suite


def outcome(suite: ElementTree.Element, name: str) -> str:
    case = next(case for case in suite.iter("testcase") if case.get("name") == name)
    return next((child.tag for child in case), "passed")


def test_a_passed_run_has_one_case_an_objective_and_two_more(tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    names = [case.get("name") for case in suite.iter("testcase")]
    assert names == ["rto-place", "rto-cancel", "no-loss", "one-writer", "injection", "clean-up"]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("6", "0", "0")
    assert suite.get("name") == "muster.engine-primary-kill"


@pytest.mark.parametrize(
    ("figures", "case", "tag", "message"),
    [
        ({"lost": 4}, "no-loss", "failure", "4 lost"),
        ({"audit": "missing"}, "no-loss", "error", "the audit was not read"),
        ({"rate": 41.0}, "no-loss", "error", "chance to be seen"),
        ({"witnessed": False}, "injection", "error", "engine-0 still answers"),
        ({"clean": False}, "clean-up", "failure", "toxic slow"),
        ({"aborted": "guard longest", "after_s": 2.0}, "rto-place", "error", "never"),
        ({"aborted": "guard longest", "after_s": 2.0}, "run", "error", "stopped by guard longest"),
        ({"probes": False, "objectives": [{"id": "w", "invariant": "single-writer"}]}, "run", "error", "no data"),
    ],
)
def test_what_did_not_pass_is_told(tmp_path: Path, figures: dict[str, Any], case: str, tag: str, message: str) -> None:
    suite = suite_of(tmp_path, **figures)
    assert outcome(suite, case) == tag
    told = next(c for c in suite.iter("testcase") if c.get("name") == case).find(tag)
    assert told is not None
    assert message in (told.get("message") or "")
    assert int(suite.get("failures", 0)) + int(suite.get("errors", 0)) >= 1


def test_control_characters_do_not_break_the_file(tmp_path: Path) -> None:
    path = build(tmp_path, Spec(aborted="guard \x1b[31m\x00", after_s=1.0))
    ElementTree.fromstring(render(judge(path)))
