"""Build switches for planted weaknesses; the only place of the engine that reads MUSTER_PLANT.

W01  answers at once from its own memory and replicates every 50 ms
W03  publishes without the expected sequence, and goes on leading for two seconds after it could know better
W04  forgets the client ids when an epoch begins
"""

from collections.abc import Mapping
from dataclasses import dataclass

KNOWN = ("W01", "W03", "W04")
"""What may be planted; a name that nothing reads would make a sandbox look weak that is not."""

REPLICATE_LATE_S = 0.05
ZOMBIE_S = 2.0


@dataclass(frozen=True, slots=True)
class Plants:
    """Which weaknesses this engine has; the clean build has none."""

    early_reply: bool = False
    no_fence: bool = False
    forget_ids: bool = False

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Plants":
        """Read the comma list MUSTER_PLANT; names of other components are none of the engine's business."""
        names = {name.strip() for name in environment.get("MUSTER_PLANT", "").split(",")}
        return cls(early_reply="W01" in names, no_fence="W03" in names, forget_ids="W04" in names)

    @property
    def own_memory_first(self) -> bool:
        """Whether memory may run ahead of (or beside) the log, so that it is worthless after a step-down."""
        return self.early_reply or self.no_fence
