"""disk.slow-fsync: waiting for the disk takes long, as on a worn, shared or throttled volume."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.override import OverrideFault, environment, mapped, refuse_unless_preloadable
from chaoslib_ext.helpers import native
from chaoslib_ext.world import World
from drills.plan import Target

PRELOAD, DELAY = "LD_PRELOAD", "MUSTER_FSYNC_MS"
TIMED = """
import os, sys, tempfile, time
with tempfile.TemporaryFile(dir=sys.argv[1]) as file:
    file.write(b"x"); file.flush()
    begun = time.monotonic(); os.fsync(file.fileno())
    print((time.monotonic() - begun) * 1000)
"""


@fault(
    "disk.slow-fsync",
    summary="Every fsync of an instance takes longer; it is started again so. C and Python only.",
    proof="the library is in its memory, and an fsync on its volume with what it was started with takes that long",
    undo="start it again without the library",
    plane="host",
    sample="disk-is-slow: {disk.slow-fsync: {instance: gateway-0, ms: 50}}",
)
class DiskSlowFsync(OverrideFault):
    """Make instances wait for their disk."""

    ms: int = Field(gt=0, le=60_000, description="Milliseconds that each fsync, fdatasync, msync… takes longer.")

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: start gateway-0 again with an fsync that takes 50 ms longer."""
        return f"start {names(targets)} again with an fsync that takes {self.ms} ms longer"

    def wanted(self, world: World) -> dict[str, Any]:
        """The library, and how long it waits. Raises Refused where it cannot be built."""
        return {"env": {PRELOAD: str(native.slow_fsync()), DELAY: str(self.ms)}}

    def check(self, target: Target, pid: int) -> None:
        """Go programs, and those without the system's library, are refused."""
        refuse_unless_preloadable(self.name, target, pid)

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """As every override; the targets are refused before anything is built."""
        for target, pid, _ in self.observe(targets, world):
            self.check(target, pid)
        return super().plan_undo(targets, world)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Find the library in the process; time an fsync on its volume, in a process that was started likewise."""
        texts, effect = [], time.monotonic_ns()  # what is timed below was slow before it was timed
        for target in targets:
            pid = self.overridden(target, world)
            if pid is None or not mapped(pid, str(native.slow_fsync())):
                return None
            took = _fsync_ms(pid)
            if took is None or took < self.ms:
                return None
            texts.append(
                f"pid {pid} of {target.name} has the library loaded; an fsync as it does it takes {took:.0f} ms"
            )
        return Witness(tuple(texts), effect)


def _fsync_ms(pid: int) -> float | None:
    """Milliseconds of one fsync on the volume of a process, with what that was started with."""
    try:
        seen = environment(pid)
        env = {**os.environ, **{name: seen[name] for name in (PRELOAD, DELAY) if name in seen}}
        argv = [sys.executable, "-S", "-E", "-c", TIMED, f"/proc/{pid}/cwd"]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=90, check=True)
        return float(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
