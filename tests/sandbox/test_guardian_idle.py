"""A guardian without a fault: when it is there, when it is not, and that its run blocks nothing afterwards."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from chaoslib_ext import scope
from chaoslib_ext.guardian.client import GuardianClient
from chaoslib_ext.guardian.marker import Marker
from chaoslib_ext.guardian.start import GuardianProcess
from drills.errors import FaultError, Refused

pytestmark = [pytest.mark.sandbox, pytest.mark.untimed]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_run_that_died_before_its_first_fault_blocks_nothing(tmp_path: Path) -> None:
    dead = scope.claim("run-1", tmp_path / "run-1", ["sandbox"])
    Marker(**{**asdict(dead), "supervisor": (1, 1.0)}).save(scope.marker_path("run-1"))
    scope.claim("run-2", tmp_path / "run-2", ["sandbox"])
    assert [marker.run_id for marker in scope.markers()] == ["run-2"]


def test_a_guardian_that_is_not_there_means_no_fault(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match=r"guardian does not answer.*no fault"):
        GuardianClient(tmp_path / "none.sock").intent("f", "x", params={}, targets=[], recipes=[], describe="")


def test_a_run_that_ends_in_order_leaves_no_marker(tmp_path: Path) -> None:
    guardian = GuardianProcess.start(tmp_path / "run-1", ["sandbox"], max_duration_s=30)
    with pytest.raises(Refused, match=r"scope-locked.*run-1 holds sandbox"):
        scope.claim("run-2", tmp_path / "run-2", ["sandbox", "more"])
    assert guardian.close() == 0
    assert scope.markers() == []
    scope.claim("run-2", tmp_path / "run-2", ["sandbox"])
    scope.release("run-2")


def test_it_starts_fast_and_stays_small(tmp_path: Path) -> None:
    guardian = GuardianProcess.start(tmp_path / "run-1", ["sandbox"], max_duration_s=30)
    assert psutil.Process(guardian.pid).memory_info().rss < 40e6
    assert guardian.let_go() == 0
