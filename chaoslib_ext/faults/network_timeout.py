"""network.timeout: a link swallows what is sent and says nothing: a black hole, one way or both."""

from __future__ import annotations

from collections.abc import Sequence

from chaoslib_ext.faults.base import fault, names
from chaoslib_ext.faults.talk import Timing
from chaoslib_ext.faults.toxics import TalkingToxic
from drills.plan import Target

SILENT_S = 0.3
"""A far end that is well answers within milliseconds."""


@fault(
    "network.timeout",
    summary="Swallow everything on a link: connections stay, data stops. One way only, it is an asymmetric partition.",
    proof="a connection is taken and stays, and what is asked through it is never answered",
    undo="remove the toxics of this fault; its connections end then, because bytes of them are missing",
    plane="network",
    sample="black-hole: {network.timeout: {link: gateway-engine, toward: up}}",
)
class NetworkTimeout(TalkingToxic):
    """Swallow what passes links."""

    toxic = "timeout"

    def attributes(self) -> dict[str, int]:
        """With 0 the toxic never closes a connection."""
        return {"timeout": 0}

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: swallow what goes upstream on gateway-0>engine-0."""
        what = {"both": "everything", "up": "what goes upstream", "down": "what comes downstream"}[self.toward]
        return f"swallow {what} on {names(targets)}"

    def budget_s(self, before: Timing | None) -> float:
        """How long a silence must last."""
        return SILENT_S

    def seeable(self, before: Timing) -> bool:
        """An answer before, or at least a greeting where the way back is hit."""
        return before.answer_s is not None or (before.first_s is not None and self.toward != "up")

    def shown(self, before: Timing, after: Timing) -> str | None:
        """Taken, not answered, not ended; where the way back is hit, not even greeted."""
        greeted = after.first_s is not None
        if not after.taken or after.answer_s is not None or after.ended_s is not None:
            return None
        if greeted and self.toward != "up":
            return None
        heard = ", though its far end still greets" if greeted else ""
        return f"a connection is taken, and a question was not answered for {SILENT_S * 1000:.0f} ms{heard}"
