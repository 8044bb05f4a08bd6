"""Everything that a verdict is computed from, in one place: the plan, the events, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drills.history import NEVER, History, Mask
from drills.marks import Marks, Readings
from drills.model import RpoObjective, RtoObjective
from drills.plan import Plan
from drills.rpo import CheckResult, Rpo
from drills.rto import BUCKET_S, Recovery, Rules
from drills.timeline import Lead, Timeline

LAG_SHARE = 0.2
"""The gate of the generator's own lag (p99): a fifth of the tightest limit, so that lag alone never makes an operation
bad (50 ms for the sandbox, whose cancels have 250 ms). Below the gate the lag is part of every error."""


@dataclass(frozen=True)
class Load:
    """What the generator did. `share` is sent/scheduled where the system could take it: outside [T0-, T5)."""

    scheduled: int
    sent: int
    answered: int
    rate: float | None
    lag_p99_ms: float | None
    gate_ms: float
    share: float | None
    said: str | None  # why the generator itself calls the run spoiled, None when it does not


@dataclass(frozen=True)
class Facts:
    """One run as measured; `history` and `journal`-based parts are None where their file is missing or damaged."""

    plan: Plan
    line: Timeline
    window: tuple[int, int | None] | None
    rules: Rules
    history: History | None
    is_good: Mask | None
    overall: Recovery | None
    flows: Mapping[str, Recovery]
    marks: Marks
    checks: Mapping[str, CheckResult]
    rpo: Rpo | None
    load: Load | None
    audit: Mapping[str, Any] | None
    probes: Mapping[str, Readings | None]
    leads: Sequence[Lead] = ()
    damaged: Mapping[str, str] = field(default_factory=dict)  # file -> what is wrong with it

    @property
    def fault_window_s(self) -> float | None:
        """T0+ - T0- in seconds; None where the effect was not witnessed."""
        if self.window is None or self.window[1] is None:
            return None
        return (self.window[1] - self.window[0]) / 1e9

    def error_s(self, found: Recovery | None) -> float | None:
        """± seconds of a recovery: bucket + probe period + fault-window width; None where there is none.

        The bucket is the tick of the load, or its lag p99 where that is longer.
        """
        if found is None:
            return None
        lag_s = (self.load.lag_p99_ms or 0.0) / 1000 if self.load else 0.0
        return found.error_s(self.fault_window_s or 0.0, max(BUCKET_S, lag_s))

    @property
    def observed_s(self) -> float | None:
        """How long the schedule went on after T0, in seconds."""
        if self.history is None or self.window is None or self.history.end_ns is None:
            return None
        return max(0.0, (self.history.end_ns - self.window[0]) / 1e9)


def critical_flows(plan: Plan) -> tuple[str, ...]:
    """Flows with an rto objective, in the order of the plan."""
    return tuple(dict.fromkeys(o.flow for o in plan.objectives if isinstance(o, RtoObjective)))


def asked_window_s(plan: Plan) -> float | None:
    """The shortest loss window that an rpo objective asks to be visible, in seconds; None where there is none."""
    return min((o.rpo.window for o in plan.objectives if isinstance(o, RpoObjective)), default=None)


def measure_load(
    history: History, line: Timeline, rules: Rules, live: Mapping[str, Any] | None, outage: tuple[int, int] | None
) -> Load:
    """What the generator did, from the witness and its own last words.

    `outage` is [T0-, T5): inside it an operation may be unsent because there was no connection to send it on, which is
    the system's doing, not the generator's.
    """
    sent = history.sent != NEVER
    outside = np.ones(len(history), bool)
    if outage is not None:
        outside = (history.intended < outage[0]) | (history.intended >= outage[1])
    said = line.load_ended or {}
    lag = said.get("lag_p99_ms")
    lag = (live or {}).get("run_lag_p99_ms", (live or {}).get("lag_p99_ms")) if lag is None else lag
    if lag is None and (sent & outside).any():
        rows = sent & outside
        lag = float(np.percentile((history.sent[rows] - history.intended[rows]) / 1e6, 99))
    seconds = (int(history.intended[-1]) - int(history.intended[0])) / 1e9 if len(history) > 1 else 0.0
    tightest = min((rules.limits_ms or {}).values(), default=rules.client_timeout_ms)
    return Load(
        scheduled=len(history),
        sent=int(sent.sum()),
        answered=int((history.answered != NEVER).sum()),
        rate=len(history) / seconds if seconds else None,
        lag_p99_ms=None if lag is None else float(lag),
        gate_ms=tightest * LAG_SHARE,
        share=float(sent[outside].mean()) if outside.any() else None,
        said=str(said.get("reason") or "it said so without a reason") if said.get("valid") is False else None,
    )
