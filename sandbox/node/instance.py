"""One instance: a pod whose process is kept as its policy and whoever asks want it.

`desired` says what is wanted (RUN, STOP, HOLD); `run` is the one loop that starts the process, waits for its
end and starts it again. Acts set the wish, send the signal, and return when the process shows the effect.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from pathlib import Path
from typing import Any

import orjson
import psutil

from sandbox.errors import BadUse, SandboxError
from sandbox.node.overrides import Override, Overrides, check
from sandbox.node.processes import spawn, sweep_shared_memory
from sandbox.node.readiness import is_ready
from sandbox.node.resolve import Runnable
from sandbox.truth.log import TruthLog

BACKOFF_FIRST_S = 0.25
BACKOFF_MAX_S = 10.0
STEADY_S = 10.0  # a process that lived so long has earned an immediate restart
_STARTUP_POLL_S = 0.05
_EFFECT_S = 5.0  # how long an act waits to see its effect


class Desired(Enum):
    """What is wanted of an instance."""

    RUN = "run"
    STOP = "stop"
    HOLD = "hold"


class Children:
    """The list on disk of every process that was started; a line is there before the process is used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def sweep(self) -> None:
        """Remove what ended processes may have left in shared memory."""
        sweep_shared_memory(self._path)

    def add(self, instance: str, pid: int, start_time: float) -> None:
        """Append one process, in one write."""
        os.write(self._fd, orjson.dumps({"instance": instance, "pid": pid, "start_time": start_time}) + b"\n")


class Instance:
    """A pod on this node, its process, and the acts on it; everything runs in the agent's one event loop."""

    def __init__(self, spec: Runnable, children: Children, truth: TruthLog) -> None:
        self.spec = spec
        self.make_ready: Callable[[], Awaitable[bool]] | None = None
        self.desired = Desired.RUN
        self.powered = True
        self.restarts = 0
        self.ready = False
        self.last_exit: int | None = None
        self._children = children
        self._truth = truth
        self._proc: subprocess.Popen[bytes] | None = None
        self._start_time: float | None = None
        self._seen_ready = False
        self._failures = 0
        self._changed = asyncio.Event()
        self._act = asyncio.Lock()
        self._overrides = Overrides()
        self._started_with: dict[str, Override] = {}
        self._restarting: asyncio.Task[None] | None = None

    def changed(self) -> None:
        """Called when a process came or went, and when readiness turned: for who must tell somebody."""

    @property
    def alive(self) -> bool:
        """Whether a process is there."""
        return self._proc is not None

    @property
    def phase(self) -> str:
        """running, starting, paused (as the kernel sees it), or without a process held, stopped, backoff."""
        if self._proc is not None:
            if self._stopped_by_signal():
                return "paused"
            return "running" if self._seen_ready else "starting"
        if self.desired is Desired.HOLD or not self.powered:
            return "held"
        return "stopped" if self.desired is Desired.STOP else "backoff"

    def view(self) -> dict[str, Any]:
        """The instance as the agent's HTTP answers show it."""
        phase = self.phase
        return {
            "name": self.spec.name,
            "service": self.spec.service,
            "zone": self.spec.zone,
            "pid": self._proc.pid if self._proc else None,
            "start_time": self._start_time if self._proc else None,
            "phase": phase,
            "ready": self.ready and phase == "running",
            "restarts": self.restarts,
            "last_exit": self.last_exit,
            "overrides": sorted(self._started_with.keys() | self._overrides.keys()),
        }

    async def run(self) -> None:
        """Keep the process as wished, until cancelled."""
        while True:
            if not self._wanted:
                await self._change(None)
                continue
            started = time.monotonic()
            if await self._start():
                code = await self._until_exit()
                self._record("exit", code=code)
                self._forget(code)
                self._follow_policy(code)
            if self._wanted:
                self._failures = 1 if time.monotonic() - started > STEADY_S else self._failures + 1
                self.restarts += 1
                if self._failures > 1:
                    await self._change(min(BACKOFF_FIRST_S * 2 ** (self._failures - 2), BACKOFF_MAX_S))

    async def kill(self, number: signal.Signals, hold: bool) -> None:
        """Send a signal, and with `hold` keep the instance down until `release`; waits for the end of a SIGKILL."""
        async with self._act:
            if hold:
                self._wish(Desired.HOLD)
            if (proc := self._proc) is None:
                return
            self._record("kill", signal=number.name.removeprefix("SIG"), hold=hold)
            self._send(number)
            if hold and number is not signal.SIGKILL:
                self._send(signal.SIGCONT)  # a paused process takes its signal only when it goes on
            if hold or number is signal.SIGKILL:
                await self._gone(proc, self.spec.grace_s)

    async def stop(self) -> None:
        """End the process gracefully, by force after its grace period; it stays stopped until `start`."""
        async with self._act:
            self._wish(Desired.STOP)
            if (proc := self._proc) is not None:
                self._record("kill", signal="TERM", hold=False)
                self._send(signal.SIGTERM)
                self._send(signal.SIGCONT)
                await self._gone(proc, self.spec.grace_s)

    async def start(self) -> None:
        """Undo of `stop` and of a hold: want it running, and wait until a process is there."""
        async with self._act:
            self._failures = 0
            self._wish(Desired.RUN)
            await self._until(lambda: self.alive or not self.powered)

    async def pause(self) -> None:
        """Freeze the process (SIGSTOP); nothing where there is none."""
        async with self._act:
            if self._proc is not None and not self._stopped_by_signal():
                self._record("pause")
                self._send(signal.SIGSTOP)
                await self._until(lambda: self._proc is None or self._stopped_by_signal())

    async def resume(self) -> None:
        """Let a frozen process go on (SIGCONT); nothing where there is none."""
        async with self._act:
            if self._proc is not None and self._stopped_by_signal():
                self._record("resume")
                self._send(signal.SIGCONT)
                await self._until(lambda: self._proc is None or not self._stopped_by_signal())

    async def override(self, key: str, wanted: Override) -> None:
        """Run with this from now on, after restarts too: starts the process again, and waits until it is there.

        It is wanted from the first moment, so that one that is cleared meanwhile never comes. Raises BadUse.
        """
        self._overrides.put(key, wanted)
        try:
            await asyncio.to_thread(check, wanted, self.spec.cwd)
        except BadUse:
            self._overrides.remove(key)
            raise
        async with self._act:
            if self._overrides.all().get(key) == wanted != self._started_with.get(key):
                await self._restart()

    async def clear_override(self, key: str) -> None:
        """Run without it; answers at once, and `view` shows the override until the process is another."""
        if self._overrides.remove(key):
            self._restarting = asyncio.create_task(self._restart_without(key, self._restarting))

    def set_power(self, on: bool) -> None:
        """Give or take the power of the machine it runs on: without it the process is killed, and none is started."""
        if on is self.powered:
            return
        self.powered = on
        self._failures = 0
        if not on and self._proc is not None:
            self._record("kill", signal="KILL", hold=True)
            self._send(signal.SIGKILL)
        self._changed.set()

    async def follow_power(self) -> None:
        """Wait until the process shows the last `set_power`."""
        await self._until(lambda: self.alive is self._wanted)

    @property
    def _wanted(self) -> bool:
        return self.powered and self.desired is Desired.RUN

    def end(self) -> psutil.Process | None:
        """Kill at once and for good (the sandbox goes down); returns what to wait for."""
        self._wish(Desired.STOP)
        if self._proc is None:
            return None
        self._send(signal.SIGKILL)
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self._proc.pid)
        return None

    async def _start(self) -> bool:
        self._changed.clear()
        before = time.monotonic_ns()
        try:
            argv, env = self._overrides.argv(self.spec.argv, self.spec.cwd), self._overrides.env(self.spec.env)
            self._started_with = self._overrides.all()
            self._proc = spawn((*self.spec.enter, *argv), env, self.spec.cwd, self.spec.log)
        except OSError as error:
            with self.spec.log.open("a") as log:
                log.write(f"cannot run {self.spec.argv[0]}: {error.strerror}\n")
            self.last_exit = 127
            return False
        try:
            self._start_time = psutil.Process(self._proc.pid).create_time()
        except psutil.NoSuchProcess:  # ended already; the exit is seen at once
            self._start_time = time.time()
        self._children.add(self.spec.name, self._proc.pid, self._start_time)
        self._truth.append([{"t_ns": before, "e": "start", "instance": self.spec.name, "pid": self._proc.pid}])
        self.changed()
        return True

    async def _until_exit(self) -> int:
        assert self._proc is not None
        probing = asyncio.create_task(self._watch_readiness())
        try:
            await _exited(self._proc)
            return self._proc.wait()
        finally:
            probing.cancel()

    async def _watch_readiness(self) -> None:
        probe, host, port = self.spec.readiness, self.spec.host, self.spec.ready_port
        if probe is None or port is None:
            self.ready = self._seen_ready = True
            self.changed()
            return
        while True:
            if not self._stopped_by_signal():
                before = self.ready
                self.ready = await is_ready(host, port, probe.path, probe.timeout_s) and await self._made_ready()
                self._seen_ready = self._seen_ready or self.ready
                if before is not self.ready:
                    self.changed()
            await asyncio.sleep(probe.period_s if self.ready else min(_STARTUP_POLL_S, probe.period_s))

    async def _made_ready(self) -> bool:
        """Do once in each life of the process what it cannot do itself before it counts as ready."""
        return self._seen_ready or self.make_ready is None or await self.make_ready()

    def _forget(self, code: int) -> None:
        self._proc, self._start_time, self.last_exit = None, None, code
        self.ready = self._seen_ready = False
        if self._started_with:
            self._children.sweep()
        self._started_with = {}
        self.changed()

    async def _restart_without(self, key: str, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await asyncio.wait([earlier])
        async with self._act:
            if key in self._started_with:
                await self._restart()

    async def _restart(self) -> None:
        if not self._wanted or (proc := self._proc) is None:
            self._changed.set()  # what it is started with next is another: no reason to wait for that
            return
        self._failures = -1  # a restart that was ordered is no failure
        self._record("kill", signal="TERM", hold=False)
        self._send(signal.SIGTERM)
        self._send(signal.SIGCONT)
        await self._gone(proc, self.spec.grace_s)
        self._wish(Desired.RUN)  # whatever the restart policy made of that end
        await self._until(lambda: self.alive or not self.powered)

    def _follow_policy(self, code: int) -> None:
        policy = self.spec.restart_policy
        if self.desired is Desired.RUN and (policy == "Never" or (policy == "OnFailure" and code == 0)):
            self.desired = Desired.STOP

    def _wish(self, desired: Desired) -> None:
        self.desired = desired
        self._changed.set()

    async def _change(self, timeout_s: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        self._changed.clear()

    def _send(self, number: signal.Signals) -> None:
        if self._proc is not None and self._proc.poll() is None:  # not reaped, so the pid is still its own
            self._proc.send_signal(number)

    def _record(self, event: str, **more: object) -> None:
        pid = self._proc.pid if self._proc else None
        self._truth.append([{"t_ns": time.monotonic_ns(), "e": event, "instance": self.spec.name, "pid": pid, **more}])

    def _stopped_by_signal(self) -> bool:
        if self._proc is None:
            return False
        try:
            return psutil.Process(self._proc.pid).status() == psutil.STATUS_STOPPED
        except psutil.Error:
            return False

    async def _gone(self, proc: "subprocess.Popen[bytes]", grace_s: float) -> None:
        if not await self._seen(lambda: self._proc is not proc, grace_s):
            self._send(signal.SIGKILL)
            await self._until(lambda: self._proc is not proc)

    async def _until(self, seen: Callable[[], bool]) -> None:
        if not await self._seen(seen, _EFFECT_S):
            raise SandboxError(f"{self.spec.name}: the act had no effect within {_EFFECT_S:g} s; see logs agent")

    async def _seen(self, seen: Callable[[], bool], timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while not seen():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.002)
        return True


async def _exited(proc: "subprocess.Popen[bytes]") -> None:
    """Wait until a child has ended, woken by the kernel where it can (Linux), else by looking 50 times a second."""
    if sys.platform != "linux":
        while proc.poll() is None:
            await asyncio.sleep(0.02)
        return
    try:
        handle = os.pidfd_open(proc.pid)
    except ProcessLookupError:  # reaped already
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)
