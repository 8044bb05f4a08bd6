"""network.bandwidth: a link carries little, as a saturated or throttled line does."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from chaoslib_ext.faults.base import fault
from chaoslib_ext.faults.toxics import SizedToxic
from drills.plan import Target

BITS = 8
"""Toxiproxy counts in kilobytes a second."""


@fault(
    "network.bandwidth",
    summary="Limit how much a link carries, each way by itself.",
    proof="a talk of known size takes as much longer than just before as the limit makes it",
    undo="remove the toxics of this fault; those of others stay",
    plane="network",
    sample="thin-line: {network.bandwidth: {link: gateway-engine, kbps: 800}}",
)
class NetworkBandwidth(SizedToxic):
    """Limit links."""

    toxic = "bandwidth"

    kbps: int = Field(
        ge=BITS, le=4_000, multiple_of=BITS, description="Kilobits a second; a multiple of 8, up to what can be seen."
    )

    def attributes(self) -> dict[str, int]:
        """Kilobytes a second."""
        return {"rate": self.kbps // BITS}

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: at most 800 kbit/s each way on gateway-0>engine-0."""
        return f"at most {self.kbps} kbit/s {self.where(targets)}"

    def times(self) -> int:
        """Enough to take a tenth of a second downstream, where an answer has some six bytes."""
        return min(2_000, max(1, self.kbps * 2))

    def extra_s(self, size: int) -> float:
        """Bits over bits a second."""
        return size * BITS / (self.kbps * 1000)
