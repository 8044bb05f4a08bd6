"""How an exchange is spoken to: render, sign, parse, classify, audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from drills.errors import DefinitionError


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


class Venue(Protocol):
    """What a venue must be able to do; `venue` is its description (endpoints, secret file)."""

    def watermark(self, venue: Mapping[str, Any]) -> int:
        """Sequence number of the last command that the venue executed.

        Raises ComponentError where nobody answers.
        """

    def place_canaries(self, venue: Mapping[str, Any], n: int) -> CanaryResult:
        """Place and cancel `n` orders far from any market, one after the other; never raises for a failing venue."""

    def audit(self, venue: Mapping[str, Any], run_dir: Path, watermark_timeout_s: float) -> AuditResult:
        """Read the record of the run with two fresh clients and write the run's audit folder.

        Waits up to `watermark_timeout_s` for the venue to come to rest. An incomplete reading is a result, no error.
        """


def get(type_: str) -> Venue:
    """The venue of a type; raises DefinitionError for an unknown one."""
    if type_ == "sandbox":
        from loadgen.venues.sandbox import Sandbox

        return Sandbox()
    raise DefinitionError(f"venue.type {type_}", "no such venue", hint="known: sandbox")
