"""disk.full: nothing is free on the volume of an instance."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.host import on_linux
from chaoslib_ext.faults.override import OverrideFault
from chaoslib_ext.world import World
from drills.plan import Target

PROBE = ".muster-probe"
PROBE_BYTES = 64 * 1024


@fault(
    "disk.full",
    summary="The volume of an instance is a small disk of its own on which nothing is free; it is started again on it.",
    proof="seen from inside the process, its volume has no room and a write to it fails",
    undo="start it again on its own volume; the small disk goes with the process",
    plane="host",
    sample="bus-disk-is-full: {disk.full: {instance: nats-2}}",
)
class DiskFull(OverrideFault):
    """Leave instances no room on their volume."""

    mb: int | None = Field(
        default=None, gt=0, le=1024, description="Size of that disk; without it, what is stored now and hardly more."
    )

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: start nats-2 again on a full disk."""
        return f"start {names(targets)} again on a full disk" + (f" of {self.mb} MB" if self.mb else "")

    def wanted(self, world: World) -> dict[str, Any]:
        """A disk, filled."""
        return {"fill": True} if self.mb is None else {"disk_mb": self.mb, "fill": True}

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """As every override; remember on which device each volume is. Raises Refused on another system than Linux."""
        on_linux(self.name)
        recipes = super().plan_undo(targets, world)
        for target in targets:
            self.remember(f"device of {target.name}", os.stat(f"/proc/{self.process(target).pid}/cwd").st_dev)
        return recipes

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Look at the volume through the process: it is its working directory, in its own namespace."""
        texts = []
        for target in targets:
            pid = self.overridden(target, world)
            if pid is None or _device(pid) in (None, self.before(f"device of {target.name}")):
                return None
            problem = _no_room(Path(f"/proc/{pid}/cwd"))
            if problem is None:
                return None
            texts.append(f"{target.name} (pid {pid}): {problem}")
        return Witness(tuple(texts))


def _device(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/cwd").st_dev
    except OSError:
        return None


def _no_room(volume: Path) -> str | None:
    """What a write to the volume says; None where it succeeds, or cannot be tried."""
    probe = volume / PROBE
    try:
        seen = os.statvfs(volume)
        probe.write_bytes(bytes(PROBE_BYTES))
    except OSError as error:
        if error.errno == errno.ENOSPC:
            free, size = seen.f_bavail * seen.f_frsize // 1024, seen.f_blocks * seen.f_frsize // 2**20
            return f"{free} kB of {size} MB free, a write of {PROBE_BYTES // 1024} kB fails: no space left"
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
    return None
