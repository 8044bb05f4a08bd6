"""Kills and freezes at random points across every fault: what is left behind, and how soon is it undone?

`python -m benchmarks.bench_crash [-n 200] [--peer N] [--whole 1] [--seed N] [--features kubernetes,aws,sgp]` strikes
supervisor, runner, guardian or both of light runs (no load), each with one fault that the sandbox can take, by SIGKILL
or SIGSTOP at a random point, or aborts the run. Then it does the same to plain `chaos run`, whose experiments undo by
their own rollbacks (strategy always). `--whole` kills supervisor, runner, load and guardian of whole runs with traffic,
so many each. After each, no trace of the fault, process of the run, open ledger entry or marker may be left; where
supervisor and guardian were both struck, after `muster undo --all`. Writes benchmarks/out/crash.json; the last line is
the figure. Exit code 1 when anything was left behind, or an undo took longer than its limit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.results import Figure, write
from chaoslib_ext import needs
from chaoslib_ext.guardian.start import LEASE_S
from chaoslib_ext.names import load_names
from drills import registry
from tests import crash
from tests.campaign import Outcome, PeerOutcome, Strike, peer, points, takable
from tests.crash import Crash, Missed, Place

QUICK_PLANES = ("process", "network")
"""Planes whose undo is one request or signal: the limits below are for their faults."""

LIMITS_MS = {"abort": 250.0, "killed": 100.0, "frozen": LEASE_S * 1000 + 200.0}
"""From abort, kill -9 and freeze of the supervisor to the last verified undo."""

MISSES = 3
"""So many draws in a row may fall behind the end of what they were to strike."""


@dataclass
class Campaign:
    """All that was struck."""

    ours: list[Outcome] = field(default_factory=list)
    peers: list[PeerOutcome] = field(default_factory=list)
    whole: list[Crash] = field(default_factory=list)
    faults: int = 0


def strike(place: Place, count: int, rng: random.Random) -> list[Outcome]:
    """So many strikes on runs of ours, a line each; one that came too late is drawn again."""
    assert place.world is not None
    found: list[Outcome] = []
    misses = 0
    for point in points(takable(place.world), rng):
        if len(found) == count:
            break
        try:
            one = Strike(place, place.world, point).run()
        except Missed as missed:
            misses += 1
            print(f"missed: {missed}", flush=True)
            if misses > MISSES * count:
                raise
            continue
        found.append(one)
        undone = "" if one.undone_ms is None else f"undone after {one.undone_ms:6.1f} ms"
        print(f"{len(found):3} {point}  {undone:26} {one.seconds:4.1f} s  {_left(one.left)}", flush=True)
    return found


def strike_peer(place: Place, ours: Sequence[Outcome], count: int, describe: Path) -> list[PeerOutcome]:
    """The first of the same points, on plain `chaos run`."""
    assert place.world is not None
    found = []
    for one in ours[:count]:
        try:
            found.append(peer(place, place.world, one.point, describe))
        except Missed as missed:
            print(f"missed: {missed}", flush=True)
            continue
        print(f"{len(found):3} {one.point}  chaos run   {_left(found[-1].left)}", flush=True)
    return found


def strike_whole(place: Place, runs: Path, count: int, rng: random.Random) -> list[Crash]:
    """So many kills of each process of whole runs with their load."""
    found: list[Crash] = []
    for role in [role for role in crash.ROLES for _ in range(count)]:
        for _ in range(MISSES):
            try:
                found.append(crash.crash(place, runs, role, rng))
            except Missed:
                continue
            print(f"{len(found):3} {role:10} {found[-1].moment:16} whole run   {_left(found[-1].left)}", flush=True)
            break
    return found


def _left(left: Sequence[str]) -> str:
    return "LEFT: " + "; ".join(left) if left else "nothing left"


def undone_ms(ours: Sequence[Outcome], what: str) -> list[float]:
    """Milliseconds from the strike to the last verified undo, of faults whose undo is one request or signal."""
    wanted = {
        "abort": ("abort", signal.SIGTERM),
        "killed": ("supervisor", signal.SIGKILL),
        "frozen": ("supervisor", signal.SIGSTOP),
    }[what]
    return [
        one.undone_ms
        for one in ours
        if one.undone_ms is not None
        and (one.point.role, one.point.signum) == wanted
        and registry.faults[one.point.fault].plane in QUICK_PLANES
    ]


def percentile(values: Sequence[float], q: float) -> float:
    """A percentile that is one of the values."""
    return float(np.percentile(values, q, method="inverted_cdf"))


def figures(done: Campaign) -> list[Figure]:
    """Leaks, ours beside the peer's, and times to the undo."""
    ours, peers = done.ours, done.peers
    leaked = sum(bool(one.left) for one in ours)
    theirs = sum(bool(one.left) for one in peers)
    beside = f"chaos run: {theirs} of {len(peers)} strikes leaked" if peers else None
    ratio = (leaked / len(ours)) / (theirs / len(peers)) if ours and theirs else None
    found = [
        Figure(f"leaked faults (of {len(ours)} strikes, {done.faults} faults)", leaked, "faults", beside, ratio),
        Figure(f"leaked faults under plain chaos run (of {len(peers)} strikes)", theirs, "faults"),
    ]
    for role, count in sorted(Counter(one.point.role for one in ours).items()):
        mine = sum(bool(one.left) for one in ours if one.point.role == role)
        found.append(Figure(f"leaked faults, {role} struck (of {count})", mine, "faults"))
    if done.whole:
        left = sum(bool(one.left) for one in done.whole)
        found.append(Figure(f"whole runs that left something (of {len(done.whole)})", left, "runs"))
    for what in LIMITS_MS:
        values = undone_ms(ours, what)
        if values:
            for name, q in (("p50", 50), ("p99", 99)):
                found.append(Figure(f"{what} to undone, {name} (n={len(values)})", percentile(values, q), "ms"))
    return found


def in_time(ours: Sequence[Outcome]) -> bool:
    """Whether every kind of strike was undone within its limit, 99 of 100 times."""
    measured = {what: undone_ms(ours, what) for what in LIMITS_MS}
    return all(percentile(values, 99) <= LIMITS_MS[what] for what, values in measured.items() if values)


def measure(args: argparse.Namespace) -> Campaign:
    """Everything, in one sandbox life."""
    rng = random.Random(args.seed)
    folder = Path(args.keep or tempfile.mkdtemp(prefix="muster-crash-")).absolute()
    os.environ["MUSTER_HOME"] = str(folder / "home")
    done = Campaign()
    try:
        with crash.sandbox(folder / "home", *needs.flags(args.features.split(","))) as place:
            assert place.world is not None
            describe = folder / "describe.json"
            describe.write_text(json.dumps(dict(place.world.describe)))
            done.faults = len(takable(place.world))
            done.ours = strike(place, args.n, rng)
            done.peers = strike_peer(place, done.ours, args.n if args.peer is None else args.peer, describe)
            done.whole = strike_whole(place, folder / "runs", args.whole, rng)
        return done
    finally:
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Measure, print and write; 0 when nothing was left and every undo was in time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=200, help="strikes on runs of ours")
    parser.add_argument("--peer", type=int, help="strikes on plain chaos run; as many by default")
    parser.add_argument("--whole", type=int, default=1, help="kills of each process of whole runs with traffic")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--features", default="", help="parts of the sandbox: kubernetes, aws, sgp, netns")
    parser.add_argument("--keep", metavar="DIR", help="keep everything there")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    load_names()
    done = measure(args)
    write("crash", figures(done))
    leaked = sum(bool(one.left) for one in done.ours) + sum(bool(one.left) for one in done.whole)
    peers = sum(bool(one.left) for one in done.peers)
    slow = {what: percentile(values, 99) for what in LIMITS_MS if (values := undone_ms(done.ours, what))}
    times = ", ".join(f"{what} {value:.0f} ms (limit {LIMITS_MS[what]:.0f})" for what, value in slow.items())
    total, faults = len(done.ours) + len(done.whole), done.faults
    said = f"leaked faults: {leaked} of {total} strikes on {faults} faults"
    said += f"; plain chaos run: {peers} of {len(done.peers)}" if done.peers else ""
    print(f"{said}; to undone, p99: {times or 'not measured'}")
    return 0 if not leaked and in_time(done.ours) else 1


if __name__ == "__main__":
    sys.exit(main())
