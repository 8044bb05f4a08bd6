"""Helpers of faults: none is ever left, however its start, its undo and the deaths of others fall together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaoslib_ext import processes, scope
from chaoslib_ext.guardian.play import Player, by_hand
from chaoslib_ext.helpers import find, spawn
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.ledger import Ledger, State
from tests.standins import until

RUN = "20260101T000000Z-helpers"
TAG = f"muster-{RUN}-f1"
BUSY = "while True: pass"
DUTY = {"share": 0.9, "period": 0.04}


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """A run with its marker and its ledger, as the guardian keeps them."""
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "home"))
    run = tmp_path / RUN
    run.mkdir()
    scope.claim(RUN, run, ["sandbox"])
    return Ledger(run / "ledger.ndjson", RUN)


@pytest.fixture
def target() -> Iterator[tuple[int, float]]:
    """A process that would like to use a core."""
    with subprocess.Popen([sys.executable, "-S", "-c", BUSY]) as process:
        yield process.pid, psutil.Process(process.pid).create_time()
        process.kill()
    assert find.tagged(TAG) == []


WORLD = World({"agent": "http://127.0.0.1:1"}, (), (), TAG)


def write_down(ledger: Ledger, target: tuple[int, float]) -> dict[str, Any]:
    recipe = {"verb": "host.end_tagged", "args": {"tag": TAG, "resume": [list(target)]}}
    ledger.write("intent", fault_id="f1", fault="host.cpu-starve", recipes=[recipe])
    return recipe


def undo(ledger: Ledger) -> None:
    assert Player(ledger, give_up_s=3).undo(ledger.book.open(), "test")[0].state is State.VERIFIED


def stopped(target: tuple[int, float]) -> bool:
    return processes.state(*target) in processes.STOPPED


def test_a_helper_is_found_by_its_tag_and_ended(ledger: Ledger, target: tuple[int, float]) -> None:
    write_down(ledger, target)
    pid = spawn.start("cpu_starve", WORLD, targets=[target], **DUTY)
    assert [(one.pid, one.what) for one in find.tagged(TAG)] == [(pid, "cpu_starve")]
    until(lambda: stopped(target))
    undo(ledger)
    assert not stopped(target)


def test_whoever_only_speaks_of_a_tag_is_left_alone(ledger: Ledger, target: tuple[int, float]) -> None:
    recipe = write_down(ledger, target)
    with subprocess.Popen([sys.executable, "-S", "-c", BUSY, f"--tag={TAG}", "grep", TAG]) as other:
        spawn.start("cpu_starve", WORLD, targets=[target], **DUTY)
        subprocess.run(by_hand(recipe), shell=True, check=True, timeout=10)
        assert find.tagged(TAG) == []
        undo(ledger)
        assert other.poll() is None
        other.kill()
    assert not stopped(target)


@pytest.mark.parametrize("moment", ["before it exists", "while it waits for its go"])
def test_an_undo_that_overtakes_the_start_wins(
    moment: str, ledger: Ledger, target: tuple[int, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_down(ledger, target)
    real: Callable[..., int] = os.posix_spawn

    def overtaken(*args: object, **kwargs: object) -> int:
        if moment == "before it exists":
            undo(ledger)
            return real(*args, **kwargs)
        pid = real(*args, **kwargs)
        until(lambda: find.tagged(TAG))
        undo(ledger)
        return pid

    monkeypatch.setattr(os, "posix_spawn", overtaken)
    with pytest.raises(FaultError, match="helper cpu_starve: "):
        spawn.start("cpu_starve", WORLD, targets=[target], **DUTY)
    until(lambda: find.tagged(TAG) == [])
    assert not stopped(target)


def test_the_death_of_who_started_it_leaves_it_without_its_go(target: tuple[int, float]) -> None:
    argv = [sys.executable, "-m", "chaoslib_ext.helpers.cpu_starve", "--tag", TAG, "--seconds", "60"]
    argv += ["--share", "0.9", "--period", "0.04", "--target", f"{target[0]}:{target[1]}"]
    starter = f"import subprocess, os; subprocess.Popen({argv!r}, stdin=subprocess.PIPE); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", starter], stdout=subprocess.PIPE, timeout=10, check=False)
    assert done.returncode == -signal.SIGKILL
    until(lambda: find.tagged(TAG) == [])
    assert not stopped(target)


def test_it_ends_with_its_deadline_and_with_its_target(ledger: Ledger, target: tuple[int, float]) -> None:
    spawn.start("cpu_starve", WORLD, targets=[target], seconds=0.3, **DUTY)
    until(lambda: find.tagged(TAG) == [])
    assert not stopped(target)
    spawn.start("cpu_starve", WORLD, targets=[target], **DUTY)
    os.kill(target[0], signal.SIGKILL)
    until(lambda: find.tagged(TAG) == [])


def test_it_ends_when_nobody_looks_after_its_run(ledger: Ledger, target: tuple[int, float]) -> None:
    spawn.start("cpu_starve", WORLD, targets=[target], **DUTY)
    scope.release(RUN)
    began = time.monotonic()
    until(lambda: find.tagged(TAG) == [])
    assert time.monotonic() - began < 5
    assert not stopped(target)
