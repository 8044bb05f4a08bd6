"""What `muster run` was asked for, and how long a plan may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drills.model import Baseline, Detect, LongestGuard, Recover, Restore, Verify
from drills.model_phases import PhaseParams
from drills.plan import Plan

Say = Callable[[str], None]
"""Talk to a person: one line, not part of the evidence."""

EFFECT_S = 5.0
"""A fault whose effect is not witnessed within this is not witnessed at all."""

EXPERIMENT_BASELINE_S = 10.0
EXPERIMENT_RECOVER_S = 60.0
LONGEST_S = 900.0
SLACK_S = 20.0


@dataclass(frozen=True)
class Options:
    """The command line of one `muster run`."""

    reference: str
    environment: str | None = None
    trace: str | None = None
    plant: str | None = None
    runs: Path = Path("runs")
    repeat: int = 1
    amplify: int | None = None
    approvals: tuple[Path, ...] = ()


def longest_s(plan: Plan) -> float:
    """Seconds after which the run is stopped: its tightest `longest` guard, else 15 minutes."""
    return min((guard.longest for guard in plan.guards if isinstance(guard, LongestGuard)), default=LONGEST_S)


def load_s(plan: Plan) -> float:
    """Seconds of traffic to prepare: every deadline used up, an extended baseline, and some slack; not over longest."""
    if plan.kind == "experiment":
        return min(longest_s(plan), 2 * EXPERIMENT_BASELINE_S + EXPERIMENT_RECOVER_S + _pauses(plan) + 60 + SLACK_S)
    return min(longest_s(plan), sum(_seconds(phase.params) for phase in plan.phases) + SLACK_S)


def _seconds(params: PhaseParams) -> float:
    if isinstance(params, Baseline):
        return 2 * params.for_
    if isinstance(params, Verify):
        return params.for_
    return params.within if isinstance(params, Detect | Recover | Restore) else EFFECT_S


def _pauses(plan: Plan) -> float:
    method = plan.definition.get("method") or []
    pauses = [activity.get("pauses") or {} for activity in method if isinstance(activity, dict)]
    return sum(float(value) for one in pauses for value in one.values() if isinstance(value, int | float))
