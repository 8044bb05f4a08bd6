"""What the faults on a resolver share: which name they hit, what it was answered before, and their trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from chaoslib_ext import planes
from chaoslib_ext.faults.base import Fault, Recipe
from chaoslib_ext.resolver import Records
from drills.errors import ComponentError, FaultError, Refused
from drills.plan import Target
from drills.registry import did_you_mean
from loadgen.dnsmessage import Reply

if TYPE_CHECKING:
    from chaoslib_ext.world import World


class NameFault(Fault):
    """Base of faults on the answers of a resolver: for one name, or for all of its zone."""

    name_: str | None = Field(default=None, alias="name", description="One name; without it every name of the zone.")

    def targets(self, world: World) -> list[Target]:
        """The record of that name, or all. Raises Refused `target-matches-nothing`."""
        records = Records.of(world.describe)
        known = records.all()
        if self.name_ is not None and self.name_ not in known:
            hint = did_you_mean(self.name_, known)
            raise Refused("target-matches-nothing", f"name {self.name_!r} matches nothing; {hint}; nothing was touched")
        chosen = known if self.name_ is None else [self.name_]
        return [Target(kind="record", name=name, service="resolver") for name in sorted(chosen)]

    def whom(self, targets: Sequence[Target]) -> str:
        """The names for a sentence."""
        return "every name" if self.name_ is None else ", ".join(target.name for target in targets)

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """End what goes wrong; observes what a name is answered now. Raises FaultError where that is no address."""
        records = Records.of(world.describe)
        for target in targets:
            reply = records.observe(target.name)
            if reply is None or reply.rcode != "NOERROR" or not reply.addresses or reply.stale:
                said = "nothing" if reply is None else "stale" if reply.stale else reply.rcode
                raise FaultError(f"{self.name}: {target.name} is answered {said} already; nothing was touched")
            self.remember(target.name, reply)
        return [{"verb": "dns.end_fault", "args": {"admin": records.admin, "key": world.tag}}]

    def begin(self, targets: Sequence[Target], world: World, mode: str) -> None:
        """Let it go wrong, once an undo is planned."""
        for target in targets:
            self.before(target.name)
        Records.of(world.describe).begin(world.tag, mode, self.name_)

    def reply_before(self, name: str) -> Reply | None:
        """What a name was answered when the undo was planned."""
        found = self.known(name)
        return found if isinstance(found, Reply) else None


def _snapshot(world: World) -> Mapping[str, str]:
    if not world.describe.get("dns"):
        return {}
    try:
        faults = Records.of(world.describe).faults()
    except ComponentError as error:
        return {"resolver": str(error)}
    return {f"fault {key}": f"{one['mode']} of {one['name'] or 'every name'}" for key, one in faults.items()}


planes.SNAPSHOTS["dns"] = _snapshot
