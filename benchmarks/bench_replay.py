"""The replay beside stock Locust and GoReplay's pacing, all on one stub venue; medians of several runs.

`python -m benchmarks.bench_replay [--runs N] [NAME ...]` measures only the figures named, and writes only those. What
counts as a message and as CPU time stands in benchmarks/throughput.py; the load process is the one that users run.

* send-lag-p99-ms: WebSocket JSON at half the highest rate, in steps of a fifth, at which the schedule is kept (lag p99
  within five ticks), after a second of warm-up. That is less than half of ws-json, where a tick may take any time.
* stall-p99-error: the venue answers nothing for 2 s of 10 s. The 99th percentile of the witness, counted from the
  schedule, against the one that follows from the stub's own note of the stall. Locust's own word stands beside.
* pacing-drift: last send against the schedule, at 1,000 a second; GoReplay's way of pacing stands beside.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import honesty, throughput
from benchmarks.peers import gor, locusts
from benchmarks.play import Played, play
from benchmarks.results import Figure, write
from benchmarks.stub.venue import Stall, Stub, cores, pinned, stub
from benchmarks.throughput import SIDES, TRACE
from loadgen import trace

RUNS = 5
RATE, SECONDS = 1000.0, 10.0
STALL = Stall(4.0, 2.0)
LAG_SECONDS, WARM_UP_S = 5.0, 1.0
KEPT_MS, STEP = 5.0, 0.8
"""Capacity at one-millisecond ticks: the highest rate, in steps of a fifth, with a lag p99 within five ticks."""


def _say(line: str) -> None:
    print(line, flush=True)


def _play(target: Stub, folder: Path, rate: float, seconds: float) -> Played:
    """The bundled recording over WebSocket at `rate`."""
    with pinned(cores().generator):
        return play(target.venue("sandbox", folder), folder, TRACE, seconds, speed=rate / trace.read(TRACE).rate)


def _lag(target: Stub, folder: Path, rate: float) -> float:
    # on any core, as users run it: what writes the witness may use the other one
    played = play(target.venue("sandbox", folder), folder, TRACE, LAG_SECONDS, speed=rate / trace.read(TRACE).rate)
    return honesty.lag_p99_ms(honesty.read(played.witness), WARM_UP_S)


def send_lag(folder: Path, runs: int) -> list[Figure]:
    """Lag at half the highest rate of a ladder at which a millisecond's work is done within some milliseconds.

    Where throughput is all that counts a tick may take any time; here the schedule has to be kept.
    """
    lags = []
    with stub(folder) as target:
        capacity = 400_000.0
        while (lag := _lag(target, folder, capacity)) > KEPT_MS:
            _say(f"send-lag-p99-ms: {lag:.1f} ms at {capacity:,.0f}/s: the schedule is not kept")
            capacity *= STEP
        _say(f"send-lag-p99-ms: {lag:.1f} ms at {capacity:,.0f}/s: capacity")
        for number in range(runs):
            lags.append(_lag(target, folder, capacity / 2))
            _say(f"send-lag-p99-ms {number + 1}/{runs}: {lags[-1]:.3f} ms at {capacity / 2:,.0f}/s")
    return [Figure("send-lag-p99-ms", statistics.median(lags), "ms"), Figure("send-lag at", capacity / 2, "1/s")]


def stall(folder: Path, runs: int) -> list[Figure]:
    """A stall as we tell it, as it was, and as Locust tells it."""
    told, true, locust, errors = [], [], [], []
    for number in range(runs):
        with stub(folder, STALL) as target:
            record = honesty.read(_play(target, folder, RATE, SECONDS).witness)
            told.append(honesty.p99_ms(record))
            true.append(honesty.true_p99_ms(record, *target.stalled()))
            errors.append(abs(told[-1] / true[-1] - 1))
        with stub(folder, STALL) as target:
            users = trace.read(TRACE).sessions
            with locusts.locust(target, "http_user", folder, users, pace=RATE):
                time.sleep(SECONDS)
            target.stalled()
            locust.append(locusts.last_word(folder)["p99_ms"])
        _say(f"stall {number + 1}/{runs}: {told[-1]:.1f} ms, truth {true[-1]:.1f} ms, stock Locust {locust[-1]:.0f} ms")
    return [
        Figure("stall-p99-error", statistics.median(errors) * 100, "%"),
        Figure("stall-p99: ours", statistics.median(told), "ms"),
        Figure("stall-p99: truth", statistics.median(true), "ms"),
        Figure("stall-p99: stock Locust, FastHttpUser", statistics.median(locust), "ms"),
    ]


def drift(folder: Path, runs: int) -> list[Figure]:
    """How far a replay of 10 s runs over."""
    mine, theirs = [], []
    with stub(folder) as target:
        for number in range(runs):
            record = honesty.read(_play(target, folder, RATE, SECONDS).witness)
            mine.append(abs(honesty.drift(record)))
            theirs.append(gor.pace(target, (record.intended - record.intended[0]).astype(np.int64)).drift)
            _say(f"pacing-drift {number + 1}/{runs}: {mine[-1]:.5%}, GoReplay's pacing {theirs[-1]:.1%}")
    return [
        Figure("pacing-drift", statistics.median(mine) * 100, "%"),
        Figure("pacing-drift: GoReplay's pacing", statistics.median(theirs) * 100, "%"),
    ]


def of_traces(_folder: Path, _runs: int) -> list[Figure]:
    """Reading and multiplying recordings: measured by the benchmark of traces."""
    from benchmarks import bench_trace

    return [figure for figure in bench_trace.figures() if figure.name in ("trace-load-s", "amplify-s")]


def parts() -> dict[str, Callable[[Path, int], list[Figure]]]:
    """Every part by the name of its figure."""
    found: dict[str, Callable[[Path, int], list[Figure]]] = {
        side.name: partial(throughput.measure, side, say=_say) for side in SIDES
    }
    return found | {"send-lag-p99-ms": send_lag, "stall-p99-error": stall, "pacing-drift": drift, "traces": of_traces}


def main() -> None:
    """Measure and write benchmarks/out/replay.json."""
    parser = argparse.ArgumentParser(prog="benchmarks.bench_replay")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(parts()))
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(parts()):
        parser.error(f"no figure {min(unknown)!r}; there are {', '.join(parts())}")
    figures: list[Figure] = []
    for name in asked.names or parts():
        with tempfile.TemporaryDirectory() as folder:
            figures += parts()[name](Path(folder), asked.runs)
    write("replay", figures)


if __name__ == "__main__":
    main()
