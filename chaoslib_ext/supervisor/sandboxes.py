"""The sandbox a run needs: the one that is up, or one started for the run and stopped after it."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import orjson

from chaoslib_ext import needs
from chaoslib_ext.resolve import world_if_up
from chaoslib_ext.supervisor.options import Say
from chaoslib_ext.supervisor.signals import Signals
from chaoslib_ext.world import World
from drills.errors import Aborted, ComponentError, MusterError, Refused, UsageError
from drills.registry import Need

PYTHON = [sys.executable, "-m", "sandbox"]
DOWN = [*PYTHON, "down"]
DOWN_S = 60.0


class Interrupted(Aborted):
    """Somebody asked to stop before anything was touched."""


@dataclass
class Sandbox:
    """A sandbox in use; `owned` ones were started by us. `seconds` is how long that took."""

    describe: dict[str, Any]
    owned: bool
    seconds: float = 0.0
    _down: subprocess.Popen[bytes] | None = None

    @property
    def world(self) -> World:
        """The live system behind it."""
        return World.from_describe(self.describe)

    def begin_stop(self) -> None:
        """Start to stop it, if it is ours; idempotent."""
        if self.owned and self._down is None:
            self._down = subprocess.Popen(
                DOWN,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Stop it, if it is ours, and return when no process of it is left; idempotent. Raises ComponentError."""
        self.begin_stop()
        if self._down is None:
            return
        try:
            _, said = self._down.communicate(timeout=DOWN_S)
        except subprocess.TimeoutExpired:
            self._down.kill()
            self._down.communicate()
            raise ComponentError("sandbox", f"did not stop within {DOWN_S:g} s; run `muster sandbox down`") from None
        if self._down.returncode != 0:
            raise ComponentError("sandbox", f"{_last(said)}; run `muster sandbox down`")
        self.owned, self._down = False, None


def obtain(plant: str | None, signals: Signals, say: Say, needed: Collection[Need] = ()) -> Sandbox:
    """The sandbox that is up, or a new one with `plant` in it and whatever is `needed`.

    Raises Refused `sandbox-up` where one is up and something is to be planted, and what starting one may raise.
    """
    world = world_if_up()
    if world is not None:
        if plant:
            raise Refused("sandbox-up", "--plant needs a sandbox of its own; run `muster sandbox down` first")
        return Sandbox(dict(world.describe), owned=False)
    say("starting the sandbox")
    began = time.monotonic()
    describe = _up(plant, signals, say, needs.flags(needed))
    return Sandbox(describe, owned=True, seconds=time.monotonic() - began)


def _up(plant: str | None, signals: Signals, say: Say, flags: Sequence[str]) -> dict[str, Any]:
    argv = [*PYTHON, "up", "--json", "--owner-pid", str(os.getpid()), *flags] + (["--plant", plant] if plant else [])
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    out, said = _follow(process, signals, say)
    code = process.wait()
    if signals.stop:
        raise Interrupted(signals.name(), "the sandbox was taken down again; nothing was touched")
    if code != 0:
        raise _error(code, said or f"`up` ended with {code}")
    describe: dict[str, Any] = orjson.loads(out)
    return describe


def _follow(process: subprocess.Popen[bytes], signals: Signals, say: Say) -> tuple[bytes, str]:
    """Collect stdout, pass the lines of stderr on as talk (parts may be built for a minute); end it on a signal."""
    out, rest, last = b"", b"", ""
    with selectors.DefaultSelector() as selector:
        for pipe in (process.stdout, process.stderr):
            selector.register(cast(BinaryIO, pipe), selectors.EVENT_READ)
        selector.register(signals.fd, selectors.EVENT_READ)
        while len(selector.get_map()) > 1:
            for key, _ in selector.select():
                if key.fileobj == signals.fd:
                    signals.drain()
                    process.terminate()
                    continue
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    out += data
                else:
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        last = line.decode(errors="replace").strip() or last
                        if last and not last.startswith(("sandbox: ", "interrupted")):
                            say(last)
    return out, last


def _error(code: int, said: str) -> MusterError:
    if code == 5:
        return Refused("sandbox", said.removeprefix("refused: "))
    return UsageError(said) if code == 2 else ComponentError("sandbox", said.removeprefix("sandbox: "))


def _last(said: bytes | None) -> str:
    lines = (said or b"").decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "did not stop"
