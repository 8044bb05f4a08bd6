"""Injecting a fault as the runner does it: recipes on disk, then the act, then the evidence."""

from __future__ import annotations

from chaoslib_ext.faults.base import Fault, Witness
from chaoslib_ext.world import World
from drills.ledger import Ledger
from tests.standins import until


def inject(fault: Fault, world: World, ledger: Ledger) -> Witness:
    """Inject a fault as f1 of the ledger; it must not have been in effect before, and be in effect afterwards."""
    targets = fault.targets(world)
    recipes = fault.plan_undo(targets, world)
    ledger.write("intent", fault_id="f1", fault=fault.name, describe=fault.describe(targets), recipes=recipes)
    assert fault.in_effect(targets, world) is None
    fault.apply(targets, world)
    witness = until(lambda: fault.in_effect(targets, world))
    assert isinstance(witness, Witness)
    return witness
