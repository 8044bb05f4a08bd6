"""After the phases: stop the load, read the audit, compare the system with before, judge, report, and seal the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson

from chaoslib_ext import planes
from chaoslib_ext.supervisor import evidence
from chaoslib_ext.supervisor.loop import Stop, undo
from chaoslib_ext.supervisor.record import disk_words
from chaoslib_ext.supervisor.session import Session
from chaoslib_ext.supervisor.signals import AtOnce
from chaoslib_ext.world import World
from drills import ledger
from drills.errors import ExitCode, MusterError, worst
from drills.events import Kind

LOAD_GRACE_S = 8.0
FAILED_GRACE_S = 1.0
SAMPLER_GRACE_S = 1.0
AUDIT_S = 15.0
LOST_S = 1.0
"""A system whose node agent is gone will not come to rest any more."""

SETTLE_S = 10.0


class Show(Protocol):
    """What goes to stdout: data, as soon as it is there."""

    def verdict(self, verdict: dict[str, Any]) -> None:
        """The content of verdict.json."""

    def report(self, path: Path) -> None:
        """The report was written."""


@dataclass
class Ending:
    """What is known at the end: the exit codes so far, the verdict's word, whether it was judged, and the report."""

    codes: list[ExitCode] = field(default_factory=list)
    word: str = "aborted"
    judged: bool = False
    report: str | None = None


class Finish:
    """The end of one run. `stop` is why it ended early, `last` that its sandbox is not needed again."""

    def __init__(self, session: Session, stop: Stop | None, show: Show, *, last: bool) -> None:
        self._s, self._stop, self._show, self._last = session, stop, show, last
        self.ending = Ending()

    def all(self) -> Ending:
        """Every step; one that fails is named and the next ones go on. A second Ctrl-C skips what only measures."""
        self._step("undo", lambda: undo(self._s, by="the end of the run"))
        self._step("undo", self._settle)
        self._step("load", self._end_load)
        self._step("sampler", self._end_sampler)
        if self._stop is not None:
            self.ending.codes.append(self._stop.code)
        try:
            self._s.signals.dispensable = True
            if self._s.signals.at_once:
                raise AtOnce
            self._measure()
        except AtOnce:
            self._s.screen.say("stopped at once: undone, but the rest of the evidence is not written")
        finally:
            self._s.signals.dispensable = False
        self._orphans()
        if self._s.record.failed is not None:  # whatever stopped the run, its record is not whole
            self.ending.codes.append(ExitCode.INTERNAL)
        self._close()
        return self.ending

    def _settle(self) -> None:
        if self._s.guardian is not None and not self._held and self._s.environment.lost is None:
            self._s.guardian.settle()

    def _measure(self) -> None:
        run, disk = self._s.run, self._disk
        from loadgen.engine.files import parts

        if parts(run):
            disk("audit", self._audit)
            disk("witness", self._witness)
        disk("samples", lambda: evidence.write_samples(run))
        self._step("clean-up", self._cleanup)
        disk("truth", self._truth)
        if self._last:
            self._s.sandbox.begin_stop()
        disk("judge", self._judge)
        disk("report", self._report)

    def _step(self, name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except MusterError as error:
            self._s.record.note(str(error))
            self._count(error.exit_code)
        except OSError as error:
            if disk_words(error) != self._s.record.failed:
                self._s.record.note(f"{name}: {self._s.record.fail(error)}")
            self._count(ExitCode.INTERNAL)

    def _count(self, code: ExitCode) -> None:
        # of a run that was stopped, missing evidence is a matter of course: the stop decides
        if self._stop is None or code is ExitCode.UNDO_INCOMPLETE or self._s.record.failed:
            self.ending.codes.append(code)

    def _disk(self, name: str, work: Callable[[], object]) -> None:
        """A step that only writes evidence: left out once the disk has failed."""
        if self._s.record.failed is None:
            self._step(name, work)

    def _end_load(self) -> None:
        from loadgen import launch

        session = self._s
        session.facts.load_stopped = True
        if session.load is None:
            return
        died = session.load.ended
        failed = session.live.last is not None and session.live.last.state == "failed"
        session.load.stop(FAILED_GRACE_S if failed else LOAD_GRACE_S, lambda: session.signals.at_once)
        launch.end_workers(session.run.path, LOAD_GRACE_S)  # those whose master died play on
        session.live.refresh()
        last = session.live.last
        flows = last.flows.values() if last else ()
        reason = f"the load process {died}" if died and died != "ended with 0" else None
        if last is None or last.state == "failed":
            reason = (last.reason if last else None) or reason or "the load never sent anything"
        session.emit(
            Kind.LOAD_ENDED,
            offered=sum(one.sent for one in flows),
            answered=sum(one.ok + one.reject for one in flows),
            lag_p99_ms=last.run_lag_p99_ms if last else None,
            valid=reason is None,
            reason=reason,
        )

    def _end_sampler(self) -> None:
        self._s.environment.stop()
        if self._s.sampler is not None:
            self._s.sampler.stop(SAMPLER_GRACE_S)

    def _audit(self) -> None:
        from loadgen import venues

        session = self._s
        venue = session.sandbox.describe["venue"]
        try:
            patience_s = AUDIT_S if session.environment.lost is None else LOST_S
            result = venues.get(str(venue["type"])).audit(venue, session.run.path, patience_s)
        except MusterError as error:
            session.emit(Kind.AUDIT, complete=False, reason=str(error), text=f"not read: {error}")
            return
        clients = len(set(result.clients))
        sent = sum(one.sent for one in session.live.last.flows.values()) if session.live.last else 0
        read = f"{result.rows:,} commands read by two fresh clients from {clients} engine{'s' if clients != 1 else ''}"
        text = f"{sent:,} operations sent against {read}"
        if result.diverged_at is not None:
            text += f"; they differ from sequence {result.diverged_at} on"
        if not result.complete:
            text = f"incomplete: {result.reason}"
        session.emit(
            Kind.AUDIT,
            operations=sent,
            commands=result.rows,
            clients=list(result.clients),
            complete=result.complete,
            reason=result.reason,
            text=text,
        )

    def _witness(self) -> None:
        from loadgen import witness

        witness.consolidate(self._s.run.path)

    def _cleanup(self) -> None:
        """Compare with before; what the system itself brings back may take a moment."""
        session = self._s
        if session.before is None:
            return
        deadline = time.monotonic() + (SETTLE_S if session.environment.lost is None else LOST_S)
        while True:
            left, intended, settled = self._difference(session.before)
            if not left or settled or self._held or time.monotonic() > deadline:
                break
            time.sleep(0.2)
        if left and session.environment.lost is not None and not self._open():
            # every fault was verified as undone; what is broken now is not a trace of one, and nothing of ours mends it
            session.record.note(f"not compared with before: {session.environment.lost} ({'; '.join(left)})")
            return
        session.emit(Kind.CLEANUP, clean=not left, left=left, intended=intended, held=self._held)

    def _open(self) -> bool:
        """Whether a fault of this run was not verified as undone."""
        return any(entry.open for entry in ledger.read(self._s.run.ledger).entries)

    def _difference(self, before: Any) -> tuple[list[str], list[str], bool]:  # noqa: ANN401 - a snapshot
        try:
            after = self._s.world.snapshot()
        except MusterError as error:
            return [f"the sandbox cannot be asked: {error}"], [], True
        lines = World.diff(before, after)
        led = planes.by_steps(lines, {fault.fault for fault in self._s.plan.faults})
        return [line for line in lines if line not in led], [*World.moved(before, after), *led], False

    def _truth(self) -> None:
        try:
            evidence.copy_truth(self._s.run, self._s.sandbox.describe.get("truth_dir"))
        except OSError as error:  # no part of the verdict, which may still find room
            self._s.record.note(f"the sandbox's truth log was not copied: {disk_words(error)}")

    def _judge(self) -> None:
        from chaoslib_ext.judge import judge
        from drills.verdict import to_json

        verdict = judge(self._s.run.path)
        self.ending.judged, self.ending.word = True, verdict.verdict
        self.ending.codes.append(ExitCode(verdict.exit_code))
        sentence = " ".join(verdict.sentences)
        self._s.emit(Kind.VERDICT, verdict=verdict.verdict, sentence=sentence, exit_code=verdict.exit_code)
        self._show.verdict(orjson.loads(to_json(verdict)))

    def _report(self) -> None:
        from reports import write_report
        from reports.junit import write_junit

        if self.ending.judged:
            path = write_report(self._s.run.path)
            self.ending.report = str(path)
            self._show.report(path)
            write_junit(self._s.run.path)

    @property
    def _held(self) -> bool:
        return self._s.guardian is not None and self._s.guardian.held

    def _orphans(self) -> None:
        if self._held or Kind.FAULT_ORPHANED in self._s.record.closed.values():
            self.ending.codes.append(ExitCode.UNDO_INCOMPLETE)

    def _close(self) -> None:
        """End the sandbox and the guardian, say so, and seal the folder."""
        session = self._s
        if self._last:
            self._step("sandbox", session.sandbox.stop)
        if session.guardian is not None:
            guardian = session.guardian
            if not session.sandbox.owned:
                self._step("guardian", lambda: guardian.owns(None))
            self._step("guardian", guardian.close)
        code = int(worst(self.ending.codes))
        self._step(
            "events",
            lambda: session.emit(Kind.RUN_ENDED, verdict=self.ending.word, exit_code=code, report=self.ending.report),
        )
        self._step("events", session.record.seal)
        self._disk("manifest", lambda: evidence.write_manifest(session.run, self.ending.word))
