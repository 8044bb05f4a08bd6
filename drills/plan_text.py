"""A plan for people: targets, order, and the undo of each fault."""

from __future__ import annotations

from collections.abc import Iterator

from drills.model import (
    Baseline,
    Decide,
    Detect,
    Failback,
    Guard,
    Inject,
    InvariantGuard,
    InvariantObjective,
    Load,
    LongestGuard,
    MttdObjective,
    MttrObjective,
    Objective,
    Phase,
    Recover,
    Restore,
    RpoObjective,
    RtoObjective,
    SloObjective,
    Step,
    Verify,
)
from drills.plan import Plan, PlannedFault, PlannedTrace, Target
from drills.registry import FLAGS
from drills.units import format_duration, format_percent


def plan_text(plan: Plan) -> str:
    """The plan as `muster plan` prints it."""
    lines = [f"{plan.name} on {plan.environment.name} · plan {plan.hash[:8]}", plan.title, ""]
    lines += _block("load", [load_text(plan.load, plan.trace), *transform_texts(plan.load)])
    lines += _block("objectives", [objective_text(objective) for objective in plan.objectives])
    lines += _block("guards", [guard_text(guard) for guard in plan.guards])
    lines += ["", "faults"]
    for fault in plan.faults:
        lines += _fault(fault, resolved=plan.environment.resolved)
    lines += ["", *_phases(plan)]
    last = ", ".join(fault.id for fault in reversed(plan.faults))
    lines += ["", f"undo        whatever still holds at the end or at an abort, last first: {last}"]
    if not plan.environment.resolved:
        needed = {need for fault in plan.faults for need in fault.needs}
        up = " ".join(["muster sandbox up", *(flag for need, flag in FLAGS.items() if need in needed)])
        lines.append(f"no sandbox is up, so no target was looked up; `{up}` first to see them")
    lines.append("nothing was touched")
    return "\n".join(lines)


def target_text(target: Target) -> str:
    """A target with what is known of it: engine-0 (primary, tyo-a)."""
    zone = target.zone if target.zone and "-" in target.zone else "-".join(filter(None, (target.region, target.zone)))
    known = [text for text in (target.role, zone) if text]
    return target.name + (f" ({', '.join(known)})" if known else "")


def load_text(load: Load, trace: PlannedTrace | None) -> str:
    """The load in one line."""
    text = load.trace
    if trace is not None:
        rate = trace.rate * load.speed * load.amplify
        made = "transformed" if load.transform else "recorded"
        text += f" ({trace.seconds:,.0f} s {made}, {rate:,.0f} op/s sent)"
    return ", ".join([text, *_how(load), f"clients {load.outage} in an outage"])


def _how(load: Load) -> Iterator[str]:
    if load.speed != 1:
        yield f"{load.speed:g} × speed"
    if load.sessions is not None:
        yield f"folded onto {load.sessions:,} session" + ("s" if load.sessions > 1 else "")
    if load.amplify != 1:
        yield f"{load.amplify} × sessions"
    if load.jitter and load.amplify != 1:
        yield f"jitter {format_duration(load.jitter)}"
    if load.seed != 1:
        yield f"seed {load.seed}"
    if load.workers != 1:
        yield f"by {load.workers} workers"
    if load.dial == "name":
        yield "dialled by name over TLS"


def transform_texts(load: Load) -> list[str]:
    """One line for each step that is done to the trace, such as: first slice (from 5s, to 20s)."""
    steps = [_step(name, params) for step in load.transform for name, params in step.items()]
    return [f"{'then' if number else 'first'} {step}" for number, step in enumerate(steps)]


def _step(name: str, params: object) -> str:
    if isinstance(params, dict) and "shape" in params:
        return f"{params['shape']} {name} ({_words({key: item for key, item in params.items() if key != 'shape'})})"
    return f"{name} ({_words(params)})"


def _words(value: object) -> str:
    """What a step holds, as it is written, without brackets where they say nothing."""
    match value:
        case dict():
            return ", ".join(f"{key} {_inner(item)}" for key, item in value.items())
        case list() | tuple():
            return "; ".join(_words(item) for item in value)
        case bool():
            return "true" if value else "false"
        case _:
            return str(value)


def _inner(value: object) -> str:
    return f"({_words(value)})" if isinstance(value, dict) and len(value) != 1 else _words(value)


def objective_text(objective: Objective) -> str:
    """An objective in one line."""
    match objective:
        case RtoObjective():
            said = f"{objective.flow} good again within {format_duration(objective.rto)}"
        case RpoObjective():
            limits = ", ".join(
                f"{name.replace('_', ' ')} {'≤ ' if limit else ''}{limit}"
                for name, limit in objective.rpo.limits.items()
            )
            said = f"{limits}; a loss of {format_duration(objective.rpo.window)} would show"
        case InvariantObjective():
            said = f"{objective.invariant} holds"
        case SloObjective():
            spend = f", spending at most {format_percent(objective.spend)} of its budget" if objective.spend else ""
            said = f"{objective.slo} holds{spend}"
        case MttdObjective():
            source = objective.alert or objective.probe or "any alert"
            said = f"{source} within {format_duration(objective.mttd)}"
        case MttrObjective():
            said = f"repaired within {format_duration(objective.mttr)} of the alert"
    return f"{objective.id:<11} {said}"


def guard_text(guard: Guard) -> str:
    """A guard in one line."""
    match guard:
        case LongestGuard():
            return f"stops after {format_duration(guard.longest)}"
        case InvariantGuard():
            return f"stops when {guard.invariant} breaks"
        case _:
            outside = f" outside {guard.except_}" if guard.except_ else ""
            return f"stops when {guard.slo}{outside} burns its budget {guard.burn:g} × too fast"


def phase_text(phase: Phase) -> str:
    """A phase in one line, without its kind."""
    match phase.params:
        case Baseline(for_=seconds) | Verify(for_=seconds):
            return format_duration(seconds)
        case Inject() as inject:
            return " and ".join(inject.ids) + (" at once" if len(inject.ids) > 1 else "")
        case Detect() as detect:
            return f"{detect.probe or detect.alert} within {format_duration(detect.within)}"
        case Decide() as decide:
            return f"{decide.ask} ({decide.by}, within {format_duration(decide.within)})"
        case Recover() as recover:
            what = f"SOP {recover.sop}" if recover.sop else f"until {recover.until}"
            return f"{what}, within {format_duration(recover.within)}"
        case Restore() as restore:
            undone = "undo all that still holds" if restore.undo == "all" else f"undo {', '.join(restore.undo)}"
            within = format_duration(restore.within)
            return undone + (f", then until {restore.until} within {within}" if restore.until != "none" else "")
        case Failback() as failback:
            return f"SOP {failback.sop}"


def step_text(step: Step) -> str:
    """A step of an SOP in one line, without its id."""
    done = [f"{name} {' '.join(str(value) for value in params.values())}" for name, params in (step.do or {}).items()]
    what = done[0] if done else f"{step.by or 'a person'}: {step.human}"
    beyond = "; no way back after it" if step.point_of_no_return else ""
    return f"{what}, expected within {format_duration(step.expect)}{beyond}"


def _block(name: str, items: list[str]) -> Iterator[str]:
    for index, item in enumerate(items):
        yield f"{name if index == 0 else '':<12}{item}"


def _fault(fault: PlannedFault, *, resolved: bool) -> list[str]:
    targets = ", ".join(target_text(target) for target in fault.targets) if resolved else "not looked up"
    needs = [f"    needs   a sandbox with {', '.join(fault.needs)}"] if fault.needs else []
    return [
        f"  {fault.id}  {fault.fault}",
        f"    target  {targets}",
        f"    does    {fault.describe}",
        f"    undo    {fault.undo_text}",
        *needs,
    ]


def _phases(plan: Plan) -> Iterator[str]:
    if not plan.phases:
        yield "phases      the method of the experiment, by the Chaos Toolkit"
        return
    yield "phases"
    for number, phase in enumerate(plan.phases, 1):
        text = f"{number:>3} {phase.kind:<9} {phase_text(phase)}"
        yield text + (f"  (abort: {phase.abort})" if phase.abort else "")
        named = phase.recover or phase.failback
        sop = plan.sops.get(str(named.sop)) if named else None
        for step in sop.steps if sop else ():
            yield f"      {step.id:<10} {step_text(step)}"
