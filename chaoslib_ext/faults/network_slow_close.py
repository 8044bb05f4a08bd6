"""network.slow-close: the end of a connection arrives late, so that each side holds what the other has let go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from chaoslib_ext.faults import talk
from chaoslib_ext.faults.base import fault
from chaoslib_ext.faults.talk import Timing
from chaoslib_ext.faults.toxics import ENOUGH, QUICK_S, TalkingToxic
from chaoslib_ext.world import World
from drills.plan import Target


@fault(
    "network.slow-close",
    summary="Deliver the end of a connection late; what is sent before it arrives as always.",
    proof="a connection that is closed here is closed by the far end as much later than just before",
    undo="remove the toxics of this fault; those of others stay",
    plane="network",
    sample="lingering: {network.slow-close: {link: gateway-engine, ms: 500}}",
)
class NetworkSlowClose(TalkingToxic):
    """Delay the end of connections."""

    toxic = "slow_close"
    silent_text: ClassVar[str] = "its far end did not close when it was told to"

    ms: int = Field(ge=20, le=2_000, description="Milliseconds by which the end of a connection is late, each way.")

    def attributes(self) -> dict[str, int]:
        """Milliseconds."""
        return {"delay": self.ms}

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: close 500 ms late each way on gateway-0>engine-0."""
        return f"close {self.ms} ms late {self.where(targets)}"

    def budget_s(self, before: Timing | None) -> float:
        """The delay of each way, and what the machine takes."""
        return QUICK_S + 2 * self.ms / 1000

    def seeable(self, before: Timing) -> bool:
        """A far end that closes when it is told to."""
        return before.ended_s is not None

    def talk_through(self, target: Target, world: World) -> Timing:
        """Close one side, and time until the other is closed."""
        return talk.close_through(world.link(target.name).listen, self.budget_s(None))

    def shown(self, before: Timing, after: Timing) -> str | None:
        """Closed later by most of what was ordered."""
        was, now, expected = before.ended_s, after.ended_s, self.ms * len(self.ways) / 1000
        if was is None or now is None or now - was < ENOUGH * expected:
            return None
        return f"the far end closes {now * 1000:.1f} ms after us, before {was * 1000:.1f} ms"
