"""The main loop of a run: a turn each 100 ms, earlier when the runner speaks or a signal comes; and how it stops."""

from __future__ import annotations

import selectors
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from chaoslib_ext.cli.abort import HEAL, REQUEST
from chaoslib_ext.supervisor.session import Session
from drills.clock import NS
from drills.errors import ExitCode, FaultError, MusterError
from drills.events import Kind
from drills.model_phases import Phase, Step
from drills.plan import Plan
from drills.units import format_duration

TURN_S = 0.1
RUNNER_GRACE_S = 1.0
COMPLETE_SLACK_S = 30.0
"""Beyond what the steps are expected to take: another runner has to start, and a step may take its time."""

FENCE_S = 15.0
"""How long fence-and-complete waits for the promoted engine before it undoes."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run ended before its last phase. `guard` is its guard, where one tripped."""

    by: str
    reason: str
    code: ExitCode = ExitCode.ABORTED
    guard: bool = False
    heal: bool = False
    """A person asked to undo whatever the phase says."""


class Loop:
    """Follows the runner until it is done or somebody stops the run."""

    def __init__(self, session: Session) -> None:
        self._s = session
        self._done: str | None = None
        self._failed: str | None = None
        self.phase: int | None = None
        self.steps: set[str] = set()
        """Steps of the present phase's SOP that are done."""

    def run(self) -> Stop | None:
        """Turn until the end; None when every phase was walked."""
        runner = self._s.runner
        assert runner is not None
        with selectors.DefaultSelector() as selector:
            selector.register(runner.fd, selectors.EVENT_READ)
            selector.register(self._s.signals.fd, selectors.EVENT_READ)
            while True:
                self._wait(selector)
                stop = self.turn()
                if stop is not None or self._done is not None:
                    return stop

    def _wait(self, selector: selectors.BaseSelector) -> None:
        runner = self._s.runner
        if runner is not None and runner.eof and runner.fd in selector.get_map():
            selector.unregister(runner.fd)
        for key, _ in selector.select(TURN_S):
            if key.fd == self._s.signals.fd:
                self._s.signals.drain()

    def turn(self) -> Stop | None:
        """One look at everything; why the run must stop, or None."""
        session = self._s
        try:
            self._guardian()
            session.refresh()
            self.hear()
            session.screen.tick(session.live)
        except FaultError as error:
            return Stop("guardian", str(error))
        except MusterError as error:
            return Stop("the supervisor", str(error), error.exit_code)
        return self._asked() or self._broken() or self._guards()

    def _guardian(self) -> None:
        guardian = self._s.guardian
        if guardian is not None and not guardian.alive():
            guardian.restart()
            self._s.emit(Kind.NOTE, text="the guardian was killed; a new one took over its ledger")

    def hear(self) -> None:
        """Turn the runner's messages into events."""
        for message in self._s.runner.messages() if self._s.runner else ():
            kind, data = message["kind"], message["data"]
            if kind == "done":
                self._done = str(data["result"])
            elif kind == "failed":
                self._failed = str(data["text"])
            else:
                self._follow(Kind(kind), data)
                self._s.emit(Kind(kind), **data)

    def _follow(self, kind: Kind, data: Mapping[str, Any]) -> None:
        if kind is Kind.PHASE_STARTED:
            self.phase, self.steps = int(data["index"]), set()
        elif kind is Kind.STEP and data["state"] == "done":
            self.steps.add(str(data["step"]))
        elif kind is Kind.FAULT_INTENT:
            self._s.facts.envelope = True
        elif kind is Kind.PHASE_ENDED and data["phase"] == "recover" and data["result"] == "ok":
            # service is back: from here on a breach is not what the drill announced
            self._s.facts.envelope = "leads with" in str(data.get("text"))

    def _asked(self) -> Stop | None:
        signals = self._s.signals
        if not signals.stop:
            return None
        request = self._s.run.path / REQUEST
        if request.exists():
            return Stop("muster abort", "a person asked", heal=request.read_text() == HEAL)
        if signals.interrupted:
            return Stop("Ctrl-C", "a person asked", ExitCode.INTERRUPTED)
        return Stop(signals.name(), "the supervisor was told to end")

    def _broken(self) -> Stop | None:
        session = self._s
        if session.guardian is not None and session.guardian.taken:
            return Stop("guardian", session.guardian.taken)
        if self._failed is not None:
            return Stop("runner", self._failed, ExitCode.INTERNAL)
        if self._done is None and session.runner is not None and session.runner.child.ended:
            self.hear()
            if self._done is None and self._failed is None:
                killed = "killed" in session.runner.child.ended
                words = "" if killed else f": {session.runner.child.last_words()}"
                return Stop("runner", f"the runner {session.runner.child.ended}{words}")
        return None

    def _guards(self) -> Stop | None:
        trip = self._s.guards.check(self._s.facts, time.monotonic_ns())
        return Stop(trip.guard, trip.reason, guard=True) if trip else None

    def stop(self, stop: Stop) -> None:
        """Record why, end the runner, and undo as the phase says. Raises FaultError where no guardian can be had."""
        session, action = self._s, "heal" if stop.heal else self._abort_action()
        if stop.guard:
            self._try(Kind.GUARD_TRIPPED, guard=stop.by, reason=stop.reason)
        self._try(Kind.ABORT, by=stop.by, reason=stop.reason, guard=stop.guard, action=action)
        by = f"abort ({stop.by})"
        if action == "heal":
            self._undo_at_once(by)
            return
        self._end_runner()
        if action == "fence-and-complete" and not self._complete():
            action = "hold"
        if action != "hold" or not hold(session, by):
            undo(session, by=by)

    def _undo_at_once(self, by: str) -> None:
        """Freeze the runner, so that it can do nothing any more, and undo; its end takes longer than that."""
        runner = self._s.runner
        if runner is not None:
            runner.child.freeze()
        self._hear_quietly()
        undo(self._s, by=by)
        self._end_runner()

    def _end_runner(self) -> None:
        runner = self._s.runner
        if runner is None:
            return
        runner.abort()
        runner.child.thaw()
        deadline = time.monotonic() + RUNNER_GRACE_S
        while runner.child.ended is None and time.monotonic() < deadline and not self._s.signals.at_once:
            self._hear_quietly()
            time.sleep(0.01)
        runner.child.kill(pipes=False)
        self._hear_quietly()
        runner.child.kill()

    def _hear_quietly(self) -> None:
        try:
            self.hear()
        except MusterError:
            return

    def _try(self, kind: Kind, **data: object) -> None:
        try:
            self._s.emit(kind, **data)
        except MusterError as error:
            self._s.screen.say(str(error))
            self._s.emit(kind, **data)  # the disk has failed: this one is only shown

    def _abort_action(self) -> str:
        phase = self._present()
        return phase.abort or "heal" if phase else "heal"

    def _present(self) -> Phase | None:
        phases: tuple[Phase, ...] = self._s.plan.phases
        return phases[self.phase] if self.phase is not None and self.phase < len(phases) else None

    def _complete(self) -> bool:
        """Bring the phase to its end without healing; False where a step failed: then a person must decide."""
        phase = self._present()
        left = remaining(self._s.plan, phase, self.steps) if phase else ()
        if not left or self.phase is None:
            if not self._s.signals.at_once:
                self._await_leader()
            return True
        self._done, self._failed = None, None
        try:
            self._s.complete(self.phase, [step.id for step in left])
            self._follow_completion(sum(step.expect for step in left) + COMPLETE_SLACK_S)
        except MusterError as error:
            self._failed = str(error)
        self._end_runner()
        if self._done == "ok":
            return True
        why = f"it did not come to its end ({self._failed or self._done}), and healing may make two primaries"
        self._try(Kind.ABORT, by="fence-and-complete", reason=why, guard=False, action="hold")
        return False

    def _follow_completion(self, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while self._done is None and self._failed is None:
            runner = self._s.runner
            self._guardian()
            self._s.refresh()
            self.hear()
            if time.monotonic() > deadline:
                self._failed = f"not within {within_s:g} s"
            elif runner is not None and runner.child.ended is not None and self._done is None:
                self.hear()
                self._failed = self._failed or (None if self._done else f"the runner {runner.child.ended}")
            time.sleep(0.02)

    def _await_leader(self) -> None:
        session = self._s
        deadline = time.monotonic_ns() + int(FENCE_S * NS)
        before = time.monotonic_ns()
        while time.monotonic_ns() < deadline and not session.signals.at_once:
            session.refresh()
            if session.guardian is not None:
                session.guardian.alive()
            leads = session.samples.leading_ns
            if leads is not None and leads > before:
                return
            time.sleep(0.05)


def remaining(plan: Plan, phase: Phase, done: Collection[str]) -> tuple[Step, ...]:
    """The automatic steps of a phase's SOP that are still to be done: those that fence first, the others in order."""
    named = phase.recover or phase.failback
    sop = plan.sops.get(str(named.sop)) if named else None
    left = [step for step in sop.steps if step.do and step.id not in done] if sop else []
    return tuple(sorted(left, key=lambda step: not any(name.endswith("fence") for name in step.do or {})))


def hold(session: Session, by: str) -> bool:
    """Leave what is open to a person; False where nothing is, or where it goes down with a sandbox of the run's own."""
    if session.guardian is None:
        return False
    if session.sandbox.owned:
        session.record.note("nothing is held: the sandbox was started for this run and goes down with it")
        return False
    left = session.guardian.hold(by)
    if left:
        what, run = ", ".join(left), session.run.run_id
        after = format_duration(round(session.guardian.held_for_s))
        end = f"`muster abort` again, or `muster undo {run}`, undoes it; it goes by itself after {after}"
        session.record.note(f"HELD: {what} stays in effect; {end}")
    return bool(left)


def undo(session: Session, by: str) -> None:
    """Undo whatever is open and record what became of each fault. Raises FaultError where no guardian can be had."""
    if session.guardian is None or session.guardian.held:
        return
    faults = session.guardian.undo_all(by, lambda fault_id: session.emit(Kind.FAULT_UNDOING, fault_id=fault_id, by=by))
    for one in faults:
        fault_id = str(one["fault_id"])
        if fault_id in session.record.closed:
            continue
        if one["state"] == "VERIFIED":
            session.emit(Kind.FAULT_VERIFIED, fault_id=fault_id, by=by, undone_ns=one["undone_ns"])
        elif one["state"] == "ORPHANED":
            session.emit(Kind.FAULT_ORPHANED, fault_id=fault_id, by_hand=list(one["by_hand"]))
