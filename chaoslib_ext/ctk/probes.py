"""Probes as Chaos Toolkit activities: in `muster run` they read the run's own evidence, else they ask the system."""

from __future__ import annotations

import time
from typing import Any

from chaoslib_ext.ctk import watching
from chaoslib_ext.ctk.context import Context, Sample, current
from chaoslib_ext.ctk.standalone import context_or_new
from drills.clock import NS
from drills.errors import UsageError
from drills.events import Kind
from drills.registry import did_you_mean
from probes.slo import known

CANARIES = 20
SLO_WINDOW_S = 5.0
CLEAR_S = 30.0
"""How long a plain `chaos run` may wait for its canaries to be answered."""


def slo_met(slo: str) -> bool:
    """Whether an SLO of probes/slos holds now: over the last 5 s of the load, or by 20 canary orders without a load."""
    found = known().get(slo)
    if found is None:
        raise UsageError(f"no slo {slo!r}; {did_you_mean(slo, known())}")
    context = current()
    if context is None or context.live is None:
        return _canaries(context or context_or_new(), found.target)
    line = context.live.refresh()
    if line is None or time.monotonic_ns() - line.t_ns > 2 * NS:
        return False
    window = context.live.window(found.flow, line.t_ns - int(SLO_WINDOW_S * NS))
    return window is not None and window.share is not None and window.share >= found.target


def _canaries(context: Context, target: float) -> bool:
    from loadgen import venues

    venue = context.world.describe["venue"]
    result = venues.get(str(venue["type"])).place_canaries(venue, CANARIES)
    return result.good >= target * CANARIES


def engine_leader() -> dict[str, Any] | None:
    """{"instance", "epoch"} of the matching engine that leads; None where none does."""
    leader = context_or_new().world.leader()
    return {"instance": leader[0], "epoch": leader[1]} if leader else None


def steady(seconds: float) -> bool:
    """Whether the load is steady over `seconds`; waits that long, and once more as long where it is not yet."""
    context = _run("steady")
    live = context.live
    if live is None:
        raise UsageError("steady needs the load of `muster run`")
    began = time.monotonic_ns()
    context.pause(seconds)
    deadline, result = began + int(2 * seconds * NS), None
    while True:
        line = live.refresh()
        result = watching.steadiness(live, (line.t_ns if line else began) - int(seconds * NS))
        if result.steady or time.monotonic_ns() >= deadline:
            break
        context.pause(0.5)
    context.emit(
        Kind.BASELINE,
        steady=result.steady,
        rate=round(result.rate, 1),
        offered=round(result.offered, 1),
        good=result.good,
        p99_ms=result.p99_ms,
        reason=result.reason,
    )
    return result.steady


def detected(probe: str, within: float) -> float | None:
    """Seconds from the fault until a probe showed it; None where it did not within `within` seconds."""
    context = _run("detected")
    shot, samples = context.last_shot, context.samples
    if samples is None:
        raise UsageError("detected needs the sampler of `muster run`")
    t0 = shot.issued_ns if shot else time.monotonic_ns()
    found: list[Sample] = []

    def look() -> bool:
        sample = watching.first_notice(samples, probe, t0)
        found.extend([sample] if sample else [])
        return bool(found)

    if not context.until(look, t0 + int(within * NS)):
        return None
    before = samples.before(probe, t0)
    after = (found[0].t_ns - t0) / NS
    context.emit(
        Kind.DETECTED,
        phase=context.phase,
        probe=probe,
        target=(before.target if before else None) or found[0].target,
        t_ns=found[0].t_ns,
        text=f"{watching.saying(probe, before, found[0])} after {after:.2f} s",
    )
    return after


def _run(what: str) -> Context:
    context = current()
    if context is None:
        raise UsageError(f"{what} is a probe of `muster run`")
    return context
