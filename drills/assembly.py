"""From the facts of a run to its verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from drills.clock import NS
from drills.conclusive import Gate, gates
from drills.facts import Facts, critical_flows
from drills.findings import find_weaknesses
from drills.objectives import judge_objectives
from drills.rpo import CLASSES
from drills.rto import OFFERED, Recovery, availability, downtime, flaps
from drills.sentences import fault_phrase, make_sentences
from drills.verdict import (
    Cause,
    FlowResult,
    LoadResult,
    ObjectiveResult,
    Outcomes,
    RpoResult,
    Rto,
    RunFacts,
    Verdict,
    Word,
    exit_code,
    worst_word,
)

INTERRUPTS = ("ctrl-c", "interrupt", "interrupted", "sigint", "keyboard")
"""Who stopped the run, in words that mean a person at the terminal: exit code 130."""


def assemble(facts: Facts, versions: Mapping[str, str]) -> Verdict:
    """The verdict of a run: objectives, causes, three outcomes, the worst word of all, sentences and findings."""
    found = gates(facts)
    objectives = judge_objectives(facts, found)
    causes = [gate.cause for gate in found]
    outcomes = Outcomes(
        system=worst_word([*(o.result for o in objectives), *_results(causes, "system")]),
        injection=worst_word(_results(causes, "injection")),
        cleanup=worst_word(_results(causes, "cleanup")),
    )
    word = worst_word([outcomes.system, outcomes.injection, outcomes.cleanup, *_results(causes, "run")])
    rto, rpo = make_rto(facts), _rpo(facts)
    load = _load(facts, found)
    stopped = (facts.line.stop or (0, "", ""))[1].lower()
    left = outcomes.cleanup == "failed" or any(cause.code == "fault-held" for cause in causes)
    return Verdict(
        verdict=word,
        exit_code=int(exit_code(word, undo_incomplete=left, interrupted=stopped in INTERRUPTS)),
        sentences=make_sentences(facts, word, rto, rpo, objectives, found),
        reasons=tuple(_reasons(causes, objectives)),
        causes=tuple(causes),
        outcomes=outcomes,
        objectives=tuple(objectives),
        rto=rto,
        rpo=rpo,
        marks=dict(facts.marks.at),
        mark_sources=_sources(facts),
        durations=_durations(facts),
        findings=tuple(find_weaknesses(facts, objectives)),
        load=load,
        versions=dict(versions),
        run=_run(facts),
        absent=_absent(facts, rto, rpo, load),
    )


def _results(causes: Sequence[Cause], outcome: str) -> list[Word]:
    return [cause.result for cause in causes if cause.outcome == outcome]


def _reasons(causes: Sequence[Cause], objectives: Sequence[ObjectiveResult]) -> list[str]:
    lines = [f"{cause.result}: {cause.line()}" for cause in causes]
    told = " ".join(lines)
    for o in objectives:
        if o.result != "passed" and (o.reason is None or o.reason not in told):
            lines.append(
                f"{o.result}: {o.name}: {o.shown}, limit {o.limit_shown}" + (f"; {o.reason}" if o.reason else "")
            )
    return lines


def _after(facts: Facts, instant: int | None) -> float | None:
    return None if instant is None or facts.window is None else (instant - facts.window[0]) / NS


def make_rto(facts: Facts) -> Rto:
    """Recovery of all critical flows together, and of every flow of the traffic."""
    overall, history = facts.overall, facts.history
    value = _after(facts, overall.t5_ns) if overall else None
    critical = critical_flows(facts.plan)
    cancels: float | None = None
    falls: int | None = None
    if history is not None and facts.is_good is not None and facts.window is not None:
        span = (facts.window[0], (history.end_ns or facts.window[0]) + 1)
        cancels = availability(history, "cancel", facts.is_good, span)
        t4 = overall.t4_ns if overall else None
        falls = flaps(history, critical or history.kinds, facts.is_good, t4, facts.rules.theta)
    return Rto(
        value_s=value,
        error_s=facts.error_s(overall),
        first_good_s=_after(facts, overall.t4_ns) if overall else None,
        sustained_s=value,
        observed_s=facts.observed_s,
        sustain_s=facts.rules.sustain_s,
        theta=facts.rules.theta,
        critical_flows=critical,
        flows={flow: _flow(facts, flow, found) for flow, found in facts.flows.items()},
        flaps=falls,
        cancel_availability=cancels,
    )


def _flow(facts: Facts, flow: str, found: Recovery) -> FlowResult:
    assert facts.history is not None
    assert facts.is_good is not None
    assert facts.window is not None
    t0 = facts.window[0]
    down = downtime(facts.history, flow, facts.is_good, t0)
    until = found.t5_ns if found.t5_ns is not None else (facts.history.end_ns or t0) + 1
    return FlowResult(
        value_s=_after(facts, found.t5_ns),
        error_s=facts.error_s(found),
        first_good_s=_after(facts, found.t4_ns),
        downtime_s=down.seconds if down else None,
        no_data_s=down.no_data_s if down else None,
        good_share=down.good_share if down else None,
        availability_in_outage=availability(facts.history, flow, facts.is_good, (t0, until)),
    )


def _rpo(facts: Facts) -> RpoResult:
    rpo = facts.rpo
    counts: dict[str, int | None] = dict(rpo.counts) if rpo else dict.fromkeys(CLASSES)
    exact = rpo.lost_notional if rpo else None
    examples = {name: check.op_ids for name, check in facts.checks.items() if check.op_ids and name in CLASSES}
    return RpoResult(
        **counts,
        foreign=rpo.foreign if rpo else None,
        lost_notional=float(exact) if exact is not None else None,
        lost_window_s=rpo.lost_window_s if rpo else None,
        bound_s=rpo.bound_s if rpo else None,
        power=rpo.power if rpo else None,
        lost_notional_exact=str(exact) if exact is not None else None,
        window_s=rpo.window_s if rpo else None,
        rate=rpo.rate if rpo else None,
        acknowledged=int(facts.history.ok.sum()) if facts.history is not None else None,
        examples=examples,
    )


def _load(facts: Facts, found: Sequence[Gate]) -> LoadResult:
    load = facts.load
    if load is None:
        return LoadResult(scheduled=None, offered=None, answered=None, lag_p99_ms=None, valid=None)
    problem = next((gate.cause.text for gate in found if gate.cause.code.startswith("load-")), None)
    valid = None if load.scheduled == 0 else problem is None and (load.share is None or load.share >= OFFERED)
    return LoadResult(
        scheduled=load.scheduled, offered=load.sent, answered=load.answered, rate=load.rate,
        lag_p99_ms=load.lag_p99_ms, valid=valid, reason=problem,
    )  # fmt: skip


def _sources(facts: Facts) -> dict[str, str]:
    sources = {"T1": facts.marks.T1_source} if facts.marks.T1_source else {}
    lead = facts.marks.lead
    if lead is not None:
        who = f"{lead.instance} leads with epoch {lead.epoch}" if lead.instance else f"epoch {lead.epoch} answers"
        sources |= {"T2": f"new lease seen: {who}", "T3": f"new lease seen: {who}"}
    return {k: v for k, v in sources.items() if v}


def _durations(facts: Facts) -> dict[str, float | None]:
    """detect, decide, act, recover in seconds; a step that came before the one it follows took 0."""
    at = facts.marks.get

    def between(start: str, end: str) -> float | None:
        a, b = at(start), at(end)
        return max(0.0, b - a) if a is not None and b is not None else None

    t5 = at("T5")
    known = [t for t in (at("T1"), at("T3")) if t is not None]
    recover = max(0.0, t5 - max(known)) if t5 is not None and known else None
    return {
        "detect_s": at("T1"),
        "decide_s": between("T1", "T2"),
        "act_s": between("T2", "T3"),
        "recover_s": recover,
        "mttr_s": between("T1", "T5"),
    }


def _run(facts: Facts) -> RunFacts:
    plan, line = facts.plan, facts.line
    wall = None
    if line.wall_at is not None and facts.window is not None:
        wall = _shift(line.wall_at[1], (facts.window[0] - line.wall_at[0]) / NS)
    length = (line.ended_ns - line.started_ns) / NS if line.ended_ns and line.started_ns else None
    return RunFacts(
        id=plan.run_id or "", name=plan.name, kind=plan.kind, title=plan.title, owner=plan.owner,
        environment=plan.environment.name, plan_hash=plan.hash, started=line.started_wall, t0_wall=wall,
        t0_ns=facts.window[0] if facts.window else None, seconds=length,
        trace=plan.trace.name if plan.trace else plan.load.trace, speed=plan.load.speed, amplify=plan.load.amplify,
        outage=plan.load.outage, fault=fault_phrase(plan) if facts.window else "",
    )  # fmt: skip


def _shift(wall: str, seconds: float) -> str:
    moved = datetime.fromisoformat(wall) + timedelta(seconds=seconds)
    return moved.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _absent(facts: Facts, rto: Rto, rpo: RpoResult, load: LoadResult) -> dict[str, str]:
    """Why each null is null, by path."""
    why = {f"marks.{name}": text for name, text in facts.marks.reasons.items() if facts.marks.at[name] is None}
    no_fault = "no fault was injected"
    never = (facts.overall.reason if facts.overall else None) or (no_fault if facts.window is None else "no witness")
    for name in ("value_s", "error_s", "first_good_s", "sustained_s", "flaps", "cancel_availability", "observed_s"):
        if getattr(rto, name) is None:
            special = {"cancel_availability": "the traffic holds no cancel"} if facts.flows else {}
            why[f"rto.{name}"] = no_fault if facts.window is None else special.get(name, never)
    for flow, result in rto.flows.items():
        reason = facts.flows[flow].reason or never
        why |= {f"rto.flows.{flow}.{k}": reason for k, v in result.model_dump().items() if v is None}
    reasons = facts.rpo.reasons if facts.rpo else {}
    missing = next(iter(facts.damaged.values()), "there is no witness or no audit")
    for name, value in rpo.model_dump(exclude={"examples"}).items():
        if value is None:
            source = {"lost_notional_exact": "lost_notional", "window_s": "power", "rate": "bound_s"}.get(name, name)
            why[f"rpo.{name}"] = reasons.get(source, missing)
    for name in ("scheduled", "offered", "answered", "rate", "lag_p99_ms", "valid"):
        if getattr(load, name) is None:
            why[f"load.{name}"] = (
                "there is no witness of the traffic" if facts.load is None else "nothing was scheduled"
            )
    return why
