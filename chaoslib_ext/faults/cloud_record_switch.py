"""cloud.record-switch: a name's weighted sets change weights, as in a failover that nobody asked for, or too early."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, model_validator

from chaoslib_ext import dnsask
from chaoslib_ext.cloud import Saved
from chaoslib_ext.faults.base import Recipe, Witness, fault
from chaoslib_ext.faults.cloud import CloudFault, answered, names_target, nothing, resolver
from chaoslib_ext.world import World
from drills import registry
from drills.errors import FaultError
from drills.plan import Target

FULL = 100


@fault(
    "cloud.record-switch",
    summary="Point a weighted name elsewhere: to one of its sets, or by other weights.",
    proof="the resolver answers the name with addresses of the chosen sets only",
    undo="give every set the weight that it had",
    plane="cloud",
    sample="to-sgp: {cloud.record-switch: {record: api.exchange.test, to: sgp}}",
    needs={"aws", "sgp"},
)
class RecordSwitch(CloudFault):
    """Switch a record."""

    record: str = Field(description="Name of the record.")
    to: str | None = Field(default=None, description="The one set that answers from now on.")
    weights: dict[str, int] | None = Field(default=None, description="A weight for each set that is to change.")

    @model_validator(mode="after")
    def _one_way(self) -> RecordSwitch:
        if (self.to is None) == (self.weights is None):
            raise ValueError("give either to or weights")
        return self

    def targets(self, world: World) -> list[Target]:
        """The record. Raises Refused `target-matches-nothing` for a name, or a set of it, that is not there."""
        saved = self.cloud(world).record(self.record)
        named = sorted(set(self.weights or [str(self.to)]) - set(saved["sets"]))
        if not saved["sets"]:
            raise nothing(f"record {self.record!r}", "the hosted zone has no such address record")
        if named:
            raise nothing(f"set {named[0]!r} of {self.record}", registry.did_you_mean(named[0], saved["sets"]))
        return [names_target("record", self.record, None, world)]

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: point api.exchange.test to sgp."""
        if self.to is not None:
            return f"point {self.record} to {self.to}"
        shares = ", ".join(f"{name} {weight}" for name, weight in sorted((self.weights or {}).items()))
        return f"weigh {self.record} by {shares}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Every set as it is now. Raises FaultError where the switch would change no answer."""
        saved = self.cloud(world).record(self.record)
        if any(one["weight"] is None for one in saved["sets"].values()):
            raise FaultError(f"{self.name}: {self.record} is not weighted; nothing was touched")
        address = resolver(self, world)
        before, wanted = dnsask.answers(address, self.record), self._answers(saved)
        if not before or before == wanted:
            said = f"{self.record} answers {', '.join(sorted(before)) or 'nothing'}, and would go on so"
            raise FaultError(f"{self.name}: {said}; nothing was touched")
        self.remember(self.record, (saved, wanted, before))
        seen_by = {"dns": address, "answers": sorted(before)}
        return [self.recipe("cloud.restore_record", world, **saved, **seen_by)]

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Write the new weights."""
        saved, *_ = self.before(self.record)
        self.cloud(world).switch(saved, self._weights(saved))

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Ask the resolver."""
        _, wanted, before = self.before(self.record)
        address = resolver(self, world)
        # where nobody leaves the answers, somebody must have joined them
        if before <= wanted and dnsask.answers(address, self.record) <= before:
            return None
        return answered(address, self.record, wanted)

    def _weights(self, saved: Saved) -> dict[str, int]:
        now = {name: int(one["weight"] or 0) for name, one in saved["sets"].items()}
        if self.to is None:
            return now | (self.weights or {})
        return {name: FULL if name == self.to else 0 for name in now}

    def _answers(self, saved: Saved) -> set[str]:
        weights = self._weights(saved)
        return {value for name, one in saved["sets"].items() if weights[name] for value in one["values"]}
