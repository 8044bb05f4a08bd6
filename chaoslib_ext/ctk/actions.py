"""Actions as Chaos Toolkit activities: inject, undo, wait. They work under `muster run` and under plain `chaos run`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from chaoslib_ext import needs, sops
from chaoslib_ext.ctk import injection, watching
from chaoslib_ext.ctk.context import Context, current
from chaoslib_ext.ctk.injection import Injection
from chaoslib_ext.ctk.standalone import context_or_new, guarded
from drills import registry
from drills.clock import NS
from drills.errors import FaultError, MusterError, UndoIncomplete, UsageError
from drills.events import Kind


def inject(fault: str, target: Mapping[str, Any] | None = None, fault_id: str | None = None, **params: Any) -> Any:  # noqa: ANN401
    """Inject one fault on `target` and return its witnesses once it is in effect.

    `fault_id` defaults to the name of the activity (known under `muster run`), else to the fault and a number. Under
    plain `chaos run` it starts the guardian itself; the fault is undone after its `duration`, or when the process ends.
    Raises FaultError where the effect is not witnessed within 5 s.
    """
    context = guarded()
    name = fault_id or _free(context, fault)
    try:
        one = injection.prepare(context, name, fault, {**params, **(target or {})})
        injection.apply(context, [one])
    except MusterError as error:
        injection.failed(context, name, error)
        raise
    if not injection.witness(context, [one]) or one.witness is None:
        raise FaultError(f"{name}: its effect was not witnessed")
    return list(one.witness.texts)


def _free(context: Context, fault: str) -> str:
    if context.activity is not None and context.activity not in context.shots:
        return context.activity
    return f"{fault.replace('.', '-')}-{len(context.shots)}"


def prepare(fault_id: str) -> str:
    """Write down the undo of a fault of the plan; nothing is touched yet. Returns what it would do."""
    context = _run("prepare")
    planned = context.plan.fault(fault_id) if context.plan else None
    if planned is None:
        raise UsageError(f"no fault {fault_id!r} in the plan")
    one = injection.prepare(context, fault_id, planned.fault, dict(planned.params))
    context.pending[fault_id] = one
    moved = {target.name for target in one.targets} ^ {target.name for target in planned.targets}
    if moved:
        names = ", ".join(target.name for target in one.targets)
        context.emit(Kind.NOTE, text=f"{fault_id}: its target has moved since the plan; it is {names} now")
    return one.fault.describe(one.targets)


def apply(fault_ids: Sequence[str]) -> list[int]:
    """Apply prepared faults back to back; the instants of their commands (T0-), CLOCK_MONOTONIC nanoseconds."""
    context = _run("apply")
    ones = _prepared(context, fault_ids)
    injection.apply(context, ones)
    return [one.issued_ns for one in ones]


def witness(fault_ids: Sequence[str]) -> list[str]:
    """Wait until the effect of each is witnessed; the evidence. Raises FaultError after 5 s without it."""
    context = _run("witness")
    ones = _prepared(context, fault_ids)
    if not injection.witness(context, ones):
        raise FaultError("not witnessed: " + ", ".join(one.fault_id for one in ones if one.witness is None))
    return [text for one in ones if one.witness for text in one.witness.texts]


def _prepared(context: Context, fault_ids: Sequence[str]) -> list[Injection]:
    return [context.pending[fault_id] for fault_id in fault_ids]


def undo(fault_id: str | Sequence[str] = "all") -> list[str]:
    """Undo one fault, several, or all that are open; the ids that were undone. Raises UndoIncomplete."""
    context = context_or_new()
    ids = fault_id if fault_id == "all" or not isinstance(fault_id, str) else [fault_id]
    done = context.undo(ids, by="the drill")
    left = [one for one in done if one["state"] != "VERIFIED"]
    if left:
        hands = [command for one in left for command in one["by_hand"]]
        raise UndoIncomplete([str(one["fault_id"]) for one in left], hands)
    return [str(one["fault_id"]) for one in done]


def act(action: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Do one action of an SOP; returns {"seconds", "text"}: how long it took and what was seen. Raises FaultError."""
    context = context_or_new()
    built = sops.build(action, params or {})
    needs.check(context.world.describe, registry.actions[action].needs, action)
    began = time.monotonic_ns()
    text = built.do(context.world)
    return {"seconds": (time.monotonic_ns() - began) / NS, "text": text}


def wait(
    seconds: float | None = None, until: str | None = None, within: float = 60.0, afresh: bool = False
) -> dict[str, Any]:
    """Wait for a time, or until there is a `leader`, `sustained` good service, or full `redundancy`.

    `afresh`: what was good before now does not count, and the time begins now and not with the last fault.
    Returns {"seconds", "text"}: how long it took and what was seen.
    Raises FaultError where the condition does not hold within `within` seconds.
    """
    context = context_or_new()
    began = time.monotonic_ns()
    if until is None:
        context.pause(seconds or 0.0)
        return {"seconds": (time.monotonic_ns() - began) / NS, "text": None}
    waits: dict[str, Callable[[Context, int], str | None]]
    waits = {"leader": _leader, "sustained": partial(_sustained, since_ns=began if afresh else None)}
    waits["redundancy"] = _redundancy
    if until not in waits:
        raise UsageError(f"wait until {until!r} is unknown; write {', '.join(waits)}")
    shot = context.last_shot
    start = shot.issued_ns if shot and until != "redundancy" and not afresh else began
    text = waits[until](context, start + int(within * NS))
    if text is None:
        raise FaultError(f"no {until} within {within:g} s")
    return {"seconds": (time.monotonic_ns() - began) / NS, "text": text}


def _leader(context: Context, deadline_ns: int) -> str | None:
    if context.samples is None:
        return _ask_leader(context, deadline_ns)
    if not context.until(lambda: watching.new_leader(context) is not None, deadline_ns):
        return None
    seen = watching.new_leader(context)
    return f"{seen.target} leads with epoch {seen.value:.0f}" if seen and seen.value is not None else None


def _ask_leader(context: Context, deadline_ns: int) -> str | None:
    if not context.until(lambda: context.world.leader() is not None, deadline_ns, every_s=0.2):
        return None
    leader = context.world.leader()
    return f"{leader[0]} leads with epoch {leader[1]}" if leader else None


def _sustained(context: Context, deadline_ns: int, since_ns: int | None = None) -> str | None:
    live, plan = context.live, context.plan
    if live is None or plan is None:
        raise UsageError("wait until sustained needs the load of `muster run`")
    shot = context.last_shot
    t0 = since_ns or (shot.issued_ns if shot else time.monotonic_ns())
    span = int(plan.sustain_s * NS)
    told = since_ns is not None

    def good() -> bool:
        nonlocal told
        line = live.refresh()
        flows = watching.critical(plan, live)
        first = watching.first_good_s(live, flows[0], t0) if not told and flows else None
        if first is not None:
            told = True
            context.emit(Kind.NOTE, phase="recover", text=f"first good {flows[0]} after {first:.1f} s")
        start = line.t_ns - span if line else 0
        return line is not None and start > t0 and live.good(flows, start, plan.theta)

    # the window itself comes after the deadline of recovery at the latest
    return f"good for {plan.sustain_s:g} s" if context.until(good, deadline_ns + span, every_s=0.1) else None


def _redundancy(context: Context, deadline_ns: int) -> str | None:
    began = time.monotonic_ns()
    if context.samples is None:
        raise UsageError("wait until redundancy needs the sampler of `muster run`")
    samples = context.samples
    before = [s.value for s in samples.of("engine-redundancy") if s.t_ns < context.first_ns and s.value is not None]
    full = max(before, default=0.0)

    def back() -> bool:
        last = samples.of("engine-redundancy")[-1:]
        return bool(last) and last[0].t_ns > began and last[0].value is not None and last[0].value >= full > 0

    return f"{full:.0f} engines ready again" if context.until(back, deadline_ns, every_s=0.1) else None


def _run(what: str) -> Context:
    context = current()
    if context is None:
        raise UsageError(f"{what} is an action of `muster run`")
    return context
