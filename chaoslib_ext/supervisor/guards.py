"""Guards: live conditions that stop a run. One that errs or has no data counts as tripped."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from drills.clock import NS
from drills.model import Guard, InvariantGuard, LongestGuard, SloGuard
from drills.plan import Plan
from probes.live import LiveTail, LiveView
from probes.slo import Slo

SILENT_S = 2.0
"""The load writes ten lines a second and the sampler more: silence this long is no data."""

LAG_GATE_MS = 250.0
"""Half of the limit of a place: a generator this late makes healthy answers look bad."""

LAG_FOR_S = 3.0

BURN_WINDOW_S = 5.0


@dataclass(frozen=True, slots=True)
class Trip:
    """A guard that stops the run, and why."""

    guard: str
    reason: str


@dataclass
class Facts:
    """What guards look at; the main loop keeps it up to date. Times are CLOCK_MONOTONIC nanoseconds.

    `envelope` is True from T0- until service is back: a full outage of what the drill disturbs is expected then.
    """

    started_ns: int
    live: LiveView
    load_ended: str | None = None
    load_stopped: bool = False
    sampler_ended: str | None = None
    sampled_ns: int | None = None
    environment_lost: str | None = None
    writers: str | None = None
    envelope: bool = False
    late_since_ns: int | None = field(default=None)


class Guards:
    """The guards of a plan, and those that every run has: load alive, on time, and both streams of data flowing."""

    def __init__(self, plan: Plan, slos: Mapping[str, Slo]) -> None:
        self._guards: Sequence[Guard] = plan.guards
        self._services = frozenset(plan.services)
        self._slos = slos

    def check(self, facts: Facts, now_ns: int) -> Trip | None:
        """The first guard that is tripped now, or None."""
        if facts.environment_lost is not None:
            return Trip("sandbox", facts.environment_lost)
        if not facts.load_stopped and (trip := self._streams(facts, now_ns) or self._lag(facts, now_ns)):
            return trip
        for guard in self._guards:
            trip = self._one(guard, facts, now_ns)
            if trip is not None:
                return trip
        return None

    def _streams(self, facts: Facts, now_ns: int) -> Trip | None:
        if facts.load_ended is not None:
            return Trip("load", f"the load process {facts.load_ended}")
        line = facts.live.last
        if line is not None and line.state == "failed":
            return Trip("load", f"the load failed: {line.reason or 'no reason given'}")
        if line is not None and now_ns - line.t_ns > SILENT_S * NS:
            return Trip("load", f"no live counts for {(now_ns - line.t_ns) / NS:.1f} s")
        if facts.sampler_ended is not None:
            return Trip("sampler", f"the sampler {facts.sampler_ended}")
        if facts.sampled_ns is not None and now_ns - facts.sampled_ns > SILENT_S * NS:
            return Trip("sampler", f"no reading for {(now_ns - facts.sampled_ns) / NS:.1f} s")
        return None

    def _lag(self, facts: Facts, now_ns: int) -> Trip | None:
        line = facts.live.last
        if line is None or line.lag_p99_ms is None or line.lag_p99_ms <= LAG_GATE_MS:
            facts.late_since_ns = None
            return None
        facts.late_since_ns = facts.late_since_ns or now_ns
        late_s = (now_ns - facts.late_since_ns) / NS
        if late_s < LAG_FOR_S:
            return None
        return Trip("load-lag", f"the generator is {line.lag_p99_ms:.0f} ms late for {late_s:.0f} s; give it more CPU")

    def _one(self, guard: Guard, facts: Facts, now_ns: int) -> Trip | None:
        if isinstance(guard, LongestGuard):
            if now_ns - facts.started_ns > guard.longest * NS:
                return Trip("longest", f"the run is longer than {guard.longest:g} s")
            return None
        if isinstance(guard, InvariantGuard):
            return Trip(f"invariant {guard.invariant}", facts.writers) if facts.writers else None
        return None if facts.load_stopped else self._slo(guard, facts)

    def _slo(self, guard: SloGuard, facts: Facts) -> Trip | None:
        slo, name = self._slos.get(guard.slo), f"slo {guard.slo}"
        if slo is None:
            return Trip(name, "there is no such SLO to watch")
        if facts.envelope and guard.except_ in self._services:
            return None
        last = facts.live.last
        window = facts.live.window(slo.flow, last.t_ns - int(BURN_WINDOW_S * NS)) if last else None
        if window is None:
            return None  # the first seconds of a load; its silence is judged above
        if window.share is None:
            return Trip(name, f"no {slo.flow} was due for {window.seconds:.0f} s: no data")
        burn = (1 - window.share) / (1 - slo.target)
        if burn < guard.burn:
            return None
        return Trip(
            name, f"{window.share:.2%} good, burning its budget {burn:.1f} times too fast (limit {guard.burn:g})"
        )


def self_test(plan: Plan, slos: Mapping[str, Slo]) -> float | None:
    """Let a made-up breach and a made-up silence go the way of the real ones; milliseconds until both stopped the run.

    None when one of them did not within a second: then nobody would stop a real one.
    """
    watched = plan.model_copy(update={"guards": (SloGuard(slo=next(iter(slos))),), "services": ()})
    slo = next(iter(slos.values()))
    with tempfile.TemporaryDirectory(prefix="muster-guards-") as folder:
        began = time.monotonic_ns()
        breach = _trips(Guards(watched, slos), slo, Path(folder) / "breach.ndjson", began, good=0)
        silence = _trips(Guards(watched, slos), slo, Path(folder) / "silence.ndjson", began - int(5 * NS), good=None)
        return (time.monotonic_ns() - began) / 1e6 if breach and silence else None


def _trips(guards: Guards, slo: Slo, path: Path, now_ns: int, good: int | None) -> bool:
    # a hundred operations each 100 ms, of which `good` are good (None: all of them)
    lines = []
    for beat in range(int(BURN_WINDOW_S * 10) + 2):
        done = 100 * beat
        counts = {"scheduled": done, "sent": done, "ok": done, "good": done if good is None else good * beat}
        t_ns = now_ns - int((BURN_WINDOW_S * 10 + 1 - beat) * NS / 10)
        lines.append(orjson.dumps({"t_ns": t_ns, "state": "running", "flows": {slo.flow: counts}}))
    path.write_bytes(b"\n".join(lines) + b"\n")
    live = LiveTail(path, {slo.flow: 500})
    live.refresh()
    return guards.check(Facts(started_ns=now_ns, live=live), time.monotonic_ns()) is not None
