"""Load on a fresh sandbox at rising rates: latency from the intended time, the send lag, and the knee.

The knee is the last rate of the ladder up to which every operation was answered, p99 stayed within 20 ms and the send
lag p99 within 5 ms. `python -m benchmarks.bench_sandbox_load RATE ...` climbs other rungs.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.play import Played, play, sandbox
from benchmarks.results import Figure, write
from loadgen import trace

LADDER = (500, 1000, 2000, 4000, 6000)
SECONDS = 8.0
WARM_UP_S = 1.0
TRACE = "linear-perp-1m"
P99_MS, LAG_MS, HOPELESS_MS = 20.0, 5.0, 500.0


@dataclass(frozen=True, slots=True)
class Rung:
    """What was seen at one offered rate; latencies and lags in ms from the intended time, after a second of warm-up."""

    rate: int
    offered: float
    answered: float  # share of the operations
    p50: float
    p99: float
    lag_p99: float
    cpu: float  # share of one core

    @property
    def held(self) -> bool:
        """Whether this rate is within the limits."""
        return self.answered == 1.0 and self.p99 <= P99_MS and self.lag_p99 <= LAG_MS


def measure(rate: int, played: Played) -> Rung:
    """The figures of one finished load."""
    table = pq.read_table(played.witness)
    intended = table["intended_ns"].to_numpy()
    warm = intended >= intended[0] + WARM_UP_S * 1e9
    sent, answered = (table[name].to_numpy(zero_copy_only=False)[warm] for name in ("sent_ns", "answered_ns"))
    intended = intended[warm]
    latency, lag = (answered - intended) / 1e6, (sent - intended) / 1e6
    p50, p99 = np.nanpercentile(latency, [50, 99])
    return Rung(
        rate=rate,
        offered=len(intended) / ((intended[-1] - intended[0]) / 1e9),
        answered=1 - float(np.isnan(latency).mean()),
        p50=float(p50),
        p99=float(p99),
        lag_p99=float(np.nanpercentile(lag, 99)),
        cpu=played.cpu_s / played.running_s,
    )


def climb(rates: list[int], venue: dict[str, Any], folder: Path) -> list[Rung]:
    """One load a rate, lowest first; ends where the venue is far beyond its knee."""
    recorded, rungs = trace.read(TRACE), []
    print(f"{'offered':>9} {'answered':>9} {'p50':>9} {'p99':>9} {'lag p99':>9} {'of a core':>9}")
    for rate in rates:
        rung = measure(rate, play(venue, folder, TRACE, SECONDS, speed=rate / recorded.rate))
        rungs.append(rung)
        line = f"{rung.offered:>7.0f}/s {rung.answered:>9.2%} {rung.p50:>6.2f} ms {rung.p99:>6.2f} ms"
        print(f"{line} {rung.lag_p99:>6.2f} ms {rung.cpu:>9.1%}", flush=True)
        if rung.p99 > HOPELESS_MS:
            break
    return rungs


def main(rates: list[int]) -> None:
    """Climb, print, and write benchmarks/out/sandbox_load.json."""
    with tempfile.TemporaryDirectory() as name, sandbox() as described:
        rungs = climb(sorted(rates), described["venue"], Path(name))
    held = list(itertools.takewhile(lambda rung: rung.held, rungs))
    figures = [Figure("knee", held[-1].rate if held else 0, "op/s")]
    for rung in rungs:
        figures += [
            Figure(f"p50 at {rung.rate}/s", rung.p50, "ms"),
            Figure(f"p99 at {rung.rate}/s", rung.p99, "ms"),
            Figure(f"send lag p99 at {rung.rate}/s", rung.lag_p99, "ms"),
            Figure(f"load process at {rung.rate}/s", rung.cpu, "cores"),
        ]
    write("sandbox_load", figures)


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or list(LADDER))
