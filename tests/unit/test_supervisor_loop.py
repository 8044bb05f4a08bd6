"""The main loop on fakes: who may stop a run, with which exit code, and what is undone and recorded."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chaoslib_ext.cli.abort import HEAL
from chaoslib_ext.screen import PlainScreen
from chaoslib_ext.supervisor.guards import Facts, Guards
from chaoslib_ext.supervisor.loop import Loop, Stop, undo
from chaoslib_ext.supervisor.record import Record
from chaoslib_ext.supervisor.run import check_text
from drills.errors import ComponentError, ExitCode
from drills.events import EventLog, Kind, read_events
from drills.evidence import RunDir
from probes.live import LiveView
from tests.unit.runs import plan_with


class FakeGuardian:
    def __init__(self) -> None:
        self.taken: str | None = None
        self.dead = False
        self.restarts = 0
        self.faults: list[dict[str, Any]] = []
        self.undone: list[str] = []
        self.held = False
        self.held_for_s = 480.0

    def alive(self) -> bool:
        return not self.dead

    def restart(self) -> None:
        self.dead, self.restarts = False, self.restarts + 1

    def settle(self) -> None: ...

    def hold(self, by: str) -> list[str]:
        self.held = bool(self.faults)
        return [one["fault_id"] for one in self.faults]

    def undo_all(self, by: str, undoing: Callable[[str], None]) -> list[dict[str, Any]]:
        self.undone.append(by)
        for one in self.faults:
            undoing(one["fault_id"])
        return self.faults


class FakeChild:
    def __init__(self) -> None:
        self.ended: str | None = None

    def kill(self, *, pipes: bool = True) -> None:
        self.ended = self.ended or "was killed by signal 9 (SIGKILL)"

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def last_words(self) -> str:
        return "last words"


class FakeRunner:
    def __init__(self, *messages: Mapping[str, Any]) -> None:
        self.queue, self.child, self.orders = list(messages), FakeChild(), list[str]()

    def messages(self) -> list[Mapping[str, Any]]:
        messages, self.queue = self.queue, []
        return messages

    def abort(self) -> None:
        self.orders.append("abort")
        self.child.ended = "ended with 4"


class FakeSignals:
    asked: tuple[signal.Signals, ...] = ()
    stop = interrupted = at_once = False

    def name(self) -> str:
        return "SIGTERM"


class FakeSession:
    def __init__(self, path: Path, runner: FakeRunner) -> None:
        path.mkdir()
        self.run = RunDir(path)
        self.screen = PlainScreen(0)
        self.record = Record(self.run, EventLog(self.run.events), self.screen)
        self.plan = plan_with([{"longest": "1h"}])
        self.guards, self.guardian, self.runner = Guards(self.plan, {}), FakeGuardian(), runner
        self.signals = FakeSignals()
        self.live = LiveView({})
        self.facts = Facts(started_ns=time.monotonic_ns(), live=self.live)
        self.emit = self.record.emit
        self.sandbox = SimpleNamespace(owned=False)
        self.samples = SimpleNamespace(leading_ns=1 << 62)
        self.completed: list[str] = []
        self.completion: list[Mapping[str, Any]] = [message("done", result="ok")]

    def complete(self, phase: int, steps: list[str]) -> None:
        self.completed = list(steps)
        self.runner = FakeRunner(*self.completion)

    def refresh(self) -> None: ...


def message(kind: str, **data: object) -> dict[str, Any]:
    return {"kind": kind, "data": data}


def loop(tmp_path: Path, *messages: Mapping[str, Any]) -> tuple[Loop, FakeSession]:
    session = FakeSession(tmp_path / "run", FakeRunner(*messages))
    return Loop(session), session  # type: ignore[arg-type]


def kinds(session: FakeSession) -> list[Kind]:
    return [event.kind for event in read_events(session.run.events)]


def test_messages_become_events_and_open_the_envelope(tmp_path: Path) -> None:
    started = message("phase.started", phase="inject", index=1)
    intent = message("fault.intent", fault_id="dies", fault="process.kill", targets=["engine-0"], undo="release")
    turning, session = loop(tmp_path, started, intent)
    assert turning.turn() is None
    assert kinds(session) == [Kind.PHASE_STARTED, Kind.FAULT_INTENT]
    assert session.facts.envelope
    session.runner.queue.append(message("phase.ended", phase="recover", index=3, result="ok", text="good for 10 s"))
    assert turning.turn() is None
    assert not session.facts.envelope


def test_a_dead_guardian_is_started_again_and_the_run_goes_on(tmp_path: Path) -> None:
    turning, session = loop(tmp_path)
    session.guardian.dead = True
    assert turning.turn() is None
    assert session.guardian.restarts == 1
    assert kinds(session) == [Kind.NOTE]


def test_the_guardian_took_over(tmp_path: Path) -> None:
    turning, session = loop(tmp_path)
    session.guardian.taken = "the supervisor gave no sign of life for 1.5 s"
    assert turning.turn() == Stop("guardian", "the supervisor gave no sign of life for 1.5 s")


def test_a_runner_that_died_without_a_word_stops_the_run(tmp_path: Path) -> None:
    turning, session = loop(tmp_path)
    session.runner.child.ended = "was killed by signal 9 (SIGKILL)"
    assert turning.turn() == Stop("runner", "the runner was killed by signal 9 (SIGKILL)")


def test_a_runner_that_failed_is_an_internal_error(tmp_path: Path) -> None:
    turning, _ = loop(tmp_path, message("failed", text="plan.json was altered"))
    assert turning.turn() == Stop("runner", "plan.json was altered", ExitCode.INTERNAL)


@pytest.mark.parametrize(
    ("interrupted", "request_file", "by", "code"),
    [
        (True, False, "Ctrl-C", ExitCode.INTERRUPTED),
        (False, False, "SIGTERM", ExitCode.ABORTED),
        (False, True, "muster abort", ExitCode.ABORTED),
    ],
)
def test_who_asked(tmp_path: Path, interrupted: bool, request_file: bool, by: str, code: ExitCode) -> None:
    turning, session = loop(tmp_path)
    session.signals.stop, session.signals.interrupted = True, interrupted
    if request_file:
        (session.run.path / "abort.request").write_text("muster abort\n")
    stop = turning.turn()
    assert stop is not None
    assert (stop.by, stop.code) == (by, code)


def test_a_stop_ends_the_runner_first_and_records_what_was_undone(tmp_path: Path) -> None:
    turning, session = loop(tmp_path)
    session.guardian.faults = [
        {"fault_id": "dies", "state": "VERIFIED", "undone_ns": 7, "by_hand": []},
        {"fault_id": "cut", "state": "ORPHANED", "undone_ns": None, "by_hand": ["curl x"]},
    ]
    turning.stop(Stop("load", "no live counts for 2.0 s", guard=True))
    assert session.runner.orders == ["abort"]
    assert session.guardian.undone == ["abort (load)"]
    assert kinds(session) == [
        Kind.GUARD_TRIPPED, Kind.ABORT, Kind.FAULT_UNDOING, Kind.FAULT_UNDOING,
        Kind.FAULT_VERIFIED, Kind.FAULT_ORPHANED,
    ]  # fmt: skip
    undo(session, "the end of the run")  # type: ignore[arg-type]
    assert kinds(session).count(Kind.FAULT_VERIFIED) == 1, "each fault is closed once"


DIES = {"fault_id": "dies", "state": "VERIFIED", "undone_ns": 7, "by_hand": []}
SOP = {
    "sop": "failover",
    "title": "t",
    "owner": "o",
    "steps": [
        {"id": "promote", "do": {"bus.promote": {}}, "expect": "1s", "point_of_no_return": True},
        {"id": "fence", "do": {"engine.fence": {}}, "expect": "1s"},
        {"id": "switch", "do": {"dns.switch": {}}, "expect": "1s"},
    ],
}


def aborting(tmp_path: Path, action: str, **phase: object) -> tuple[Loop, FakeSession]:
    """A run in the one phase of its drill, with one fault open."""
    turning, session = loop(tmp_path, message("phase.started", phase="recover", index=0))
    phases = [{"recover": phase or {"until": "leader"}, "abort": action}]
    session.plan = plan_with([{"longest": "1h"}], phases=phases, sops={"failover": SOP})
    session.guardian.faults = [DIES]
    turning.turn()
    return turning, session


def test_hold_undoes_nothing_and_says_so(tmp_path: Path) -> None:
    turning, session = aborting(tmp_path, "hold")
    turning.stop(Stop("load", "no live counts", guard=True))
    undo(session, "the end of the run")  # type: ignore[arg-type]
    assert (session.guardian.held, session.guardian.undone) == (True, [])
    events = list(read_events(session.run.events))
    notes = [one.data["text"] for one in events if one.kind is Kind.NOTE]
    end = "`muster abort` again, or `muster undo run`, undoes it; it goes by itself after 8m"
    assert notes == [f"HELD: dies stays in effect; {end}"]
    assert [one.data["action"] for one in events if one.kind is Kind.ABORT] == ["hold"]


def test_a_person_may_heal_what_would_be_held(tmp_path: Path) -> None:
    turning, session = aborting(tmp_path, "hold")
    session.signals.stop = True
    (session.run.path / "abort.request").write_text(HEAL)
    stop = turning.turn()
    assert stop is not None
    turning.stop(stop)
    assert (session.guardian.held, session.guardian.undone) == (False, ["abort (muster abort)"])


def test_nothing_is_held_in_a_sandbox_that_goes_down_with_the_run(tmp_path: Path) -> None:
    turning, session = aborting(tmp_path, "hold")
    session.sandbox.owned = True
    turning.stop(Stop("x", "y"))
    assert (session.guardian.held, session.guardian.undone) == (False, ["abort (x)"])


def test_fence_and_complete_does_the_rest_of_the_sop_fencing_first_and_then_undoes(tmp_path: Path) -> None:
    turning, session = aborting(tmp_path, "fence-and-complete", sop="failover")
    session.runner.queue = [message("step", sop="failover", step="promote", state="done")]
    turning.turn()
    turning.stop(Stop("x", "y"))
    assert session.completed == ["fence", "switch"]
    assert session.guardian.undone == ["abort (x)"]


def test_what_cannot_be_completed_is_held(tmp_path: Path) -> None:
    turning, session = aborting(tmp_path, "fence-and-complete", sop="failover")
    session.completion = [message("failed", text="step fence: no answer")]
    turning.stop(Stop("x", "y"))
    assert session.completed == ["fence", "promote", "switch"]
    assert (session.guardian.held, session.guardian.undone) == (True, [])


def test_without_an_sop_a_leader_is_waited_for(tmp_path: Path) -> None:
    turning, session = aborting(tmp_path, "fence-and-complete")
    turning.stop(Stop("x", "y"))
    assert (session.completed, session.guardian.undone) == ([], ["abort (x)"])


def test_a_full_disk_is_said_once_and_the_run_is_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turning, session = loop(tmp_path, message("note", text="hello"))
    session.record.events = EventLog(Path("/dev/full"))
    stop = turning.turn()
    assert stop is not None
    assert stop.code is ExitCode.INTERNAL
    assert "no space left on device; give it room" in stop.reason
    session.emit(Kind.NOTE, text="shown all the same")
    assert "shown all the same" in capsys.readouterr().err


def test_an_unknown_message_of_the_runner_is_named() -> None:
    from chaoslib_ext.supervisor.watchers import _message

    with pytest.raises(ComponentError, match="runner: sent"):
        _message(b"Traceback (most recent call last):")


def test_check_text() -> None:
    target = {"name": "engine-0", "role": "primary", "zone": "tyo-a"}
    fault = {"id": "a", "fault": "process.kill", "params": {}, "targets": [target], "describe": "d", "undo_text": "u"}
    plan = plan_with([{"longest": "1h"}], faults=[fault])
    assert check_text(plan) == "1 fault, 1 objective, 1 guard; target engine-0 (primary, tyo-a)"
