"""network.latency: a link delivers late, as a congested or rerouted network does."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from chaoslib_ext.faults.base import fault
from chaoslib_ext.faults.talk import Timing
from chaoslib_ext.faults.toxics import QUICK_S, SlowToxic
from drills.plan import Target


@fault(
    "network.latency",
    summary="Delay everything on a link, each way by itself.",
    proof="a round trip through the link takes longer by the delay than just before",
    undo="remove the toxics of this fault; those of others stay",
    plane="network",
    sample="slow-answers: {network.latency: {link: gateway-engine, ms: 50, jitter_ms: 5, toward: down}}",
)
class NetworkLatency(SlowToxic):
    """Delay links."""

    toxic = "latency"

    ms: int = Field(gt=0, le=60_000, description="Milliseconds added to each chosen direction.")
    jitter_ms: int = Field(default=0, ge=0, le=60_000, description="Spread around ms, in milliseconds.")

    def attributes(self) -> dict[str, int]:
        """Milliseconds, both."""
        return {"latency": self.ms, "jitter": self.jitter_ms}

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: 200 ms ± 20 each way on gateway-0>engine-0."""
        jitter = f" ± {self.jitter_ms}" if self.jitter_ms else ""
        return f"{self.ms} ms{jitter} {self.where(targets)}"

    def extra_s(self, size: int) -> float:
        """The delay, whatever the size."""
        return max(0, self.ms - self.jitter_ms) / 1000

    def budget_s(self, before: Timing | None) -> float:
        """A round trip at the longest delay, and what the far end takes."""
        return QUICK_S + 2 * (self.ms + self.jitter_ms) / 1000
