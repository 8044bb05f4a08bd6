"""host.cpu-starve: a process gets a fraction of the CPU, as beside a noisy neighbour or under a quota.

It is stopped for a share of every period instead of being raced for the core: the generator, which runs on the same
machine in the sandbox, must not be starved with it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from pydantic import Field

from chaoslib_ext import processes
from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.host import end_tagged
from chaoslib_ext.faults.process import InstanceFault
from chaoslib_ext.helpers import find, spawn
from chaoslib_ext.world import World
from drills.plan import Target
from drills.units import Duration, Percent, format_percent

LOOK_S = 0.2
"""Several periods."""

NEAR = 0.15
"""How far the share that is seen may be from the one that was asked for, on a machine that is busy."""


@fault(
    "host.cpu-starve",
    summary="An instance is stopped for a share of every few milliseconds, so that it gets only the rest of the CPU.",
    proof="its process, looked at each millisecond, is in state T for that share of the time",
    undo="end what stops it, SIGCONT to the same process",
    plane="host",
    sample="engine-is-starved: {host.cpu-starve: {service: matching-engine, role: primary, share: 80%}}",
)
class HostCpuStarve(InstanceFault):
    """Take the CPU away from instances."""

    share: Percent = Field(default=0.8, ge=0.05, le=0.97, description="Share of the time that it is kept from running.")
    period: Duration = Field(
        default=0.04, ge=0.01, le=0.5, description="One turn of stop and go; short to any timeout."
    )
    duration: Duration | None = Field(default=None, description="Undone by itself after this long.")

    @property
    def expires_s(self) -> float | None:
        """The duration."""
        return self.duration

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: keep engine-0 from running for 80% of every 40 ms."""
        turn = f"{self.period * 1000:g} ms"
        return f"keep {names(targets)} from running for {format_percent(self.share)} of every {turn}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """End the helper, resume each process that runs now."""
        return [end_tagged(world, [(pid, start) for _, pid, start in self.observe(targets, world)])]

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Start one helper for all of them."""
        seen = [self.process(target) for target in targets]
        known = [(one.pid or 0, one.start_time or 0.0) for one in seen]
        spawn.start("cpu_starve", world, targets=known, seconds=self.duration, share=self.share, period=self.period)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Look at each process for a few periods: the share of the time that it is stopped."""
        if not find.tagged(world.tag):
            return None
        seen: dict[str, list[bool]] = {target.name: [] for target in targets}
        effect_ns, until = None, time.monotonic() + max(LOOK_S, 5 * self.period)
        while time.monotonic() < until:
            for target in targets:
                stopped = self.state(target) in processes.STOPPED
                seen[target.name].append(stopped)
                if stopped and effect_ns is None:
                    effect_ns = time.monotonic_ns()
            time.sleep(0.001)
        texts = []
        for name, states in seen.items():
            share = sum(states) / len(states)
            if effect_ns is None or abs(share - self.share) > NEAR:
                return None
            texts.append(f"{name} was stopped in {share:.0%} of {len(states)} looks")
        return Witness(tuple(texts), effect_ns or time.monotonic_ns())
