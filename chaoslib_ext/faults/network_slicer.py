"""network.slicer: what is sent at once arrives in small pieces, with a pause after each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import Field

from chaoslib_ext.faults.base import fault
from chaoslib_ext.faults.toxics import SizedToxic
from drills.plan import Target
from drills.units import Duration, format_duration

SHOWS_S = 0.05
"""Pauses that a talk is to have upstream, so that they cannot be taken for chance."""

SMALLEST, MOST = 6, 2_000
"""Bytes of the shortest question, and how many are asked at once at most."""


@fault(
    "network.slicer",
    summary="Cut what passes a link into small pieces, with a pause after each.",
    proof="a talk of known size takes as much longer than just before as its pieces have pauses",
    undo="remove the toxics of this fault; those of others stay",
    plane="network",
    sample="crumbs: {network.slicer: {link: gateway-engine, bytes: 64, delay: 2ms}}",
)
class NetworkSlicer(SizedToxic):
    """Slice what passes links."""

    toxic = "slicer"

    bytes: int = Field(ge=1, le=65_536, description="Bytes of the largest piece.")
    delay: Duration = Field(default=0.002, ge=0.0001, le=1.0, description="Pause after each piece, at most 1s.")

    def attributes(self) -> dict[str, int]:
        """Bytes and microseconds; without variation no piece is larger."""
        return {"average_size": self.bytes, "size_variation": 0, "delay": round(self.delay * 1e6)}

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: pieces of 64 bytes, 2 ms apart, each way on gateway-0>engine-0."""
        return f"pieces of {self.bytes} bytes, {format_duration(self.delay)} apart, {self.where(targets)}"

    def times(self) -> int:
        """So many that enough pauses come together."""
        size = self.bytes * (SHOWS_S / self.delay + 1)
        return min(MOST, math.ceil(size / SMALLEST))

    def extra_s(self, size: int) -> float:
        """A pause between each two pieces."""
        return max(0, math.ceil(size / self.bytes) - 1) * self.delay
