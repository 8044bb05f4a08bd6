"""What the phases wait for: a steady baseline, a detection, a leader, sustained good service, redundancy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from chaoslib_ext.ctk.context import Context, Sample, Samples
from drills.clock import NS
from drills.model import RtoObjective
from drills.plan import Plan
from probes.live import LiveView
from probes.slo import known

RATE_TOLERANCE = 0.1
BASELINE_GOOD = 0.999
BASELINE_LAG_MS = 50.0
"""Median of the 100 ms lag percentiles: a generator this late spoils a baseline."""


@dataclass(frozen=True, slots=True)
class Steadiness:
    """How the load went over a window (operations a second, shares, milliseconds); `reason`: why it is not steady."""

    steady: bool
    rate: float
    offered: float
    good: float | None
    p99_ms: float | None
    reason: str | None


def steadiness(live: LiveView, start_ns: int) -> Steadiness:
    """Judge the window from `start_ns` to the newest line."""
    rates, good = live.rate(start_ns), live.share(start_ns)
    p99, lag = live.typical("p99_ms", start_ns), live.typical("lag_p99_ms", start_ns)
    if rates is None or good is None:
        return Steadiness(False, 0.0, 0.0, None, None, "no operation was decided")
    rate, offered = rates
    reason = None
    if abs(rate - offered) > RATE_TOLERANCE * offered:
        reason = f"{rate:,.0f} op/s decided of {offered:,.0f} offered"
    elif good < BASELINE_GOOD:
        reason = f"{good:.2%} good, needs {BASELINE_GOOD:.1%}"
    elif lag is not None and lag > BASELINE_LAG_MS:
        reason = f"the generator is {lag:.0f} ms late"
    return Steadiness(reason is None, rate, offered, good, p99, reason)


def critical(plan: Plan | None, live: LiveView) -> Sequence[str]:
    """Flows that must be good again: those with an rto objective, else all that the load sends."""
    flows = [one.flow for one in plan.objectives if isinstance(one, RtoObjective)] if plan else []
    return list(dict.fromkeys(flows)) or live.flows()


def noticed(probe: str, before: Sample | None, sample: Sample) -> bool:
    """Whether a reading shows that something is wrong: no data, another leader, less redundancy, a missed target."""
    if sample.value is None:
        return True
    slo = known().get(probe)
    if slo is not None:
        return sample.value < slo.target
    if before is None or before.value is None:
        return False
    if probe == "engine-redundancy":
        return sample.value < before.value
    return (sample.target, sample.value) != (before.target, before.value) if probe == "engine-leader" else False


def first_notice(samples: Samples, probe: str, t0_ns: int) -> Sample | None:
    """The first reading after `t0_ns` that shows it."""
    before = samples.before(probe, t0_ns)
    return next((s for s in samples.of(probe) if s.t_ns > t0_ns and noticed(probe, before, s)), None)


def saying(probe: str, before: Sample | None, sample: Sample) -> str:
    """A notice in words: who is gone, who leads instead."""
    if probe != "engine-leader":
        return f"{probe}: {sample.error or sample.value}"
    if sample.value is None:
        return f"engine-leader: {before.target if before else 'the leader'} is gone"
    return f"engine-leader: {sample.target} leads with epoch {sample.value:.0f}"


def new_leader(context: Context) -> Sample | None:
    """The leader after the last fault; where that fault hit the leader itself, one with a newer epoch."""
    shot, samples = context.last_shot, context.samples
    if samples is None:
        return None
    since = shot.issued_ns if shot else time.monotonic_ns() - NS
    hits = [name for one in context.shots.values() for name in one.targets]
    before = samples.before("engine-leader", context.first_ns)
    struck = before is not None and before.target in hits
    floor = before.value if before is not None and before.value is not None and struck else -1.0
    return next(
        (s for s in samples.of("engine-leader") if s.t_ns > since and s.value is not None and s.value > floor), None
    )


def first_good_s(live: LiveView, flow: str, t0_ns: int) -> float | None:
    """Seconds from T0 to the first line with good answers after a line without any; None while there is none.

    Only the lines of 100 ms are looked at: it is shown while the run goes on, and counted exactly afterwards.
    """
    silent, last = False, live.at(t0_ns)
    for line in live.since(t0_ns):
        before = last.flows.get(flow) if last else None
        now = line.flows.get(flow)
        rose = now is not None and (before is None or now.good > before.good)
        if rose and silent:
            return (line.t_ns - t0_ns) / NS
        silent = silent or not rose
        last = line
    return None
