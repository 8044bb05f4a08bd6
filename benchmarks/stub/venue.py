"""Runs the stub venue on a core of its own, and asks it what it has done."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil
import requests

from benchmarks.stub.programs import program


@dataclass(frozen=True, slots=True)
class Cores:
    """Where the generator and the venue run; the same where there is but one core."""

    generator: int
    venue: int


def cores() -> Cores:
    """The first and the last core that this process may use."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(allowed[0], allowed[-1])


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """This process, and what it starts meanwhile, stays on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Stall:
    """Seconds from the first order, and how long."""

    at_s: float
    for_s: float


@dataclass(frozen=True, slots=True)
class Stub:
    """A stub that runs."""

    pid: int
    ports: dict[str, int]
    stall_log: Path

    def venue(self, type_: str, folder: Path, transport: str | None = None) -> dict[str, Any]:
        """The stub as a load configuration names it: without an audit, with a secret that nobody checks in `folder`."""
        secret_file = folder / "secret"
        secret_file.write_text("nobody checks it\n")
        return {
            "type": type_,
            "transport": transport,
            "ws": [f"ws://127.0.0.1:{self.ports['ws']}/v5/trade"],
            "binary": [f"tcp://127.0.0.1:{self.ports['binary']}"],
            "rest": [f"http://127.0.0.1:{self.ports['rest']}"],
            "secret_file": str(secret_file),
        }

    @property
    def rest(self) -> str:
        """Address of the REST side."""
        return f"http://127.0.0.1:{self.ports['rest']}"

    def answered(self) -> int:
        """Orders and requests answered so far."""
        return int(requests.get(f"{self.rest}/stats", timeout=5).json()["answered"])

    def cpu_s(self) -> float:
        """CPU seconds used so far."""
        spent = psutil.Process(self.pid).cpu_times()
        return float(spent.user + spent.system)

    def stalled(self) -> tuple[int, int]:
        """Begin and end of the stall in ns of CLOCK_MONOTONIC; raises SystemExit where there was none."""
        deadline = time.monotonic() + 5
        while not self.stall_log.exists():
            if time.monotonic() > deadline:
                raise SystemExit("stub: there was no stall")
            time.sleep(0.05)
        told = orjson.loads(self.stall_log.read_bytes())
        return told["begin_ns"], told["end_ns"]


def _come_first() -> None:
    """Ask to be scheduled before others, as the load process does: else a busy machine would pass for a slow venue."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


@contextmanager
def stub(folder: Path, stall: Stall | None = None) -> Iterator[Stub]:
    """A fresh stub on its core, gone afterwards; files of it lie in `folder`."""
    log = folder / "stall.json"
    log.unlink(missing_ok=True)
    command = [str(program("stub"))]
    if stall:
        command += ["-stall-at", f"{stall.at_s}s", "-stall-for", f"{stall.for_s}s", "-stall-log", str(log)]
    with pinned(cores().venue):
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "GOMAXPROCS": "1"},
            preexec_fn=_come_first,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Stub(process.pid, orjson.loads(process.stdout.readline()), log)
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
