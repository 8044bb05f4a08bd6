"""Walks the phases of a drill, each act a Chaos Toolkit activity; or runs an experiment whole through chaoslib."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chaoslib_ext.ctk import controls
from chaoslib_ext.ctk.context import Context, Stopped
from chaoslib_ext.ctk.journal import Activities, Journal, why
from chaoslib_ext.supervisor.options import EXPERIMENT_BASELINE_S, EXPERIMENT_RECOVER_S
from drills.errors import FaultError, UsageError
from drills.events import Kind
from drills.model import Baseline, Detect, Failback, Inject, Recover, Restore, Step, Verify
from drills.model_phases import Phase
from drills.plan import Plan
from drills.registry import Wait

FAILBACK_S = 60.0
"""How long a step of a failback may wait for what it waits for."""

Result = tuple[str, str | None]
"""How a phase ended (ok, missed, failed, skipped) and a text for the screen."""


class Walk:
    """One walk over the phases. After a failed baseline or fault only what restores is still done."""

    def __init__(self, context: Context, activities: Activities) -> None:
        self._context, self._do = context, activities
        self.hopeless: str | None = None
        self._stance = "heal"

    def all(self, phases: tuple[Phase, ...]) -> None:
        """Every phase, in order."""
        for index, phase in enumerate(phases):
            self.one(index, phase)

    def one(self, index: int, phase: Phase) -> None:
        """One phase, between its two events."""
        context = self._context
        context.phase = index
        if self.hopeless and not (phase.kind == "restore" and context.shots):
            context.emit(Kind.PHASE_ENDED, phase=phase.kind, index=index, result="skipped", text=self.hopeless)
            return
        self._steer(phase)
        context.emit(Kind.PHASE_STARTED, phase=phase.kind, index=index)
        result, text = self._act(phase)
        context.emit(Kind.PHASE_ENDED, phase=phase.kind, index=index, result=result, text=text)

    def _act(self, phase: Phase) -> Result:
        match phase.params:
            case Baseline() as baseline:
                return self._baseline(baseline)
            case Inject() as inject:
                return self._inject(inject)
            case Detect() as detect:
                return self._detect(detect)
            case Recover(sop=str(name)) as recover:
                return self.follow(phase, self._steps(name), recover.within)
            case Failback(sop=name):
                return self._failback(phase, name)
            case Recover() as recover:
                return self._wait(f"recover-{recover.until}", "missed", until=recover.until, within=recover.within)
            case Verify() as verify:
                return self._wait("verify", "failed", seconds=verify.for_)
            case Restore() as restore:
                return self._restore(restore)
        raise UsageError(f"phase {phase.kind} needs people or an SOP; muster run cannot walk it yet")

    def _failback(self, phase: Phase, sop: str) -> Result:
        """The procedure, and service that is good after it: clients that stayed where nobody leads have lost it."""
        result = self.follow(phase, self._steps(sop), FAILBACK_S)
        if result[0] != "ok":
            return result
        return self._wait("failback-sustained", "failed", until="sustained", within=FAILBACK_S, afresh=True)

    def _baseline(self, phase: Baseline) -> Result:
        entry = self._do.run("probe", "baseline", "steady", seconds=phase.for_)
        if entry["output"] is True:
            return "ok", None
        self.hopeless = "the baseline was not steady" if entry["status"] == "succeeded" else why(entry)
        return "failed", self.hopeless

    def _inject(self, phase: Inject) -> Result:
        ids = list(phase.ids)
        acts: list[tuple[str, str, dict[str, Any]]] = [(f"prepare {one}", "prepare", {"fault_id": one}) for one in ids]
        acts += [(f"inject {' '.join(ids)}", "apply", {"fault_ids": ids})]
        acts += [(f"witness {' '.join(ids)}", "witness", {"fault_ids": ids})]
        for name, func, arguments in acts:
            entry = self._do.run("action", name, func, **arguments)
            if entry["status"] != "succeeded":
                self.hopeless = why(entry)
                if func != "witness":
                    fault_id = str(arguments.get("fault_id") or ids[0])
                    self._context.emit(Kind.FAULT_NOT_WITNESSED, fault_id=fault_id, reason=self.hopeless)
                return "failed", self.hopeless
        return "ok", None

    def _detect(self, phase: Detect) -> Result:
        if phase.probe is None:
            return "missed", f"no alert manager to say {phase.alert}"
        entry = self._do.run("probe", f"detect-{phase.probe}", "detected", probe=phase.probe, within=phase.within)
        if entry["status"] == "succeeded" and entry["output"] is not None:
            return "ok", None
        missed = f"{phase.probe} showed nothing within {phase.within:g} s"
        return "missed", missed if entry["status"] == "succeeded" else why(entry)

    def _wait(self, name: str, otherwise: str, **arguments: object) -> Result:
        entry = self._do.run("action", name, "wait", **arguments)
        if entry["status"] != "succeeded":
            return otherwise, why(entry)
        return "ok", (entry["output"] or {}).get("text")

    def _steps(self, sop: str) -> tuple[Step, ...]:
        return _plan(self._context).sops[sop].steps

    def follow(self, phase: Phase, steps: Sequence[Step], within: float) -> Result:
        """Do these automatic steps of an SOP, one after the other; the first that fails ends it."""
        named = phase.recover or phase.failback
        sop, text = str(named.sop if named else None), None
        for step in steps:
            if step.point_of_no_return:
                self._stand("hold" if phase.abort not in (None, "heal") else "heal", phase)
            result, text = self._step(sop, step, within)
            if result != "ok":
                return "failed", f"step {step.id}: {text}"
        return "ok", text

    def _step(self, sop: str, step: Step, within: float) -> Result:
        ((action, params),) = (step.do or {"": {}}).items()
        self._context.emit(Kind.STEP, sop=sop, step=step.id, state="started")
        began = time.monotonic()
        if action == "wait":
            entry = self._do.run("action", f"{sop}-{step.id}", "wait", **_waiting(params, within))
        else:
            entry = self._do.run("action", f"{sop}-{step.id}", "act", action=action, params=params)
        done = entry["status"] == "succeeded"
        text = (entry["output"] or {}).get("text") if done else why(entry)
        seconds = time.monotonic() - began
        state = "done" if done else "failed"
        self._context.emit(Kind.STEP, sop=sop, step=step.id, state=state, seconds=seconds, text=text)
        return ("ok", text) if done else ("failed", text)

    def _steer(self, phase: Phase) -> None:
        """Tell the guardian, before the phase begins, what an abort in it means."""
        named = phase.recover or phase.failback
        sop = _plan(self._context).sops.get(str(named.sop)) if named and named.sop else None
        beyond = phase.abort == "fence-and-complete" and not (sop and any(s.point_of_no_return for s in sop.steps))
        self._stand("hold" if phase.abort == "hold" or beyond else "heal", phase)

    def _stand(self, stance: str, phase: Phase) -> None:
        if stance != self._stance:
            self._context.guardian.stance(stance, phase.kind)
            self._stance = stance

    def _restore(self, phase: Restore) -> Result:
        ids = phase.undo if phase.undo == "all" else list(phase.undo)
        entry = self._do.run("action", "undo", "undo", fault_id=ids)
        if entry["status"] != "succeeded":
            return "failed", why(entry)
        if phase.until == "none":
            return "ok", None
        return self._wait("restore-redundancy", "missed", until="redundancy", within=phase.within)


def _waiting(params: Mapping[str, Any], within: float) -> dict[str, Any]:
    wait = Wait.model_validate(params)
    return {"seconds": wait.seconds} if wait.until is None else {"until": wait.until, "within": within}


def complete(context: Context, journal_path: Path, index: int, steps: Sequence[str]) -> None:
    """Do these steps of a phase's SOP for a run that is being aborted. Raises FaultError where one of them fails."""
    plan = _plan(context)
    phase = plan.phases[index]
    named = phase.recover or phase.failback
    known = {step.id: step for step in plan.sops[str(named.sop)].steps} if named else {}
    journal = Journal(journal_path, {"title": plan.title, "description": "fence and complete", "method": []})
    walk = Walk(context, Activities(journal, {"title": plan.title}))
    within = phase.recover.within if phase.recover else FAILBACK_S
    result, text = walk.follow(phase, [known[step] for step in steps], within)
    journal.end("completed")
    if result != "ok":
        raise FaultError(text or "a step failed")


def run_drill(context: Context, journal_path: Path) -> None:
    """Walk the plan's phases. Raises Stopped when the run is told to stop; the journal is whole either way."""
    plan = _plan(context)
    experiment = {"title": plan.title, "description": plan.hypothesis, "method": [], "controls": [controls.CONTROL]}
    journal = Journal(journal_path, experiment)
    _journalled(journal, lambda: Walk(context, Activities(journal, experiment)).all(plan.phases))


def _journalled(journal: Journal, work: Callable[[], None]) -> None:
    try:
        work()
    except Stopped:
        journal.end("aborted")
        raise
    journal.end("completed")


def run_experiment(context: Context, journal_path: Path) -> None:
    """A baseline, the experiment whole through chaoslib (rollbacks always), recovery, and the undo of every fault."""
    plan = _plan(context)
    document: dict[str, Any] = copy.deepcopy(plan.definition)
    document["controls"] = [*document.get("controls", []), controls.CONTROL]
    journal = Journal(journal_path, document)
    walk = Walk(context, Activities(journal, {"title": plan.title}))
    walk.one(0, Phase.model_validate({"baseline": {"for": f"{EXPERIMENT_BASELINE_S:g}s"}}))
    if walk.hopeless:
        journal.end("failed")
        return
    context.emit(Kind.PHASE_STARTED, phase="inject", index=1)
    body = _through_chaoslib(context, document, journal)
    status = str(body["status"])
    injected = "no fault was injected" if not context.shots else None
    context.emit(
        Kind.PHASE_ENDED,
        phase="inject",
        index=1,
        result="ok" if status == "completed" and context.shots else "failed",
        text=injected or f"the experiment {'deviated' if body.get('deviated') else status}",
    )
    if context.stop.is_set():
        raise Stopped(context.why or "stopped")
    if context.shots:
        recover = {"until": "sustained", "within": f"{EXPERIMENT_RECOVER_S:g}s"}
        walk.one(2, Phase.model_validate({"recover": recover}))
        walk.one(3, Phase.model_validate({"restore": {"undo": "all"}}))
    journal.end("completed")


def _through_chaoslib(context: Context, document: dict[str, Any], journal: Journal) -> dict[str, Any]:
    from chaoslib.experiment import run_experiment as execute
    from chaoslib.types import Strategy

    controls.on_run = journal.add
    settings = {"runtime": {"rollbacks": {"strategy": "always"}}}
    try:
        body: dict[str, Any] = execute(document, settings=settings, strategy=Strategy.DEFAULT)
    finally:
        controls.on_run = None
    journal.end("completed", body)
    return body


def _plan(context: Context) -> Plan:
    if context.plan is None:
        raise UsageError("there is no plan to run")
    return context.plan
