"""network.reset: connections of a link die by RST, as behind a firewall or balancer that has lost its table."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from chaoslib_ext.faults.base import fault
from chaoslib_ext.faults.talk import Timing
from chaoslib_ext.faults.toxics import ENOUGH, QUICK_S, TalkingToxic
from drills.plan import Target


@fault(
    "network.reset",
    summary="End every connection of a link some milliseconds after its next bytes: new ones by RST, open ones too.",
    proof="a new connection through it is reset as soon as it is used, as many milliseconds later as ordered",
    undo="remove the toxics of this fault; new connections then live",
    plane="network",
    sample="resets: {network.reset: {link: gateway-engine, ms: 20}}",
)
class NetworkReset(TalkingToxic):
    """Reset what passes links."""

    toxic = "reset_peer"

    ms: int = Field(default=0, ge=0, le=2_000, description="Milliseconds from the first bytes to the reset.")

    def attributes(self) -> dict[str, int]:
        """Milliseconds."""
        return {"timeout": self.ms}

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: reset what is said each way on gateway-0>engine-0, after 20 ms."""
        after = f", after {self.ms} ms" if self.ms else ""
        return f"reset what is said {self.where(targets)}{after}"

    def budget_s(self, before: Timing | None) -> float:
        """The ordered time, and what the machine takes."""
        return QUICK_S + self.ms / 1000

    def shown(self, before: Timing, after: Timing) -> str | None:
        """Reset, no sooner than ordered; nothing was answered."""
        if not after.reset or after.ended_s is None or after.answer_s is not None:
            return None
        if after.ended_s < ENOUGH * self.ms / 1000:
            return None
        return f"a connection was reset {after.ended_s * 1000:.1f} ms after a question"
