"""Kills and freezes at random points across every fault: a light run each, and whatever it may have left.

A run here is a run without its load: a supervisor that keeps a real guardian, and a runner that injects one fault as a
drill does. Both are forked from this process, which has imported everything, so that hundreds of them fit in minutes.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil
import yaml

from chaoslib_ext.faults import classes
from chaoslib_ext.guardian.start import LEASE_S
from chaoslib_ext.world import World
from drills import ledger, registry
from drills.errors import MusterError
from drills.evidence import new_run_id
from tests import miniature
from tests.crash import Missed, Place, emptied, strays, until

Role = Literal["supervisor", "runner", "guardian", "both", "abort"]
ROLES: tuple[Role, ...] = ("supervisor", "runner", "guardian", "both", "abort")
"""Who is struck: one process, supervisor and guardian together, or nobody: a person aborts the run."""

POINTS = ("start", "intent", "intent", "applied", "in_effect", "in_effect", "in_effect", "undoing")
"""What the strike follows, drawn from these: the guardian's start, or the fault's state in the ledger."""

SPREAD_S = {"start": 0.1, "intent": 0.02, "applied": 0.05, "in_effect": 0.3, "undoing": 0.01}
"""The strike falls at random within so many seconds after it."""

RUN_S = 45.0
SETTLE_S = 90.0
"""An instance that was killed must be up again within this, on the busiest machine."""

DRAWS: dict[str, tuple[dict[str, Any], ...]] = {
    "network.cut": ({"link": "gateway-engine"}, {"link": "engine-bus"}),
    "network.latency": ({"link": "gateway-engine", "ms": 20}, {"link": "engine-bus", "ms": 5, "toward": "down"}),
    "network.partition": ({"between": ["tyo-a", "tyo-b"]}, {"zone": "tyo-b"}, {"from": "tyo-c", "to": "tyo-a"}),
    "process.kill": ({"instance": "gateway-0"}, {"service": "matching-engine", "role": "primary"}),
    "process.pause": ({"instance": "gateway-1"}, {"service": "matching-engine", "role": "primary"}),
}
"""Parameters that are tried, by fault; a fault that is not named here is tried with its own sample."""


@dataclass(frozen=True)
class Point:
    """One strike: on which fault, at whom, how, and when."""

    fault: str
    params: Mapping[str, Any]
    role: Role
    signum: signal.Signals
    moment: str
    after_s: float

    def __str__(self) -> str:
        return f"{self.fault:24} {self.role:10} {self.signum.name:8} {self.moment:9} +{self.after_s * 1e3:3.0f} ms"


@dataclass(frozen=True)
class Outcome:
    """What followed: milliseconds from the strike to the last verified undo (None: nothing was open), what was left."""

    point: Point
    undone_ms: float | None
    seconds: float
    left: Sequence[str] = field(default_factory=tuple)


def takable(world: World) -> dict[str, tuple[dict[str, Any], ...]]:
    """Every registered fault that this sandbox can take, with the parameters to draw from."""
    up = set(world.describe.get("features") or ())
    return {name: draws(name) for name, info in sorted(registry.faults.items()) if info.needs <= up and name in classes}


def draws(fault: str) -> tuple[dict[str, Any], ...]:
    """Parameters of a fault: those of the table, else the ones of its sample."""
    if fault in DRAWS:
        return DRAWS[fault]
    ((_, named),) = yaml.safe_load(classes[fault].sample).items()
    return (dict(named[fault] or {}),)


def points(faults: Mapping[str, Sequence[dict[str, Any]]], rng: random.Random) -> Iterator[Point]:
    """Strikes without end: every fault in turn, everything else at random."""
    while True:
        names = list(faults)
        rng.shuffle(names)
        for name in names:
            role = rng.choice(ROLES)
            frozen = role != "abort" and rng.random() < 0.3
            struck = signal.SIGTERM if role == "abort" else signal.SIGSTOP if frozen else signal.SIGKILL
            moment = rng.choice(POINTS if role != "abort" else POINTS[1:-1])
            yield Point(name, rng.choice(faults[name]), role, struck, moment, rng.uniform(0, SPREAD_S[moment]))


class Strike:
    """One run and the strike on it. Raises Missed where the run, or the one to be struck, had ended before."""

    def __init__(self, place: Place, world: World, point: Point) -> None:
        self.place, self.world, self.point = place, world, point
        self.dir = place.home / "campaign" / new_run_id()
        self.supervisor, self.runner = miniature.start(world, self.dir, point.fault, point.params)

    @property
    def book(self) -> ledger.Book:
        """Its ledger as it is now."""
        try:
            return ledger.read(self.dir / "ledger.ndjson")
        except MusterError:
            return ledger.Book()

    def run(self) -> Outcome:
        """Strike, wait until the run has come to its end, and look for what it left."""
        began = time.monotonic()
        try:
            self._await(self._reached)
            time.sleep(self.point.after_s)
            struck_ns = self._strike()
            self._until_over()
            refused = self._by_a_person() if self.point.role == "both" else []
            undone = [entry.undone_ns for entry in self.book.entries if entry.undone_ns]
            later = [(t_ns - struck_ns) / 1e6 for t_ns in undone if t_ns > struck_ns]
            return Outcome(self.point, max(later, default=None), time.monotonic() - began, (*refused, *self._left()))
        finally:
            self.close()

    def _reached(self) -> bool:
        if self.point.moment == "start":
            return bool(self.book.run_id)
        states = {"intent": 0, "applied": 1, "in_effect": 2, "undoing": 3}
        order = ("INTENT", "APPLIED", "IN_EFFECT", "UNDOING", "UNDONE", "VERIFIED")
        return any(order.index(str(one.state)) >= states[self.point.moment] for one in self.book.entries)

    def _await(self, what: Callable[[], bool]) -> None:
        found = until(lambda: what() or (self.ended and "over"), RUN_S, 0.001)
        if found in (None, "over"):
            raise Missed(f"{self.point}: the run {'had ended' if self.ended else 'hangs'}")

    @property
    def ended(self) -> bool:
        """Whether its supervisor has ended."""
        return not _lives(self.supervisor)

    def _guardian(self) -> int:
        lines = (self.dir / "ledger.ndjson").read_bytes().split(b"\n")
        started = [line for line in lines if b'"e":"start"' in line]
        return int(started[-1].split(b'"pid":')[1].split(b"}")[0].split(b",")[0])

    def _strike(self) -> int:
        role, signum = self.point.role, self.point.signum
        guardian = self._guardian()
        whom = {
            "supervisor": [self.supervisor],
            "runner": [self.runner],
            "guardian": [guardian],
            "both": [guardian, self.supervisor],
            "abort": [self.supervisor],
        }[role]
        if not all(_lives(pid) for pid in whom):
            raise Missed(f"{self.point}: it had ended")
        struck_ns = time.monotonic_ns()
        for pid in whom:
            os.kill(pid, signal.SIGKILL if pid == self.supervisor and role == "both" else signum)
        return struck_ns

    def _until_over(self) -> None:
        frozen = self.point.role == "supervisor" and self.point.signum is signal.SIGSTOP
        if frozen:
            until(lambda: bool(self.book.over) and not self.book.open(), LEASE_S + 10)
            os.kill(self.supervisor, signal.SIGCONT)
        until(lambda: self.ended, RUN_S)
        if self.point.role != "both":
            until(lambda: not list((self.place.home / "open").glob("*.json")), RUN_S)

    def _by_a_person(self) -> list[str]:
        done = self.place.muster("undo", "--all")
        return [f"muster undo --all ended with {done.returncode}: {done.stderr}"] if done.returncode else []

    def _left(self) -> tuple[str, ...]:
        before: Mapping[str, Any] = self.place.before
        left = emptied(lambda: _difference(self.world, before), SETTLE_S)
        left += [f"process {one}" for one in emptied(lambda: strays(self.place, self.dir), 3.0)]
        left += [f"{one.fault_id} is {one.state}" for one in self.book.open()]
        return (*left, *(f"marker {path.name}" for path in (self.place.home / "open").glob("[!.]*")))

    def close(self) -> None:
        """End whatever is left of it, so that the next one finds a whole sandbox."""
        for pid in (self.supervisor, self.runner):
            if _lives(pid):
                os.kill(pid, signal.SIGKILL)
        miniature.reap(self.supervisor)
        if _difference(self.world, self.place.before):
            for entry in self.book.entries:  # what leaked is counted once
                miniature.mend(entry.recipes)
        if list((self.place.home / "open").glob("*.json")):
            self.place.muster("undo", "--all")


def _difference(world: World, before: Mapping[str, Any]) -> list[str]:
    try:
        return World.diff(before, world.snapshot())
    except MusterError as error:
        return [str(error)]


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


# -- the peer ----------------------------------------------------------------------------------------------------------

PEER_AFTER_S = 4.0
"""What plain Chaos Toolkit has not rolled back so long after the strike, nobody will roll back."""


@dataclass(frozen=True)
class PeerOutcome:
    """What a strike on plain `chaos run` left in the system."""

    point: Point
    left: Sequence[str]


def peer(place: Place, world: World, point: Point, describe: Path) -> PeerOutcome:
    """The same fault as an ordinary experiment with its rollback, under plain `chaos run`, struck at the same point.

    It has one process: whoever is struck in a run of ours, here it is that one.
    """
    folder = place.home / "peer" / new_run_id()
    folder.mkdir(parents=True)
    argv = miniature.peer_command(folder, describe, point.fault, point.params)
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            argv, cwd=folder, env=place.env, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
    try:
        marks = {"start": "planned", "intent": "planned", "applied": "applied", "in_effect": "applied"}
        mark = folder / marks.get(point.moment, "undoing")
        found = until(lambda: mark.exists() or (process.poll() is not None and "over"), RUN_S, 0.001)
        if found in (None, "over"):
            raise Missed(f"{point}: the experiment had ended")
        time.sleep(point.after_s)
        process.send_signal(point.signum)
        if point.signum is signal.SIGTERM:
            until(lambda: process.poll() is not None, RUN_S)
        left = emptied(lambda: _difference(world, place.before), PEER_AFTER_S)
        return PeerOutcome(point, left)
    finally:
        process.kill()
        process.wait()
        miniature.peer_mend(folder)
        emptied(lambda: _difference(world, place.before), SETTLE_S)
