"""What keeps a run from being conclusive, each with its figures and with what would make it conclusive.

DESIGN: inconclusive, never passed: fault not witnessed; baseline not steady; power < 0.99; generator late or offered
< 95 %; audit incomplete; a checker crashed; a probe without data. A run that was stopped is aborted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from drills.facts import Facts, critical_flows
from drills.rpo import POWER, amplify_for, repeats_for
from drills.rto import OFFERED, in_time
from drills.timeline import FaultRecord
from drills.verdict import Cause, Word
from drills.words import percent_text

_AMPLIFY_MAX = 20  # of drills.model.Load


@dataclass(frozen=True)
class Gate:
    """A cause, and which kind of objective cannot be proven because of it: of time, of counting, or neither.

    `zero` marks a cause that weakens only the proof that nothing was lost.
    """

    cause: Cause
    timing: bool = False
    counting: bool = False
    zero: bool = False


def gates(facts: Facts) -> list[Gate]:
    """Every cause of a run that is not an objective itself, in the order in which a reader should see them."""
    return [
        *_stopped(facts),
        *_damaged(facts),
        *_injection(facts),
        *_failback(facts),
        *_baseline(facts),
        *_load(facts),
        *_audit(facts),
        *_checkers(facts),
        *_power(facts),
        *_probes(facts),
        *_cleanup(facts),
    ]


def _gate(
    code: str,
    text: str,
    remedy: str | None,
    *,
    outcome: Literal["system", "injection", "cleanup", "run"] = "system",
    result: Word = "inconclusive",
    timing: bool = False,
    counting: bool = False,
    zero: bool = False,
) -> Gate:
    return Gate(Cause(code=code, outcome=outcome, result=result, text=text, remedy=remedy), timing, counting, zero)


CALM = "end what disturbs it (`muster doctor`, other load on the machine), or lower load.speed, and run again"


def _stopped(facts: Facts) -> Iterator[Gate]:
    if facts.line.stop is not None:
        _, by, reason = facts.line.stop
        text = f"the run was stopped by {by}" + (f": {reason}" if reason else "")
        yield _gate("aborted", text, "remove the cause and run again", outcome="run", result="aborted")


def _damaged(facts: Facts) -> Iterator[Gate]:
    for name, what in facts.damaged.items():
        counts = name.startswith("audit")
        code = f"damaged-{name.partition('.')[0].replace('/', '-')}"
        yield _gate(code, f"{name} {what}", "run again", outcome="run", timing=not counts, counting=True)


def _injection(facts: Facts) -> Iterator[Gate]:
    for planned in facts.plan.faults:
        record = facts.line.faults.get(planned.id, FaultRecord(planned.id))
        if record.issued_ns is None:
            text = f"fault {planned.id} was never injected"
        elif record.effect_ns is None:
            why = record.not_witnessed or "no witness of its effect was recorded"
            text = f"fault {planned.id} was not seen to take effect: {why}"
        else:
            continue
        names = ", ".join(target.name for target in planned.targets) or "its targets"
        if facts.line.stop is not None and record.issued_ns is None:
            yield _gate("fault-not-injected", f"{text}, the run was stopped before it", None, outcome="injection",
                        timing=True, counting=True)  # fmt: skip
            continue
        remedy = f"see with `muster plan {facts.plan.name}` what it would touch, check {names}, and run again"
        if record.issued_ns is None and (restless := _restless(facts)):
            text, remedy = f"{text}: the baseline was not steady: {restless}", CALM
        yield _gate("fault-not-witnessed", text, remedy, outcome="injection", timing=True, counting=True)


def _failback(facts: Facts) -> Iterator[Gate]:
    """A way back that did not end with good service: the objectives of the fault were met long before it."""
    planned = any(phase.kind == "failback" for phase in facts.plan.phases)
    if not planned or facts.window is None or facts.line.stop is not None or facts.line.failed_back_ns is not None:
        return
    ends = [(result, text) for name, _, _, result, text in facts.line.phases if name == "failback"]
    why = f": {ends[-1][1]}" if ends and ends[-1][1] else ""
    yield _gate("not-failed-back", f"service did not fail back{why}", None, result="failed")


def _baseline(facts: Facts) -> Iterator[Gate]:
    first = facts.line.first_issue_ns
    if first is None or facts.history is None or facts.is_good is None:
        return
    problem = _restless(facts)
    for flow in critical_flows(facts.plan) or facts.history.kinds:
        problem = _unsteady(facts, flow, first) or problem
    if problem:
        yield _gate("baseline-not-steady", f"the baseline was not steady: {problem}", CALM, timing=True)


def _restless(facts: Facts) -> str | None:
    """What the check before the fault said against the baseline."""
    said = facts.line.baseline or {}
    return None if said.get("steady") is not False else str(said.get("reason") or "the check before the fault said so")


def _unsteady(facts: Facts, flow: str, first: int) -> str | None:
    """What was wrong with a flow in the last W before the fault; its operations still in flight then do not count."""
    assert facts.history is not None
    until = first - facts.rules.limit_ns(flow)
    mine = facts.history.of(flow)
    rows = mine & (facts.history.intended >= until - facts.rules.sustain_ns) & (facts.history.intended < until)
    if not rows.any():
        return f"{flow} has no operation before the fault" if mine.any() else None
    # the rejects of the baseline are its own measure: the windows that judge later ones reach into the outage
    fine = in_time(facts.history, facts.rules) & (facts.history.ok | facts.history.business)
    share, need = float(fine[rows].mean()), facts.rules.theta
    if share >= need - 1e-12:
        return None
    seconds = (until - int(facts.history.intended[rows][0])) / 1e9
    needed = f"{percent_text(need, 1)} is needed"
    return f"{percent_text(share)} of {flow} was good in the last {seconds:.0f} s before the fault, {needed}"


def _load(facts: Facts) -> Iterator[Gate]:
    load = facts.load
    if load is None:
        return
    late = load.lag_p99_ms is not None and load.lag_p99_ms > load.gate_ms
    short = load.share is not None and load.share < OFFERED
    if late:
        text = (
            f"the generator was late: its own lag p99 was {load.lag_p99_ms:.1f} ms, at most {load.gate_ms:g} ms counts"
        )
        speed = max(0.1, math.floor(facts.plan.load.speed * 5) / 10)
        yield _gate(
            "load-late", text, f"give it a core of its own, or replay slower (load.speed: {speed:g})", timing=True
        )
    if short:
        text = f"only {percent_text(load.share or 0.0, 1)} of the schedule was sent while the system could take it, "
        text += f"{percent_text(OFFERED, 0)} is needed"
        remedy = "lower load.speed or load.amplify, or use a faster machine"
        yield _gate("load-not-offered", text, remedy, timing=True)
    if load.said is not None and not late and not short:
        yield _gate("load-invalid", f"the generator spoiled the run: {load.said}", "run again", timing=True)


def _audit(facts: Facts) -> Iterator[Gate]:
    meta = facts.audit
    if any(name.startswith("audit") for name in facts.damaged):
        return
    if meta is None:
        gone = "the audit was not read, so nothing can be said about lost or doubled operations"
        yield _gate("audit-missing", gone, "run again, with the venue reachable after the drill", counting=True)
        return
    if meta.get("diverged_at") is not None:
        text = f"the two readers of the audit differ from sequence {meta['diverged_at']} on"
        yield _gate("audit-diverged", text, "find which engine is right before trusting either", counting=True)
    if not meta.get("complete"):
        text = f"the audit is incomplete: {meta.get('reason') or 'no reason was given'}"
        yield _gate("audit-incomplete", text, "run again, with every engine up after the drill", counting=True)


def _checkers(facts: Facts) -> Iterator[Gate]:
    for name, result in facts.checks.items():
        if result.error is not None:
            text = f"checker {name}: {result.error}"
            remedy = f"report it with `muster runs export {facts.plan.run_id or 'RUN'} -o bug.tar.gz`"
            yield _gate("checker-crashed", text, remedy, counting=True)


def _power(facts: Facts) -> Iterator[Gate]:
    rpo = facts.rpo
    if rpo is None or rpo.power is None or rpo.window_s is None or rpo.power >= POWER:
        return
    rate, window_ms = rpo.rate or 0.0, rpo.window_s * 1000
    chance = f"a {percent_text(rpo.power, 0)} chance" if rate else "no chance"
    text = f"only {rate:.0f} operations were acknowledged in the last second before the fault, "
    text += f"so a loss of {window_ms:g} ms had {chance} to be seen"
    remedy = power_remedy(rate, rpo.window_s, rpo.power, facts.plan.load.amplify)
    yield _gate("power-too-low", text, remedy, counting=True, zero=True)


def power_remedy(rate: float, window_s: float, chance: float, amplify: int) -> str:
    """How much more traffic, or how many repetitions, would prove a zero."""
    factor, repeats = amplify_for(rate, window_s), repeats_for(chance)
    if factor is None or repeats is None:
        return "use a trace with writes in every second (--trace), or a longer baseline"
    needed = math.ceil(amplify * factor)
    if needed <= _AMPLIFY_MAX:
        return (
            f"replay at ≥ ×{needed} (muster run … --amplify {needed}), or repeat ≥ {repeats} times (--repeat {repeats})"
        )
    return f"repeat ≥ {repeats} times (--repeat {repeats}), or use a trace with ≥ {rate * factor:,.0f} writes a second"


def _probes(facts: Facts) -> Iterator[Gate]:
    for name, readings in facts.probes.items():
        if readings is None or bool(np.isnan(readings.value).all()):
            last = next((e for e in reversed(readings.error) if e), None) if readings else None
            text = f"probe {name} had no data in the whole run" + (f" ({last})" if last else "")
            yield _gate("probe-without-data", text, f"see `muster doctor`, and why {name} cannot read", timing=True)


def _cleanup(facts: Facts) -> Iterator[Gate]:
    for record in facts.line.faults.values():
        if record.orphaned is not None or record.open:
            hand = " && ".join(record.orphaned or ()) or f"muster undo {facts.plan.run_id or '--all'}"
            if facts.line.held and record.orphaned is None:
                text = f"fault {record.fault_id} is held, as its phase says: a person decides"
                yield _gate("fault-held", text, f"to undo it: {hand}", outcome="cleanup", result="aborted")
                continue
            text = f"fault {record.fault_id} is not undone"
            yield _gate("fault-left-behind", text, f"undo by hand: {hand}", outcome="cleanup", result="failed")
    said = facts.line.cleanup
    if said is None:
        if any(record.issued_ns is not None for record in facts.line.faults.values()):
            text = "the state after the run was not compared with the state before it"
            yield _gate(
                "cleanup-unknown", text, "run again; `muster undo --all` undoes what is open", outcome="cleanup"
            )
    elif not said.get("clean"):
        left = ", ".join(map(str, said.get("left") or ())) or "something"
        if facts.line.held and any(record.open for record in facts.line.faults.values()):
            return  # each held fault is told above; what it shows is not left behind, but left to a person
        yield _gate(
            "left-behind", f"left behind: {left}", "undo: muster undo --all", outcome="cleanup", result="failed"
        )
