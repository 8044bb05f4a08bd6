"""The marks of a run, T0 to T8.

T0 fault in effect, T1 detected, T2 decided, T3 acted, T4 first good, T5 sustained good, T6 reconciled, T7 redundancy
restored, T8 failed back. All in seconds from T0, which is T0-: the instant the fault's command was issued. In an
automatic failover T2 = T3 = the new lease seen. Where only the drill's own probe saw the fault, T1 says so and is not
an MTTD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from drills.clock import NS
from drills.history import I64, NEVER, History
from drills.plan import Plan
from drills.rto import Recovery
from drills.timeline import Lead, Timeline

LEADER_PROBE = "engine-leader"
REDUNDANCY_PROBE = "engine-redundancy"

MEANING = {
    "T0_low": "command of the fault issued",
    "T0_high": "fault in effect, witnessed",
    "T1": "detected",
    "T2": "decided",
    "T3": "acted",
    "T4": "first good operation",
    "T5": "sustained good",
    "T6": "reconciled",
    "T7": "redundancy restored",
    "T8": "failed back",
}


@dataclass(frozen=True)
class Readings:
    """The readings of one probe, sorted by time; `value` is NaN where there was no data. Shapes are (n,)."""

    t_ns: I64
    value: Any  # float64 array
    text: tuple[str | None, ...]
    error: tuple[str | None, ...]

    @property
    def period_s(self) -> float | None:
        """The median time between two readings; None with fewer than two."""
        return float(np.median(np.diff(self.t_ns))) / NS if len(self.t_ns) > 1 else None


@dataclass(frozen=True)
class Marks:
    """Seconds from T0 by mark, None where it was not reached or does not apply, and `reasons` says why."""

    at: dict[str, float | None]
    reasons: dict[str, str] = field(default_factory=dict)
    T1_source: str | None = None
    T1_is_alert: bool = False
    lead: Lead | None = None

    def get(self, name: str) -> float | None:
        """Seconds from T0 of one mark."""
        return self.at.get(name)


def readings(samples: pa.Table | None, probe: str) -> Readings | None:
    """The readings of a probe out of a samples table (schema SAMPLES); None where it has none."""
    if samples is None:
        return None
    rows = samples.filter(pc.equal(samples["probe"], probe)).sort_by("t_ns")
    if not rows.num_rows:
        return None
    value = np.asarray(pc.fill_null(pc.cast(rows["value"], pa.float64()), float("nan")).to_numpy(), np.float64)
    texts, errors = rows["text"].to_pylist(), rows["error"].to_pylist()
    return Readings(np.asarray(rows["t_ns"].to_numpy(), np.int64), value, tuple(texts), tuple(errors))


def leases(line: Timeline, samples: pa.Table | None, history: History | None) -> list[Lead]:
    """Every epoch with the earliest instant at which it was seen: by an event, a reading, or an answer; by epoch."""
    seen = list(line.leaders)
    probe = readings(samples, LEADER_PROBE)
    if probe is not None:
        for epoch in np.unique(probe.value[~np.isnan(probe.value)]):
            first = int(np.argmax(probe.value == epoch))
            seen.append(Lead(int(probe.t_ns[first]), int(epoch), probe.text[first] or ""))
    if history is not None:
        answered = (history.answered != NEVER) & (history.epoch >= 0)
        for epoch in np.unique(history.epoch[answered]):
            rows = answered & (history.epoch == epoch)
            seen.append(Lead(int(history.answered[rows].min()), int(epoch), ""))
    earliest: dict[int, Lead] = {}
    for lead in sorted(seen, key=lambda lead: (lead.t_ns, not lead.instance)):
        known = earliest.setdefault(lead.epoch, lead)
        if not known.instance and lead.instance:
            earliest[lead.epoch] = Lead(known.t_ns, known.epoch, lead.instance)
    return [earliest[epoch] for epoch in sorted(earliest)]


def compute_marks(
    line: Timeline,
    plan: Plan,
    recovery: Recovery | None,
    samples: pa.Table | None,
    leads: Sequence[Lead],
) -> Marks:
    """Every mark of a run from its events, its readings and its recovery; all None where no fault was issued."""
    window = line.t0(plan)
    if window is None:
        why = "no fault was injected"
        return Marks(dict.fromkeys(MEANING), dict.fromkeys(MEANING, why))
    t0, high = window
    at: dict[str, int | None] = {"T0_low": t0, "T0_high": high}
    reasons = {} if high is not None else {"T0_high": "the effect of the fault was not witnessed"}
    at["T1"], source, is_alert = _detected(line, t0)
    lead = _new_lease(leads, t0)
    at["T2"] = at["T3"] = lead.t_ns if lead else None
    at["T4"] = recovery.t4_ns if recovery else None
    at["T5"] = recovery.t5_ns if recovery else None
    at["T6"] = line.audit_ns if line.audit and line.audit.get("complete") else None
    at["T7"], why7 = _redundancy(line, readings(samples, REDUNDANCY_PROBE), t0)
    at["T8"] = line.failed_back_ns
    reasons |= _reasons(at, recovery, line, plan) | ({"T7": why7} if why7 else {})
    values = {name: None if (t := at[name]) is None else (t - t0) / NS for name in MEANING}
    return Marks(values, {k: v for k, v in reasons.items() if values[k] is None}, source, is_alert, lead)


def _detected(line: Timeline, t0: int) -> tuple[int | None, str | None, bool]:
    after = sorted((entry for entry in line.detected if entry[0] >= t0), key=lambda entry: (not entry[2], entry[0]))
    if not after:
        return None, None, False
    t_ns, by, is_alert = after[0]
    return t_ns, by if is_alert else f"the drill's own probe ({by})", is_alert


def _new_lease(leads: Sequence[Lead], t0: int) -> Lead | None:
    before = max((lead.epoch for lead in leads if lead.t_ns < t0), default=-1)
    return next((lead for lead in leads if lead.t_ns >= t0 and lead.epoch > before), None)


def _redundancy(line: Timeline, probe: Readings | None, t0: int) -> tuple[int | None, str | None]:
    """T7: the first reading at the level from before the fault after the last one below it."""
    if probe is None:
        return (line.restored_ns, None) if line.restored_ns else (None, "no reading of the redundancy probe")
    known = ~np.isnan(probe.value)
    before = probe.value[known & (probe.t_ns < t0)]
    if not len(before):
        return None, "no reading of the redundancy probe from before the fault"
    full = float(before.max())
    after = known & (probe.t_ns >= t0)
    low = np.flatnonzero(after & (probe.value < full))
    if not len(low):
        return None, "redundancy was not seen reduced"
    back = np.flatnonzero(after & (np.arange(len(known)) > low[-1]))
    if not len(back):
        return None, f"redundancy was still {probe.value[low[-1]]:g} of {full:g} at the last reading"
    return int(probe.t_ns[back[0]]), None


def _reasons(at: Mapping[str, int | None], recovery: Recovery | None, line: Timeline, plan: Plan) -> dict[str, str]:
    never = recovery.reason if recovery and recovery.reason else "there is no witness of the traffic"
    audit = str((line.audit or {}).get("reason") or "the audit was not read")
    failback = any(phase.kind == "failback" for phase in plan.phases)
    return {
        "T1": "neither an alert nor a probe of the drill saw the fault",
        "T2": "no new lease was seen",
        "T3": "no new lease was seen",
        "T4": "no good operation was sent after the fault" if recovery else never,
        "T5": never,
        "T6": audit,
        "T8": "the failback did not finish" if failback else "the drill has no failback phase",
    }
