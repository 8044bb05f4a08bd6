"""What the faults share for which an instance is started again: with other variables, or on another disk."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from chaoslib_ext.faults.base import Recipe
from chaoslib_ext.faults.process import InstanceFault
from chaoslib_ext.world import World
from drills.errors import Refused
from drills.plan import Target
from drills.units import Duration

GO = b"\xff Go buildinf:"
"""Stands in the data of every Go program: such a program makes its own system calls."""


class OverrideFault(InstanceFault):
    """Base of faults that a node agent applies by starting the instance again."""

    duration: Duration | None = Field(default=None, description="Undone by itself after this long.")

    @property
    def expires_s(self) -> float | None:
        """The duration."""
        return self.duration

    def wanted(self, world: World) -> dict[str, Any]:
        """The override, as the agent takes it: env, disk_mb, fill. Raises Refused where it cannot be had."""
        raise NotImplementedError

    def check(self, target: Target, pid: int) -> None:
        """Refuse a process on which it has no effect. Raises Refused; the default takes any."""

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Take the override away, by a key that carries run and fault."""
        self.remember("", self.wanted(world))
        found = self.observe(targets, world)
        for target, pid, _ in found:
            self.check(target, pid)
        return [
            {"verb": "agent.clear_override", "args": world.of_agent(instance=target.name, key=world.tag)}
            for target, _, _ in found
        ]

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Have each started again with the override, in order."""
        for target in targets:
            self.process(target)
        for target in targets:
            world.agent.override(target.name, world.tag, **self.before(""))

    def overridden(self, target: Target, world: World) -> int | None:
        """The pid of the process that runs with the override; None while there is none."""
        if self.known(target.name) is None:
            return None
        seen = world.agent.instance(target.name)
        return seen.pid if world.tag in seen.overrides and seen.pid != self.process(target).pid else None


def refuse_unless_preloadable(fault: str, target: Target, pid: int) -> None:
    """A library can be put before the system's only in a program that uses that one. Raises Refused with the reason."""
    if sys.platform != "linux":
        raise Refused("not-possible-here", f"{fault}: takes Linux; nothing was touched")
    try:
        program = Path(f"/proc/{pid}/exe")
        maps = Path(f"/proc/{pid}/maps").read_text(errors="replace")
        go = _contains(program, GO)
    except OSError as error:
        raise Refused(
            "not-possible-here", f"{fault}: {target.name}: pid {pid} cannot be looked into: {error}"
        ) from error
    name = program.resolve().name
    if go:
        raise Refused(
            "not-possible-here",
            f"{fault}: {target.name} is a Go program ({name}), which makes its own system calls: a library put before"
            " the system's has no effect on it; choose an instance written in C or Python; nothing was touched",
        )
    if "libc.so" not in maps and "libc.musl" not in maps and "libc-" not in maps:
        text = f"{fault}: {target.name} ({name}) is linked statically; no library can be put before it"
        raise Refused("not-possible-here", f"{text}; nothing was touched")


def mapped(pid: int, library: str) -> bool:
    """Whether the process has that very file in its memory."""
    try:
        return any(line.endswith(library) for line in Path(f"/proc/{pid}/maps").read_text().splitlines())
    except OSError:
        return False


def environment(pid: int) -> dict[str, str]:
    """What the process was started with. Raises OSError."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    texts = (pair.decode(errors="replace").partition("=") for pair in pairs if pair)
    return {name: value for name, _, value in texts}


def _contains(path: Path, wanted: bytes) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as seen:
        return seen.find(wanted) >= 0
