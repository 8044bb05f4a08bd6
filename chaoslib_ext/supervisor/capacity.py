"""`muster capacity`: steps of real replays against an environment, until it breaks or the budget is over."""

from __future__ import annotations

import math
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from chaoslib_ext.policy import enforce_traffic
from chaoslib_ext.supervisor import children, folders
from chaoslib_ext.supervisor.children import Child
from chaoslib_ext.supervisor.replaying import environment_of, venue_of
from chaoslib_ext.supervisor.sandboxes import Interrupted, obtain
from chaoslib_ext.supervisor.signals import Signals
from chaoslib_ext.world import World
from drills.errors import ComponentError, ExitCode, MusterError, UsageError
from drills.evidence import RunDir, new_run_id, sha256_file
from drills.model import Environment
from loadgen import launch, outcome, witness
from loadgen import trace as traces
from loadgen.capacity import measure, record
from loadgen.capacity.answer import Answer, Question, conclude
from loadgen.capacity.drive import Walk, drive
from loadgen.capacity.record import About
from loadgen.capacity.search import Terms, rounded
from loadgen.capacity.slo import Slo
from loadgen.capacity.step import Step, judge
from loadgen.capacity.usage import Sampler
from loadgen.config import LIMITS_MS, LoadConfig
from loadgen.trace import Trace

WARM_UP_S = 2.0
BEAT_S = 0.05
GRACE_S = 10.0
MOST = {"speed": 1000.0, "amplify": 20.0}
"""Times the recorded rate that a replay can be made to offer, by either way."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """The command line of one `muster capacity`; rates in operations a second, None: by the trace."""

    trace: str
    slo: Slo
    environment: str = "sandbox"
    venue_type: str | None = None
    start: float | None = None
    top: float | None = None
    step_s: float = 8.0
    repeat: int = 6
    by: str = "speed"
    budget_s: float = 300.0
    workers: int = 1
    runs: Path = Path("runs")


@dataclass(frozen=True)
class Found:
    """A search that is over: its folder, its JSON as written, and what the command ends with."""

    folder: Path
    data: dict[str, Any]
    steps: list[Step]
    answer: Answer
    code: ExitCode


def run(wish: Wish, say: Say, each: Callable[[Step], None]) -> Found:
    """Search; `each` hears of every finished step. What is known so far is written whatever ends it.

    Raises MusterError where not one step could be finished, and where the load or the venue failed on the way.
    """
    environment = environment_of(wish.environment)
    if wish.venue_type is not None and environment.kind != "embedded":
        raise UsageError(f"--venue-type chooses how the sandbox is spoken to; {wish.environment} says it itself")
    recorded = traces.read(wish.trace)
    enforce_traffic(recorded, environment)
    terms = _terms(wish, recorded)
    folder = folders.of_a_new_run(wish.runs, f"capacity-{recorded.name}")
    with Signals() as signals:
        try:
            with _venue(environment, signals, say) as (world, venue):
                if wish.venue_type is not None:
                    venue["type"] = wish.venue_type
                return _Search(wish, environment, recorded, terms, folder, world, venue, signals).run(each)
        except Interrupted as error:
            if signals.interrupted:
                raise KeyboardInterrupt from error
            raise


def _terms(wish: Wish, recorded: Trace) -> Terms:
    if not recorded.rows:
        raise UsageError(f"{wish.trace}: an empty trace offers nothing at any rate")
    highest = recorded.rate * MOST[wish.by]
    top = rounded(highest * 0.999 if wish.top is None else wish.top)
    if top > highest * 1.001:
        raise UsageError(
            f"--to {top:g}: by {wish.by} this trace can be played at no more than {highest:,.0f} op/s; "
            "write less" + (", or --by speed" if wish.by == "amplify" else ", or make a denser trace")
        )
    start = min(rounded(recorded.rate / 2), top) if wish.start is None else wish.start
    if start > top:
        raise UsageError(f"--from {start:g} is more than --to {top:g}")
    sessions = recorded.sessions * (math.ceil(start / recorded.rate) if wish.by == "amplify" else 1)
    if wish.workers > sessions:
        raise UsageError(f"--workers {wish.workers}: the load has only {sessions} sessions to share at {start:g} op/s")
    return Terms(start, top, wish.repeat)


@contextmanager
def _venue(environment: Environment, signals: Signals, say: Say) -> Iterator[tuple[World | None, dict[str, Any]]]:
    """Where to play: the sandbox that is up, or one for this search; or the venue that the environment describes."""
    if environment.kind != "embedded":
        yield None, venue_of(environment)
        return
    sandbox = obtain(None, signals, say)
    try:
        yield sandbox.world, dict(sandbox.describe["venue"])
    finally:
        if sandbox.owned:
            say("stopping the sandbox")
        sandbox.stop()


class _Search:
    def __init__(
        self,
        wish: Wish,
        environment: Environment,
        recorded: Trace,
        terms: Terms,
        folder: Path,
        world: World | None,
        venue: dict[str, Any],
        signals: Signals,
    ) -> None:
        # the audit of a replay is not read here, so nobody needs to know where its record began
        self._venue = {name: value for name, value in venue.items() if name != "audit"}
        self._wish, self._environment, self._recorded = wish, environment, recorded
        self._terms, self._folder, self._world, self._signals = terms, folder, world, signals
        self._path = traces.resolve(wish.trace).absolute()
        self._correct: frozenset[str] | None = None
        self._walk = Walk()
        self._question = Question(wish.slo, recorded.rate, terms.top, wish.workers)
        self._about = About(
            id=folder.name,
            trace=recorded.name,
            sha256=sha256_file(self._path),
            environment=environment.environment,
            venue_type=str(venue["type"]),
            by=wish.by,
            start=terms.start,
            warm_up_s=WARM_UP_S,
            step_s=wish.step_s,
            repeat=wish.repeat,
            budget_s=wish.budget_s,
            limits_ms=dict(LIMITS_MS),
            services={one.name: one.service for one in world.instances} if world else {},
        )

    def run(self, each: Callable[[Step], None]) -> Found:
        """All steps; what ends them early is told only once everything that is known is written."""

        def told(step: Step) -> None:
            self._write(over=False)
            each(step)

        code = ExitCode.INTERRUPTED
        try:
            drive(self._walk, self._terms, self._wish.budget_s, self._step, told)
        except Interrupted:
            code = ExitCode.INTERRUPTED if self._signals.interrupted else ExitCode.ABORTED
        except MusterError as error:
            if not self._walk.steps:
                raise
            self._walk.ended = f"failed: {error}"
            code = error.exit_code
        answer, data = self._write(over=True)
        if self._walk.ended in ("searched", "budget"):
            code = ExitCode.PROVEN if answer.conclusive else ExitCode.INCONCLUSIVE
        return Found(self._folder, data, self._walk.steps, answer, code)

    def _write(self, *, over: bool) -> tuple[Answer, dict[str, Any]]:
        self._folder.mkdir(exist_ok=True)
        answer = conclude(self._question, self._walk.steps, self._walk.ended)
        ended = self._walk.ended if over else None
        data = record.document(self._about, self._question, self._walk.steps, answer, ended)
        record.save(self._folder, data)
        return answer, data

    def _step(self, number: int, rate: float) -> Step:
        """Play one step and read what it left; raises Interrupted, ComponentError."""
        if self._signals.stop:
            raise Interrupted(self._signals.name(), "no further step was begun")
        amplify = math.ceil(rate / self._recorded.rate - 1e-9) if self._wish.by == "amplify" else 1
        speed = rate / self._recorded.rate / amplify
        config = LoadConfig(
            run_id=new_run_id(),
            run_dir=self._folder / "steps" / f"{number:02d}",
            trace=str(self._path),
            speed=speed,
            amplify=amplify,
            venue=self._venue,
            duration_s=WARM_UP_S + self._wish.step_s,
            workers=self._wish.workers,
            allow=self._environment.policy.operations,
        )
        if self._correct is None:
            self._correct = measure.business(self._recorded, config)
        sampler = Sampler(self._components())
        self._play(config, sampler)
        step_run = RunDir(config.run_dir)
        within = measure.span(step_run, WARM_UP_S, self._wish.step_s)
        witness.consolidate(step_run.path)
        seen = measure.read(step_run, within, self._wish.slo, config, self._correct)
        _tidy(step_run)
        found, why = judge(seen, self._wish.slo)
        return Step(number, rate, seen, found, why, speed, amplify, sampler.over(within.start_ns, within.end_ns))

    def _components(self) -> dict[str, tuple[int, float | None]]:
        """Pid and start time of every instance that runs; none where there is no node agent to ask."""
        found = self._world.agent.instances() if self._world else ()
        return {one.name: (one.pid, one.start_time) for one in found if one.pid}

    def _play(self, config: LoadConfig, sampler: Sampler) -> None:
        path, step_run = config.save(), RunDir(config.run_dir)
        command = launch.command(path)
        child = children.start("load", command, step_run.logs / "load.log", env=launch.environment(path))
        sampler.start(child.process.pid)
        try:
            self._follow(child)
        finally:
            sampler.stop()
            for one in launch.left(step_run.path):
                _kill(one)
            child.kill()
        if self._signals.stop:
            raise Interrupted(self._signals.name(), "the step that went on is left out")
        if child.process.returncode != 0:
            last = outcome.last_line(step_run.live) or {}
            said = last.get("reason") or child.last_words() or f"{child.ended} and said nothing"
            raise ComponentError("load", str(said).removeprefix("load: "))

    def _follow(self, child: Child) -> None:
        asked_at: float | None = None
        while not child.wait(BEAT_S):
            if self._signals.stop and asked_at is None:
                asked_at = time.monotonic()
                child.process.terminate()
            if asked_at is not None and (self._signals.at_once or time.monotonic() > asked_at + GRACE_S):
                return


def _tidy(step_run: RunDir) -> None:
    """Remove what the consolidated witness says again: a search has many steps."""
    shutil.rmtree(step_run.witness_chunks, ignore_errors=True)
    for pattern in ("schedule*.arrow", "cursor*.bin"):
        for path in step_run.load.glob(pattern):
            path.unlink()


def _kill(process: psutil.Process) -> None:
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.Error:
        return  # it has ended by itself
