"""Whole runs that are stopped: by whom, what the phase then says of the faults, what is left, and what is said."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from chaoslib_ext import scope
from drills import ledger
from drills.events import Kind, read_events
from drills.evidence import RunDir
from drills.ledger import State
from tests.crash import Place, emptied, left_behind, sandbox, strays, traces, until

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(500)]

DRILL = """\
drill: {name}
title: Something is wrong, and the run is stopped
hypothesis: What becomes of the fault stands in the phase.
owner: trading-core
services: [matching-engine]
load: {{trace: linear-perp-1m, speed: 0.2, outage: retry-idempotent}}
objectives:
  - {{id: one-writer, invariant: single-writer}}
guards: [{guards}]
faults:
  {fault}
phases:
  - baseline: {{for: 2s}}
  - inject: {{fault: wrong}}
    abort: {abort}
  - detect: {{probe: engine-leader, within: 60s}}
    abort: {abort}
  - recover: {{until: sustained, within: 60s}}
    abort: {abort}
  - restore: {{until: none}}
"""
SLOW = 'wrong: {network.latency: {link: "engine-0>nats-0", ms: 5}}'
TOO_SLOW = "wrong: {network.latency: {link: gateway-engine, ms: 600}}"
FROZEN = "wrong: {process.pause: {service: matching-engine, role: primary}}"
LONG = "{longest: 5m}"

WAIT_S = 200.0
"""A run takes a dozen seconds on an idle machine, and minutes on one that does other things as well."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch, sandbox(tmp_path_factory.mktemp("abort")) as made:
        patch.setenv("MUSTER_HOME", str(made.home))
        yield made


@dataclass
class Stopped:
    """A run that is under way, with its fault applied."""

    place: Place
    runs: Path
    process: subprocess.Popen[bytes]

    @property
    def run(self) -> RunDir:
        return RunDir(next(self.runs.glob("*/*")))

    def until(self, what: Callable[[], bool]) -> None:
        assert until(what, WAIT_S), self.place.said()

    def wait(self) -> int:
        return self.process.wait(WAIT_S)

    @property
    def states(self) -> list[State]:
        return [entry.state for entry in ledger.read(self.run.ledger).entries]

    @property
    def verdict(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.run.verdict.read_bytes())
        return found

    def said(self, word: str) -> str:
        """The one line of the terminal that has this word in its column."""
        (line,) = [line for line in self.place.said().splitlines() if line[9:20].strip() == word]
        return line[20:].strip()

    def undone_ms(self) -> float:
        """From the record of the abort to the last verified undo."""
        (asked,) = [event.t_ns for event in read_events(self.run.events) if event.kind is Kind.ABORT]
        return (max(entry.undone_ns or 0 for entry in ledger.read(self.run.ledger).entries) - asked) / 1e6


@pytest.fixture
def begin(place: Place, tmp_path: Path) -> Iterator[Callable[..., Stopped]]:
    """Start a run of DRILL and wait until its fault is in effect, or a guard has seen it first."""
    made: list[Stopped] = []

    def starter(fault: str, abort: str, guards: str = LONG) -> Stopped:
        drill = tmp_path / "stopped.yaml"
        drill.write_text(DRILL.format(name="stopped", fault=fault, abort=abort, guards=guards))
        runs = tmp_path / "runs"
        made.append(Stopped(place, runs, place.start("run", str(drill), "--runs", str(runs))))
        made[-1].until(lambda: "in effect" in place.said() or " abort " in place.said())  # a guard may be quicker
        return made[-1]

    yield starter
    for one in made:
        one.process.kill()
        one.process.wait()
    place.muster("undo", "--all")


def by_muster_abort(stopped: Stopped) -> None:
    done = stopped.place.muster("abort")
    assert (done.returncode, done.stderr) == (0, f"{stopped.run.run_id}: aborted, undone\n")


def by_ctrl_c(stopped: Stopped) -> None:
    os.killpg(stopped.process.pid, signal.SIGINT)


def by_itself(stopped: Stopped) -> None:
    """A guard will trip."""


@pytest.mark.parametrize(
    ("stop", "fault", "guards", "code", "said"),
    [
        pytest.param(by_muster_abort, SLOW, LONG, 4, "by muster abort: a person asked", id="muster-abort"),
        pytest.param(by_ctrl_c, SLOW, LONG, 130, "by Ctrl-C: a person asked", id="ctrl-c"),
        pytest.param(by_itself, TOO_SLOW, "{slo: order-place}", 4, "by guard slo order-place: ", id="guard"),
        pytest.param(
            by_itself, SLOW, "{longest: 6s}", 4, "by guard longest: the run is longer than 6 s", id="deadline"
        ),
    ],
)
def test_heal_undoes_at_once_whoever_stops_the_run(
    begin: Callable[..., Stopped], stop: Callable[[Stopped], None], fault: str, guards: str, code: int, said: str
) -> None:
    stopped = begin(fault, "heal", guards)
    stop(stopped)
    assert stopped.wait() == code, stopped.place.said()
    assert stopped.said("abort").startswith(said)
    assert stopped.said("abort").endswith("; heal: everything is undone now")
    assert stopped.said("restore").startswith("wrong: undone and verified, by abort (")
    assert stopped.states == [State.VERIFIED]
    assert stopped.undone_ms() < 1000  # on an idle machine 20; the campaign measures it
    assert (stopped.verdict["verdict"], stopped.verdict["outcomes"]["cleanup"]) == ("aborted", "passed")
    assert left_behind(stopped.place, stopped.run.path) == []


def test_hold_leaves_the_fault_to_a_person_who_aborts_again(begin: Callable[..., Stopped]) -> None:
    stopped = begin(SLOW, "hold")
    place, run_id = stopped.place, stopped.run.run_id
    first = place.muster("abort")
    assert first.returncode == 6
    assert first.stderr == f"left behind: wrong of {run_id} (held on purpose); undo by hand: muster undo {run_id}\n"
    assert stopped.wait() == 6, place.said()
    assert stopped.said("abort") == "by muster abort: a person asked; hold: nothing is undone, a person decides"
    end = f"`muster abort` again, or `muster undo {run_id}`, undoes it; it goes by itself after 8m"
    assert stopped.said("note") == f"HELD: wrong stays in effect; {end}"
    assert stopped.said("clean-up").startswith("held on purpose: link engine-0>nats-0 has toxic muster-")
    assert stopped.states == [State.IN_EFFECT]
    assert (stopped.verdict["verdict"], stopped.verdict["outcomes"]["cleanup"]) == ("aborted", "aborted")
    assert place.world is not None
    assert "engine-0>nats-0 has toxic" in "; ".join(traces(place.world))
    (marker,) = scope.markers()
    assert (marker.guarded, marker.supervised) == (True, False)
    again = place.muster("abort")
    assert (again.returncode, again.stderr) == (0, f"{run_id}: undone wrong (5 ms each way on engine-0>nats-0)\n")
    assert left_behind(place, stopped.run.path) == []
    assert place.muster("undo", "--all").stderr == "nothing is open\n"


def test_fence_and_complete_waits_for_the_one_that_was_promoted(begin: Callable[..., Stopped]) -> None:
    """The frozen primary is woken only when another leads: it finds itself replaced, and nobody writes beside it."""
    stopped = begin(FROZEN, "fence-and-complete")
    place = stopped.place
    assert place.world is not None
    before = place.world.leader()
    done = place.muster("abort")
    assert (done.returncode, stopped.wait()) == (0, 4), place.said()
    events = list(read_events(stopped.run.events))
    kinds = [event.kind for event in events]
    leads = [event for event in events if event.kind is Kind.LEADER and not event.data["first"]]
    assert leads, place.said()
    undone_ns = ledger.read(stopped.run.ledger).entries[0].undone_ns
    assert undone_ns is not None
    assert leads[0].data["t_ns"] < undone_ns
    assert kinds.index(Kind.ABORT) < kinds.index(Kind.FAULT_UNDOING)
    objectives = {one["name"]: one["result"] for one in stopped.verdict["objectives"]}
    assert objectives["one-writer"] != "failed"
    after = place.world.leader()
    assert (before, after) != (after, before)
    assert emptied(lambda: strays(place, stopped.run.path), 2.0) == []
    assert stopped.states == [State.VERIFIED]
