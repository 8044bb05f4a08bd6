"""dns.fail: names cannot be resolved. Whoever is connected stays so; whoever has to connect anew cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from chaoslib_ext.faults.base import Witness, fault
from chaoslib_ext.faults.dns import NameFault
from chaoslib_ext.resolver import SILENT_S, Records
from chaoslib_ext.world import World
from drills.plan import Target
from loadgen.dnsquery import QUERY_S

_SAID = {"servfail": "answers SERVFAIL to", "nxdomain": "denies that there is", "timeout": "stays silent to"}


@fault(
    "dns.fail",
    summary="The resolver fails: it answers SERVFAIL, denies the name, or says nothing.",
    proof="a query over UDP is answered so, or not at all while the resolver lives",
    undo="the resolver answers again",
    plane="dns",
    sample="names-fail: {dns.fail: {name: api.exchange.test, mode: servfail}}",
)
class DnsFail(NameFault):
    """Names that cannot be resolved."""

    mode: Literal["servfail", "nxdomain", "timeout"] = Field(default="servfail", description="How it fails.")

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: the resolver answers SERVFAIL to api.exchange.test."""
        return f"the resolver {_SAID[self.mode]} {self.whom(targets)}"

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Let it fail."""
        self.begin(targets, world, self.mode)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Ask for each name, the first of them where all fail: silence takes its time."""
        records, texts = Records.of(world.describe), []
        for target in targets[:1] if self.mode == "timeout" else targets:
            reply = records.observe(target.name, SILENT_S if self.mode == "timeout" else QUERY_S)
            if reply is None and self.mode == "timeout":
                texts.append(f"no answer within {SILENT_S * 1000:.0f} ms for {target.name}, and the port is open")
            elif reply is not None and reply.rcode == self.mode.upper():
                texts.append(f"{target.name} is answered {reply.rcode}")
            else:
                return None
        return Witness(tuple(texts[:4]))
