"""How far the verdict is from what really happened: T4, T5 and the count of lost operations against the truth log.

`python -m benchmarks.bench_truth [-n 20] [--only clean|w01] [--keep DIR]` kills the primary n times, once as built and
once with W01 planted (answers before they are replicated), with the short drill of benchmarks/drills/, and writes
benchmarks/out/truth.json. One run takes about 25 s; after 5 of them the sandbox is made anew, since an engine that
comes back reads the whole log and the runs would grow longer and longer.

Every kill counts, whatever its verdict; a run in which nobody was killed (the baseline was not steady) is repeated and
counted apart. Exit code 1 when a figure misses its limit: error p95 <= 50 ms, every count exact.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.results import Figure, write
from benchmarks.truthrule import Compared, compare

DRILL = Path(__file__).parent / "drills" / "primary-kill-short.yaml"
LIMIT_MS = 50.0
RUN_S = 180.0
"""Longer than the guard of the drill and everything after it."""


class Spoiled(Exception):
    """A run without a kill; the message says why."""


@dataclass(frozen=True, slots=True)
class Options:
    """`n` kills, `per_life` of them in one sandbox life; what is written lies under `folder`."""

    n: int
    per_life: int
    folder: Path
    keep: bool


@contextmanager
def sandbox(home: Path, plant: str | None = None) -> Iterator[dict[str, str]]:
    """A sandbox of its own under `home`, taken down at the end; yields the environment that finds it."""
    home.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "MUSTER_HOME": str(home)}
    argv = [sys.executable, "-m", "sandbox"]
    planted = ["--plant", plant] if plant else []
    subprocess.run([*argv, "up", "--owner-pid", str(os.getpid()), *planted], check=True, env=env, capture_output=True)
    try:
        yield env
    finally:
        subprocess.run([*argv, "down"], check=True, env=env, capture_output=True)


def run_drill(env: dict[str, str], runs: Path) -> Path:
    """Run the short drill in the sandbox that is up; its run directory. Raises Spoiled where it left none."""
    place = runs / DRILL.stem
    before = set(place.iterdir()) if place.exists() else set()
    argv = [str(Path(sys.executable).with_name("muster")), "run", str(DRILL), "--runs", str(runs)]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=RUN_S, check=False)
    made = sorted(set(place.iterdir()) - before) if place.exists() else []
    if not made or not (made[-1] / "verdict.json").exists():
        raise Spoiled(f"exit code {done.returncode}: {(done.stderr.strip().splitlines() or ['said nothing'])[-1]}")
    return made[-1]


@dataclass(frozen=True, slots=True)
class Series:
    """The kills of one sandbox life; `loads` is the load average of a minute before each, `spoiled` counts repeats."""

    name: str
    kills: list[Compared]
    loads: list[float]
    seconds: list[float]
    spoiled: int

    def errors(self, mark: str) -> list[float]:
        """Errors of T4 or T5 in milliseconds; infinite where one side never reached it and the other did."""
        found: list[float] = []
        for kill in self.kills:
            error = kill.t4_error_ms if mark == "t4" else kill.t5_error_ms
            pair = kill.t4_s if mark == "t4" else kill.t5_s
            found.append(error if error is not None else 0.0 if pair == (None, None) else float("inf"))
        return found

    def exact(self) -> int:
        """In how many kills the verdict's count and operations are those of the truth."""
        return sum(kill.rpo_exact for kill in self.kills)


def p95(values: Sequence[float]) -> float:
    """The smallest value that at least 95 % of the values do not exceed (nearest rank)."""
    return float(np.percentile(values, 95, method="inverted_cdf"))


def measure(name: str, plant: str | None, options: Options) -> Series:
    """`n` kills, `per_life` of them in each sandbox life, a line each; gives up after as many spoiled runs."""
    series = Series(name, [], [], [], 0)
    spoiled = 0
    while len(series.kills) < options.n and spoiled <= options.n:
        until = min(options.n, len(series.kills) + options.per_life)
        with sandbox(options.folder / f"home-{name}", plant) as env:
            while len(series.kills) < until and spoiled <= options.n:
                load, began = os.getloadavg()[0], time.monotonic()
                try:
                    run_dir = run_drill(env, options.folder / name)
                    kill = compare(run_dir)
                except (Spoiled, ValueError) as error:
                    spoiled += 1
                    print(f"{name:6} spoiled: {error}", flush=True)
                    continue
                series.kills.append(kill)
                series.loads.append(load)
                series.seconds.append(time.monotonic() - began)
                print(row(name, len(series.kills), kill, load, series.seconds[-1]), flush=True)
                if not options.keep:
                    shutil.rmtree(run_dir)
    return Series(name, series.kills, series.loads, series.seconds, spoiled)


def row(name: str, number: int, kill: Compared, load: float, seconds: float) -> str:
    """One kill on one line."""

    def pair(values: tuple[float | None, float | None], error: float | None) -> str:
        shown = "/".join("never" if value is None else f"{value:.4f}" for value in values)
        return f"{shown} s" + ("" if error is None else f" off {error:6.2f} ms")

    return (
        f"{name:6} {number:3} {kill.run_id} {kill.victim} {kill.verdict:12} "
        f"T4 {pair(kill.t4_s, kill.t4_error_ms)}  T5 {pair(kill.t5_s, kill.t5_error_ms)}  "
        f"(± {(kill.stated_error_s or 0) * 1e3:.0f})  T0 off {kill.t0_off_ms:.2f} ms  "
        f"lost {kill.lost}/{len(kill.true_lost_ids)} {'exact' if kill.rpo_exact else 'WRONG'} of {kill.acked} acked, "
        f"{kill.acked_unread} unread, audit {'=' if kill.audit_matches else 'DIFFERS'}  "
        f"load {load:.2f}  {seconds:.0f} s"
    )


def figures(series: Series, *, timing: bool) -> list[Figure]:
    """The figures of one sandbox life; times only of the sandbox as built."""
    kills = series.kills
    found = [
        Figure(f"rpo-exact-{series.name}", series.exact(), f"of {len(kills)}"),
        Figure(f"lost-{series.name}", sum(kill.lost or 0 for kill in kills), "operations"),
        Figure(f"lost-in-truth-{series.name}", sum(len(kill.true_lost_ids) for kill in kills), "operations"),
        Figure(f"acked-{series.name}", sum(kill.acked for kill in kills), "operations"),
        Figure(f"acked-unread-{series.name}", sum(kill.acked_unread for kill in kills), "operations"),
        Figure(f"audit-exact-{series.name}", sum(kill.audit_matches for kill in kills), f"of {len(kills)}"),
    ]
    for mark in ("t4", "t5") if timing else ():
        errors = series.errors(mark)
        found += [
            Figure(f"{mark}-error-p95-ms", p95(errors), "ms"),
            Figure(f"{mark}-error-p50-ms", float(np.median(errors)), "ms"),
            Figure(f"{mark}-error-max-ms", max(errors), "ms"),
        ]
    if timing:
        found.append(Figure("t5-within-stated-error", sum(kill.covered for kill in kills), f"of {len(kills)}"))
    return [
        *found,
        Figure(f"n-{series.name}", len(kills), "kills"),
        Figure(f"spoiled-{series.name}", series.spoiled, "runs"),
        Figure(f"run-seconds-{series.name}", float(np.median(series.seconds)), "s"),
        Figure(f"load-average-{series.name}", float(np.mean(series.loads)), "of " + str(os.cpu_count())),
    ]


def met(series: Series, n: int, *, timing: bool) -> bool:
    """Whether every limit is kept over n kills."""
    counted = len(series.kills) == n == series.exact() == sum(kill.audit_matches for kill in series.kills)
    return counted and (not timing or max(p95(series.errors("t4")), p95(series.errors("t5"))) <= LIMIT_MS)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=20, help="kills of each of the two sandboxes (default 20)")
    parser.add_argument("--per-life", type=int, default=5, help="kills in one sandbox life (default 5)")
    parser.add_argument("--only", choices=("clean", "w01"), help="one of the two only; writes no file")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the run directories there")
    asked = parser.parse_args(argv)
    found: list[Figure] = []
    fine = True
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep.absolute() if asked.keep else Path(scratch)
        options = Options(asked.n, asked.per_life, folder, asked.keep is not None)
        for name, plant in (("clean", None), ("w01", "W01")):
            if asked.only in (None, name):
                series = measure(name, plant, options)
                if not series.kills:
                    return 1
                found += figures(series, timing=plant is None)
                fine &= met(series, asked.n, timing=plant is None)
    if asked.only is None:
        write("truth", found)
    else:
        for figure in found:
            print(f"{figure.name:32} {figure.value:>14,.3f} {figure.unit}")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
