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
class Played:
    """One finished load: its evidence, its last live line, and the CPU seconds it used."""

    run: RunDir
    witness: Path
    last: dict[str, Any]
    cpu_s: float
    running_s: float


def play(venue: dict[str, Any], folder: Path, trace: str, seconds: float, **fields: Any) -> Played:  # noqa: ANN401
    """Play `trace` for `seconds`; `fields` are further ones of LoadConfig. Raises CalledProcessError when it fails."""
    run_id = new_run_id()
    config = LoadConfig(run_id=run_id, run_dir=folder / run_id, trace=trace, venue=venue, duration_s=seconds, **fields)
    path, run = config.save(), RunDir(config.run_dir)
    process = psutil.Popen(launch.command(path), env=launch.environment(path))
    started: float | None = None
    cpu = 0.0
    while process.poll() is None:
        try:
            spent = process.cpu_times()
            cpu = spent.user + spent.system
        except psutil.Error:
            break
        if started is None and run.live.exists() and b'"running"' in run.live.read_bytes():
            started = cpu
        try:
            process.wait(0.05)
        except psutil.TimeoutExpired:
            continue
    if process.wait() != 0:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    lines = [orjson.loads(line) for line in run.live.read_bytes().splitlines()]
    first = next(line["t_ns"] for line in lines if line["state"] == "running")
    span = (lines[-1]["t_ns"] - first) / 1e9
    return Played(run, witness.consolidate(run.path), lines[-1], cpu - (started or 0.0), span)
