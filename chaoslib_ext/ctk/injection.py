"""One fault on its way: intent durable, applied, witnessed. Undoing is the guardian's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from chaoslib_ext import needs
from chaoslib_ext.ctk.context import Context, Shot
from chaoslib_ext.faults import Fault, Witness, build
from chaoslib_ext.supervisor.options import EFFECT_S
from chaoslib_ext.world import World
from drills.errors import MusterError
from drills.events import Kind
from drills.plan import Target

BRISK_S = 0.02
"""How long the effect is looked for before the ledger learns that the fault was applied: most show at once."""

STEP_S = 0.002
LATER_S = 0.02


@dataclass
class Injection:
    """A fault of this run that is prepared: its undo is in the ledger."""

    fault_id: str
    fault: Fault
    targets: Sequence[Target]
    world: World
    issued_ns: int = 0
    noted: bool = False
    effect_ns: int | None = None
    witness: Witness | None = None


def prepare(context: Context, fault_id: str, name: str, params: dict[str, object]) -> Injection:
    """Resolve the targets as they are now and have the guardian write the undo down.

    Raises Refused (no target), FaultError (nothing to prove, or no guardian): then nothing was touched.
    """
    fault = build(name, params)
    needs.check(context.world.describe, needs.of_use(name, params), f"{fault_id} ({name})")
    world = context.world.tagged(context.run_id, fault_id)
    targets = fault.targets(world)
    recipes = fault.plan_undo(targets, world)
    names = [target.name for target in targets]
    describe = fault.describe(targets)
    context.guardian.intent(
        fault_id,
        name,
        params=fault.model_dump(mode="json", exclude_none=True),
        targets=names,
        recipes=recipes,
        describe=describe,
        expires_s=fault.expires_s,
    )
    context.emit(
        Kind.FAULT_INTENT, fault_id=fault_id, fault=name, targets=names, undo=fault.undo_text, describe=describe
    )
    return Injection(fault_id, fault, targets, world)


def apply(context: Context, injections: Sequence[Injection]) -> None:
    """Apply prepared faults back to back: nothing else happens between them."""
    for one in injections:
        one.issued_ns = time.monotonic_ns()
        try:
            one.fault.apply(one.targets, one.world)
        finally:
            names = tuple(target.name for target in one.targets)
            context.shots[one.fault_id] = Shot(one.fault_id, names, one.issued_ns)
    for one in injections:
        context.emit(Kind.FAULT_APPLIED, fault_id=one.fault_id, issued_ns=one.issued_ns)


def witness(context: Context, injections: Sequence[Injection]) -> bool:
    """Look for the effect of each until all are witnessed or the deadline passes; tell the ledger and the supervisor.

    The ledger is told of the application first, but never before the effect had a moment to show: writing it durably
    takes longer than a kill, and T0+ should not wait for the disk.
    """
    last = max(one.issued_ns for one in injections)
    brisk, deadline = last + int(BRISK_S * 1e9), last + int(EFFECT_S * 1e9)
    left = list(injections)
    while left:
        left = [one for one in left if not _look(one)]
        now = time.monotonic_ns()
        if left and now >= brisk:
            _note(context, injections)
        if not left or now >= deadline:
            break
        context.pause(STEP_S if now < brisk else LATER_S)
    _note(context, injections)
    for one in injections:
        _tell(context, one)
    return not left


def _look(one: Injection) -> bool:
    seen = one.fault.in_effect(one.targets, one.world)
    if seen is not None:
        one.effect_ns, one.witness = seen.effect_ns, seen
    return seen is not None


def _note(context: Context, injections: Sequence[Injection]) -> None:
    for one in injections:
        if not one.noted:
            one.noted = True
            context.guardian.applied(one.fault_id, one.issued_ns)


def _tell(context: Context, one: Injection) -> None:
    if one.effect_ns is None or one.witness is None:
        reason = f"no effect within {EFFECT_S:g} s; expected that {one.fault.proof}"
        context.emit(Kind.FAULT_NOT_WITNESSED, fault_id=one.fault_id, reason=reason)
        return
    texts = list(one.witness.texts)
    context.guardian.in_effect(one.fault_id, one.effect_ns, texts)
    context.shots[one.fault_id] = replace(context.shots[one.fault_id], effect_ns=one.effect_ns)
    context.emit(
        Kind.FAULT_IN_EFFECT,
        fault_id=one.fault_id,
        issued_ns=one.issued_ns,
        effect_ns=one.effect_ns,
        witnesses=texts,
        describe=one.fault.describe(one.targets),
    )


def failed(context: Context, fault_id: str, error: MusterError) -> None:
    """Report a fault that could not be prepared or applied."""
    context.emit(Kind.FAULT_NOT_WITNESSED, fault_id=fault_id, reason=str(error))
