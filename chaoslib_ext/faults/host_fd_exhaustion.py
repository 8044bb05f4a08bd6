"""host.fd-exhaustion: a process may open nothing more, as after a leak of connections; what is open goes on."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import count, islice
from urllib.parse import urlsplit

from pydantic import Field

from chaoslib_ext.faults.base import Recipe, Witness, fault, names
from chaoslib_ext.faults.host import on_linux, open_files_limit
from chaoslib_ext.faults.process import InstanceFault
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.plan import Target
from drills.units import Duration

LOOKS, LOOK_S = 6, 0.01
"""How often its open files are listed: a connection that comes and goes must not count as one that stays."""

SILENT_S = 0.25
"""A healthy instance answers within milliseconds."""


@fault(
    "host.fd-exhaustion",
    summary="Lower the limit of open files of a running process to what it has open: new connections fail.",
    proof="the kernel shows the lower limit, and a new connection is not served",
    undo="set the former limit again",
    plane="host",
    sample="gateway-has-no-files: {host.fd-exhaustion: {instance: gateway-0, left: 0}}",
)
class HostFdExhaustion(InstanceFault):
    """Leave instances no file descriptors."""

    left: int = Field(default=0, ge=0, le=64, description="Files that it may still open.")
    duration: Duration | None = Field(default=None, description="Undone by itself after this long.")

    @property
    def expires_s(self) -> float | None:
        """The duration."""
        return self.duration

    def describe(self, targets: Sequence[Target]) -> str:
        """Such as: let gateway-0 open no more files."""
        return f"let {names(targets)} open {self.left or 'no'} more file{'' if self.left == 1 else 's'}"

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Set the limit of each as it is now."""
        on_linux(self.name)
        recipes: list[Recipe] = []
        for target, pid, start in self.observe(targets, world):
            limit = open_files_limit(pid)
            if limit is None or world.instance(target.name).http is None:
                why = "its limit cannot be told" if limit is None else "it speaks no HTTP, so nothing would show it"
                raise FaultError(f"{self.name}: {target.name}: {why}; nothing was touched")
            args = {"pid": pid, "start_time": start, "soft": limit[0], "hard": limit[1]}
            recipes.append({"verb": "host.restore_limit", "args": args})
        return recipes

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Lower the soft limit of each; the hard one stays, so that it can be raised again without root."""
        known = [(target, self.process(target).pid or 0) for target in targets]
        for target, pid in known:
            try:
                _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (_limit(_stay_open(pid), self.left), hard))
            except OSError as error:
                raise FaultError(f"{self.name}: {target.name} (pid {pid}): its limit cannot be set: {error}") from error

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Whoever comes after the last connection that it can take is not served."""
        texts = []
        for target in targets:
            base, pid = world.instance(target.name).http, self.process(target).pid or 0
            limit = open_files_limit(pid)
            if base is None or limit is None or not _unserved(base, self.left):
                return None
            texts.append(f"a new connection to {target.name} is not served; pid {pid} may open {limit[0]} files")
        return Witness(tuple(texts))


def _stay_open(pid: int) -> set[int]:
    """The descriptors that are open in every look."""
    found: set[int] | None = None
    for look in range(LOOKS):
        if look:
            time.sleep(LOOK_S)
        now = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
        found = now if found is None else found & now
    return found or set()


def _limit(is_open: set[int], left: int) -> int:
    """The limit under which exactly `left` numbers are free: the limit is on the number, not on how many are open."""
    free = (number for number in count() if number not in is_open)
    return next(islice(free, left, None))


def _unserved(base: str, left: int) -> bool:
    """Whether a request on a new connection stays unanswered while `left` other connections are held."""
    place = urlsplit(base)
    address = (place.hostname or "", place.port or 80)
    with ExitStack() as held:
        try:
            for _ in range(left):
                held.enter_context(socket.create_connection(address, SILENT_S))
            link = held.enter_context(socket.create_connection(address, SILENT_S))
            link.sendall(b"GET /status HTTP/1.1\r\nHost: muster\r\nConnection: close\r\n\r\n")
            return link.recv(64) == b""  # closed without a word
        except ConnectionRefusedError:
            return False  # it does not run
        except OSError:
            return True  # silent, or reset
