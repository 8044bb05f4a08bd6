"""process.pause: SIGSTOP, as a long collection pause, a frozen machine or a suspended guest looks from outside."""

from __future__ import annotations

import time
from collections.abc import Sequence

from chaoslib_ext import httpjson, processes
from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.process import InstanceFault
from chaoslib_ext.world import World
from drills.plan import Target

SILENT_S = 0.25
"""A healthy instance answers /status within milliseconds."""


@fault(
    "process.pause",
    summary="SIGSTOP of an instance: it keeps its connections and its memory, and does nothing.",
    proof="its process is in state T, and its HTTP port stays silent",
    undo="SIGCONT to the same process",
    plane="process",
    sample="gateway-freezes: {process.pause: {instance: gateway-0}}",
)
class ProcessPause(InstanceFault):
    """SIGSTOP of instances."""

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: SIGSTOP engine-0."""
        return f"SIGSTOP {names(targets)}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Resume each process that runs now."""
        return [
            {
                "verb": "agent.resume",
                "args": world.of_agent(instance=target.name, pid=pid, start_time=start),
            }
            for target, pid, start in self.observe(targets, world)
        ]

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Stop them, in order."""
        for target in targets:
            self.process(target)
        for target in targets:
            world.agent.act(target.name, "pause")

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Each process is stopped; where it speaks HTTP, that is silent."""
        texts = []
        for target in targets:
            if self.state(target) not in processes.STOPPED:
                return None
            texts.append(f"pid {self.process(target).pid} of {target.name} is stopped (state T)")
        effect = time.monotonic_ns()
        for target in targets:
            base = world.instance(target.name).http
            if base is None:
                continue
            if not _silent(f"{base.rstrip('/')}/status"):
                return None
            texts.append(f"HTTP of {target.name} was silent for {SILENT_S * 1000:.0f} ms")
        return Witness(tuple(texts), effect)


def _silent(url: str) -> bool:
    """Whether a connection is taken and nothing is said: any answer, an error too, is a sign of life."""
    try:
        httpjson.call("GET", url, timeout_s=SILENT_S)
    except httpjson.Unreachable as error:
        return not error.refused
    return False
