"""Faults on processes and hosts: start of a helper, how exactly a process is starved, undo of each until verified.

`python -m benchmarks.bench_host_faults [N]` writes benchmarks/out/host-faults.json; N undos of each (20).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.results import Figure, write
from chaoslib_ext.faults import build
from chaoslib_ext.guardian.play import Player
from chaoslib_ext.guardian.verbs import find
from chaoslib_ext.helpers import spawn
from chaoslib_ext.world import World
from drills.ledger import Ledger, State
from tests.contract.faultcases.host import hosts
from tests.standins import until

RUN = "20260101T000000Z-bench"
BUSY = "while True: pass"
WATCH_S = 3.0

FAULTS: dict[str, dict[str, Any]] = {
    "process.restart-storm": {"instance": "box-0", "every": "200ms"},
    "host.cpu-starve": {"instance": "box-0", "share": "80%"},
    "host.memory-stress": {"mb": 256},
    "host.fd-exhaustion": {"instance": "box-0"},
    "disk.full": {"instance": "box-0", "mb": 8},
    "disk.slow-fsync": {"instance": "box-0", "ms": 20},
    "clock.skew": {"instance": "box-0", "by": "+30s"},
}


def spread(name: str, values: list[float], unit: str = "ms") -> list[Figure]:
    """Median, 99th percentile (with fewer than 100 values: the worst) and how many."""
    ordered = sorted(values)
    kept = {"p50": statistics.median(ordered), "p99": ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]}
    return [Figure(f"{name} {which} (n={len(values)})", round(value, 1), unit) for which, value in kept.items()]


def helper_starts_ms(world: World, count: int) -> list[float]:
    """From the call until the helper may begin."""
    found = []
    for _ in range(count):
        began = time.perf_counter()
        spawn.start("cpu_starve", world, seconds=30, share=0.5, period=0.04)
        found.append((time.perf_counter() - began) * 1e3)
        find("host.end_tagged").undo({"tag": world.tag})
    return found


def _cpu_share(process: psutil.Process) -> float:
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(WATCH_S)
    return float(sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)


def starved(world: World, share: float) -> float:
    """Share of its CPU that was really taken from a process that would use a whole core."""
    with subprocess.Popen([sys.executable, "-S", "-c", BUSY]) as busy:
        process = psutil.Process(busy.pid)
        whole = _cpu_share(process)
        spawn.start("cpu_starve", world, targets=[(busy.pid, process.create_time())], share=share, period=0.04)
        rest = _cpu_share(process)
        find("host.end_tagged").undo({"tag": world.tag})
        busy.kill()
    return 1 - rest / whole


def undo_ms(world: World, folder: Path, name: str, params: dict[str, Any], number: int) -> float:
    """Inject, wait for the evidence, undo; milliseconds of the undo until it is verified."""
    fault = build(name, params)
    until(lambda: all(one.ready for one in world.agent.instances()), 60)
    targets = fault.targets(world)
    path = folder / f"{name}-{number}.ndjson"
    ledger = Ledger(path, RUN)
    ledger.write("intent", fault_id="f1", fault=name, recipes=fault.plan_undo(targets, world))
    fault.apply(targets, world)
    until(lambda: fault.in_effect(targets, world), 20)
    began = time.monotonic()
    done = Player(ledger).undo(ledger.book.open(), "bench")
    took = (time.monotonic() - began) * 1e3
    assert all(entry.state is State.VERIFIED for entry in done)
    ledger.close()
    return took


def main(count: int = 20) -> None:
    """Measure, print and write."""
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as name, hosts() as (_, plain):
        folder, world = Path(name), plain.tagged(RUN, "f1")
        os.environ["MUSTER_HOME"] = str(folder / "home")
        found += spread("helper start until it may begin", helper_starts_ms(world, count))
        for share in (0.25, 0.5, 0.8):
            got = starved(world, share)
            found.append(Figure(f"CPU taken, {share:.0%} asked for", round(got * 100, 1), "%"))
        for fault, params in FAULTS.items():
            took = [undo_ms(world, folder, fault, params, number) for number in range(count)]
            found += spread(f"undo until verified, {fault}", took)
    write("host-faults", found)


if __name__ == "__main__":
    main(*(int(arg) for arg in sys.argv[1:]))
