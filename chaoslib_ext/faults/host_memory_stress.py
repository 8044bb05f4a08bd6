"""host.memory-stress: memory of the host is taken and held, as by a leak or a neighbour."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, model_validator

from chaoslib_ext.faults.base import Recipe, Witness, fault
from chaoslib_ext.faults.host import end_tagged, on_linux
from chaoslib_ext.faults.process import InstanceFault
from chaoslib_ext.helpers import find, spawn
from chaoslib_ext.helpers.memory_stress import MB, available_mb
from chaoslib_ext.world import World
from drills.errors import FaultError, Refused
from drills.plan import Target
from drills.units import Duration

MOST = 0.5
"""More than this share of what is available is refused: the machine runs the generator and the witnesses too."""

ENOUGH = 0.5
"""Share of it by which less must be available: others give memory back at the same time."""

HOST = Target(kind="node", name="this host")


@fault(
    "host.memory-stress",
    summary="Take memory of the host and hold it; the kernel would end the taker before anything else.",
    proof="the taker holds that much resident, and the host has less available than before",
    undo="end the taker; the kernel gives its memory back",
    plane="host",
    sample="memory-is-short: {host.memory-stress: {mb: 512}}",
)
class HostMemoryStress(InstanceFault):
    """Take memory."""

    mb: int = Field(gt=0, description="How much, in MiB; at most half of what is available.")
    instance: str | None = Field(default=None, description="On the host of this instance, and while it runs.")
    duration: Duration | None = Field(default=None, description="Undone by itself after this long.")

    @model_validator(mode="after")
    def _one_way(self) -> HostMemoryStress:
        if self.service is not None or self.role is not None:
            raise ValueError("memory is taken from a host; give an instance that runs there, or nothing")
        return self

    @property
    def expires_s(self) -> float | None:
        """The duration."""
        return self.duration

    def targets(self, world: World) -> list[Target]:
        """This host, or the instance. Raises Refused `target-matches-nothing`."""
        return [HOST] if self.instance is None else super().targets(world)

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: take 512 MB of memory beside engine-0."""
        return f"take {self.mb} MB of memory " + (
            "of this host" if self.instance is None else f"beside {self.instance}"
        )

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """End the helper. Raises Refused `endangers-host` where the machine has not twice as much to give."""
        on_linux(self.name)
        if self.instance is not None:
            self.observe(targets, world)
        before = _can_give_mb()
        if self.mb > MOST * before:
            raise Refused(
                "endangers-host",
                f"{self.name}: mb: {self.mb}, but {before} MB are available and at most half of that may be taken;"
                f" ask for up to {int(MOST * before)}; nothing was touched",
            )
        self.remember("", available_mb())
        return [end_tagged(world)]

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Start the taker."""
        self.before("")
        known = [] if self.instance is None else [self.process(target) for target in targets]
        identities = [(one.pid or 0, one.start_time or 0.0) for one in known]
        spawn.start("memory_stress", world, targets=identities, seconds=self.duration, mb=self.mb)

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """What the taker holds, and what the kernel has left."""
        takers = find.tagged(world.tag)
        held = sum(_resident_mb(one.pid) for one in takers)
        before = self.before("")
        less = before - available_mb()
        if not takers or held < self.mb or less < ENOUGH * self.mb:
            return None
        return Witness(
            (f"pid {takers[0].pid} holds {held} MB", f"{less} MB less are available than the {before} before")
        )


def _can_give_mb() -> int:
    """What is available, and what the control group may still take, whichever is less."""
    group = Path("/sys/fs/cgroup")
    try:
        most, now = (group / "memory.max").read_text().strip(), int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return available_mb()
    return available_mb() if most == "max" else min(available_mb(), (int(most) - now) // MB)


def _resident_mb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError as error:
        raise FaultError(f"host.memory-stress: pid {pid} that took the memory has ended: {error}") from error
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS")), 0)
