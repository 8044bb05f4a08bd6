"""A sandbox of a benchmark's own, and one load process played against it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psutil

from drills.evidence import RunDir, new_run_id
from loadgen import launch, witness
from loadgen.config import LoadConfig


@contextmanager
def sandbox() -> Iterator[dict[str, Any]]:
    """The description of a fresh sandbox, which is gone afterwards; MUSTER_HOME is a temporary folder meanwhile."""
    before = os.environ.get("MUSTER_HOME")
    with tempfile.TemporaryDirectory() as home:
        os.environ["MUSTER_HOME"] = home
        command = [sys.executable, "-m", "sandbox"]
        try:
            done = subprocess.run([*command, "up", "--json"], check=True, stdout=subprocess.PIPE)
            yield orjson.loads(done.stdout)
        finally:
            subprocess.run([*command, "down"], check=True)
            if before is None:
                del os.environ["MUSTER_HOME"]
            else:
                os.environ["MUSTER_HOME"] = before


@dataclass(frozen=True, slots=True)
class Loaded:
    """One finished load: its evidence in pieces, its last live line, CPU and seconds from its first operation on."""

    run: RunDir
    last: dict[str, Any]
    cpu_s: float
    running_s: float


@dataclass(frozen=True, slots=True)
class Played(Loaded):
    """A load whose evidence is in one piece."""

    witness: Path


def load(venue: dict[str, Any], folder: Path, trace: str, seconds: float, **fields: Any) -> Loaded:  # noqa: ANN401
    """Play `trace` for `seconds`; `fields` are further ones of LoadConfig. Raises CalledProcessError when it fails."""
    run_id = new_run_id()
    config = LoadConfig(run_id=run_id, run_dir=folder / run_id, trace=trace, venue=venue, duration_s=seconds, **fields)
    path, run = config.save(), RunDir(config.run_dir)
    process = psutil.Popen(launch.command(path), env=launch.environment(path))
    started = cpu = 0.0
    begun = False
    while process.poll() is None:
        try:
            spent = process.cpu_times()
            cpu = spent.user + spent.system
        except psutil.Error:
            break
        begun = begun or _begun(run.live)
        if not begun:
            started = cpu
        try:
            process.wait(0.05)
        except psutil.TimeoutExpired:
            continue
    if process.wait() != 0:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    lines = [orjson.loads(line) for line in run.live.read_bytes().splitlines()]
    first = next(line["t_ns"] for line in lines if _scheduled(line))
    return Loaded(run, lines[-1], cpu - started, (lines[-1]["t_ns"] - first) / 1e9)


def _begun(live: Path) -> bool:
    """Whether the first operation is due; the last line may be half written."""
    lines = live.read_bytes().split(b"\n")[-2:-1] if live.exists() else []
    return any(_scheduled(orjson.loads(line)) for line in lines)


def _scheduled(line: dict[str, Any]) -> bool:
    return any(flow["scheduled"] for flow in line["flows"].values())


def play(venue: dict[str, Any], folder: Path, trace: str, seconds: float, **fields: Any) -> Played:  # noqa: ANN401
    """`load`, and its evidence put together."""
    done = load(venue, folder, trace, seconds, **fields)
    return Played(done.run, done.last, done.cpu_s, done.running_s, witness.consolidate(done.run.path))
