"""kill -9 of the supervisor until every fault is undone, on stand-ins for the exchange; start and size of the guardian.

`python -m benchmarks.bench_guardian [N]` writes benchmarks/out/guardian.json.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.results import Figure, write
from chaoslib_ext import scope
from chaoslib_ext.guardian.start import GuardianProcess
from drills import ledger
from tests.realproxy import RealToxiproxy, toxiproxy_server
from tests.standins import Exchange, exchange, until

FAULTS = {
    "process.pause": 'process.pause={"instance": "engine-0"}',
    "network.latency": 'network.latency={"link": "gateway-engine", "ms": 20}',
    "network.cut": 'network.cut={"link": "gateway-engine"}',
    "process.kill": 'process.kill={"instance": "engine-0"}',
}
THREE = (
    'network.cut={"link": "gateway-0>engine-0"}',
    'network.latency={"link": "gateway-0>engine-1", "ms": 20}',
    'process.pause={"instance": "engine-1"}',
)


def kill_to_undone_ms(box: Exchange, folder: Path, *faults: str, env: dict[str, str] | None = None) -> float:
    """One run of `faults`, killed; milliseconds from the signal to the last verified undo."""
    shutil.rmtree(folder / "run", ignore_errors=True)
    describe = folder / "describe.json"
    describe.write_text(json.dumps(box.describe()))
    argv = [sys.executable, "-m", "tests.guarded", str(describe), str(folder / "run"), *faults]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env={**os.environ, **(env or {})}) as run:
        assert run.stdout is not None
        said = json.loads(run.stdout.readline())
        guardian = psutil.Process(said["guardian"])
        killed = time.monotonic_ns()
        run.send_signal(19 if env else 9)  # SIGSTOP shows the lease, SIGKILL the death
        entries = until(lambda: _verified(folder / "run" / "ledger.ndjson", len(faults)))
        run.kill()
    guardian.wait(60)
    return (max(entry.undone_ns or 0 for entry in entries) - killed) / 1e6


def _verified(path: Path, count: int) -> list[ledger.Entry] | None:
    entries = ledger.read(path).entries
    return entries if len(entries) == count and not any(entry.open for entry in entries) else None


def start_ms_and_mb(folder: Path) -> tuple[float, float]:
    """Start of one guardian until it answers, and its resident size."""
    began = time.perf_counter()
    guardian = GuardianProcess.start(folder / "empty", ["bench"], max_duration_s=60)
    took = (time.perf_counter() - began) * 1e3
    size = psutil.Process(guardian.pid).memory_info().rss / 1e6
    guardian.close()
    return took, size


def rows(name: str, values: list[float], unit: str = "ms") -> list[Figure]:
    """Median and worst."""
    kept = {"p50": statistics.median(values), "max": max(values)}
    return [Figure(f"{name} {which} (n={len(values)})", round(value, 1), unit) for which, value in kept.items()]


def main(count: int = 20) -> None:
    """Measure, print and write."""
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as name, exchange() as box:
        folder = Path(name)
        os.environ["MUSTER_HOME"] = str(folder / "home")
        binary = toxiproxy_server()
        if binary:
            box.toxiproxy.close()
            box.toxiproxy = RealToxiproxy(binary, box.links)
        for label, fault in FAULTS.items():
            found += rows(f"kill -9 to undone, {label}", [kill_to_undone_ms(box, folder, fault) for _ in range(count)])
        found += rows("kill -9 to undone, three faults", [kill_to_undone_ms(box, folder, *THREE) for _ in range(count)])
        frozen = [kill_to_undone_ms(box, folder, FAULTS["process.pause"], env={"LEASE": "1.5"}) for _ in range(3)]
        found += rows("frozen to undone, lease 1.5 s", frozen)
        started = [start_ms_and_mb(folder) for _ in range(count)]
        found += rows("guardian start", [took for took, _ in started])
        found += rows("guardian resident size", [size for _, size in started], "MB")
        assert scope.markers() == []
    write("guardian", found)


if __name__ == "__main__":
    main(*(int(arg) for arg in sys.argv[1:]))
