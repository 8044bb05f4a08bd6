"""How quickly things start: `muster --help`, sandbox up, and the whole main drill; medians of 5, 3 and 1 runs.

The peer of `muster --help` is `chaos --help` in the same run.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.results import Figure, write

BIN = Path(sys.executable).parent


def seconds(argv: list[str], env: dict[str, str]) -> float:
    """Wall seconds of one command; raises CalledProcessError when it fails."""
    start = time.perf_counter()
    subprocess.run(argv, check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Measure and write benchmarks/out/start.json."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "MUSTER_HOME": home}
        pairs = [
            (seconds([str(BIN / "muster"), "--help"], env), seconds([str(BIN / "chaos"), "--help"], env))
            for _ in range(6)
        ]
        ours, peer = (statistics.median(values) for values in zip(*pairs[1:], strict=True))
        ups = []
        for _ in range(3):
            ups.append(seconds([sys.executable, "-m", "sandbox", "up"], env))
            seconds([sys.executable, "-m", "sandbox", "down"], env)
        drill = seconds([str(BIN / "muster"), "run", "engine-primary-kill", "--runs", f"{home}/runs"], env)
    write(
        "start",
        [
            Figure("muster-help-s", ours, "s", "chaos --help", ours / peer),
            Figure("sandbox-up-s", statistics.median(ups), "s"),
            Figure("main-drill-s", drill, "s"),
        ],
    )


if __name__ == "__main__":
    main()
