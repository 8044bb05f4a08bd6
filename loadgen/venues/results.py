"""What a venue tells beside answers: canaries, and how its record was read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """Orders placed by hand, so to speak, where no load tells how the venue does."""

    sent: int
    ok: int
    good: int  # ok and within the limit of a place
    p99_ms: float | None  # null: nothing was answered
    errors: tuple[str, ...]  # one line for each kind of failure

    @property
    def good_ratio(self) -> float:
        """Share of good canaries; 0 where none was sent."""
        return self.good / self.sent if self.sent else 0.0


@dataclass(frozen=True, slots=True)
class AuditResult:
    """How the authoritative record was read; the rows are in the run's audit folder."""

    complete: bool
    reason: str | None  # why it is not complete
    clients: tuple[str, ...]
    from_seq: int
    to_seq: int
    rows: int  # accepted commands
    foreign: int  # of these, commands of others
    diverged_at: int | None  # first sequence number where the two readings differ
