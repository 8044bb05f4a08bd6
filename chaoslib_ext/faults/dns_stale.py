"""dns.stale: answers stay as they were, whatever is switched: a cache somewhere that does not let go."""

from __future__ import annotations

from collections.abc import Sequence

from chaoslib_ext.faults.base import Witness, fault
from chaoslib_ext.faults.dns import NameFault
from chaoslib_ext.resolver import Records
from chaoslib_ext.world import World
from drills.plan import Target


@fault(
    "dns.stale",
    summary="The resolver goes on with the answers and times to live of now, whatever is switched.",
    proof="a query over UDP is answered as before, and marked stale (RFC 8914)",
    undo="the resolver answers by its records again",
    plane="dns",
    sample="names-stay: {dns.stale: {name: api.exchange.test}}",
)
class DnsStale(NameFault):
    """Names that lead where they led."""

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: the resolver's answer to api.exchange.test stays as it is."""
        return f"the resolver's answer to {self.whom(targets)} stays as it is"

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Let them stay."""
        self.begin(targets, world, "stale")

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Ask for each name: the resolver says that its answer is stale, and its time to live is the former one."""
        records, texts = Records.of(world.describe), []
        for target in targets:
            reply, before = records.observe(target.name), self.reply_before(target.name)
            if reply is None or not reply.stale or (before is not None and reply.ttl != before.ttl):
                return None
            shown = ", ".join(sorted(reply.addresses))
            texts.append(f"{target.name} is answered {shown} for {reply.ttl} s more, and called stale")
        return Witness(tuple(texts[:4]))
