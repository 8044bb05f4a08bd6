"""Everything that belongs to one run while it goes on, and how its parts start: guardian, sampler, load, runner."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from chaoslib_ext.blast import radius
from chaoslib_ext.screen import Screen
from chaoslib_ext.supervisor import children
from chaoslib_ext.supervisor.children import Child
from chaoslib_ext.supervisor.environment import EnvironmentWatch
from chaoslib_ext.supervisor.guardianship import Guardianship
from chaoslib_ext.supervisor.guards import Facts, Guards, self_test
from chaoslib_ext.supervisor.options import load_s, longest_s
from chaoslib_ext.supervisor.record import Record
from chaoslib_ext.supervisor.sandboxes import DOWN, Sandbox
from chaoslib_ext.supervisor.signals import Signals
from chaoslib_ext.supervisor.watchers import Leader, RunnerLink, SampleWatch
from chaoslib_ext.world import World
from drills.clock import NS
from drills.errors import Aborted, ComponentError
from drills.events import EventLog, Kind
from drills.evidence import RunDir, write_atomic
from drills.plan import Plan
from probes import slo
from probes.live import LiveTail

if TYPE_CHECKING:
    from loadgen.config import LoadConfig

LOAD_READY_S = 90.0
"""A schedule of 300,000 operations is prepared in a few seconds on a healthy machine."""

FIRST_READING_S = 15.0
"""Most of it is the start of a Python process on a machine that starts three of them."""

FINISH_S = 180.0
"""The guardian allows this much after the longest run: undo, audit, verdict."""

NOWHERE = "http://127.0.0.1:9"
"""Where nobody answers: no call reaches a real account by accident."""

HIDDEN = ("truth_dir", "planted")
"""Parts of the description that a blind run does not keep."""


@dataclass
class Session:
    """One run. `began_ns` is when `muster run` was called."""

    plan: Plan
    run: RunDir
    sandbox: Sandbox
    record: Record
    screen: Screen
    signals: Signals
    began_ns: int
    guardian: Guardianship | None = None
    sampler: Child | None = None
    load: Child | None = None
    runner: RunnerLink | None = None
    before: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        self.world: World = self.sandbox.world
        self.live = LiveTail(self.run.live, self.plan.limits_ms)
        self.samples = SampleWatch(self.run.samples_log)
        self.slos = slo.known()
        self.guards = Guards(self.plan, self.slos)
        self.facts = Facts(started_ns=time.monotonic_ns(), live=self.live)
        named = {target.name for fault in self.plan.faults for target in fault.targets}
        touched = named.union(radius(self.plan, self.world.describe).instances)  # a zone takes what is in it along
        self.environment = EnvironmentWatch(self.world, touched, self.plan.services)

    def emit(self, kind: Kind, /, **data: object) -> None:
        """Record an event. Raises ComponentError where the disk fails, the first time."""
        self.record.emit(kind, **data)

    def refresh(self) -> None:
        """Read what children wrote since the last beat; leaders that changed become events."""
        self.live.refresh()
        known = self.samples.leader is not None
        for leader in self.samples.refresh():
            self._led(leader, first=not known)
            known = True
        self.facts.sampled_ns, self.facts.writers = self.samples.last_ns, self.samples.writers
        self.facts.load_ended = self.load.ended if self.load else None
        self.facts.sampler_ended = self.sampler.ended if self.sampler else None
        self.facts.environment_lost = self.environment.lost
        last = self.live.last
        if self.facts.load_ended or self.facts.sampler_ended or (last is not None and last.state == "failed"):
            self.record.check_room()
        for text in self.environment.news():
            self.emit(Kind.NOTE, text=text)

    def _led(self, leader: Leader, *, first: bool) -> None:
        self.emit(Kind.LEADER, instance=leader.instance, epoch=leader.epoch, t_ns=leader.t_ns, first=first)

    def start_guardian(self) -> None:
        """Take the scope and start the guardian. Raises Refused, FaultError."""
        scopes = [f"sandbox:{self.sandbox.describe['id']}"]
        self.guardian = Guardianship(self.run.path, scopes, longest_s(self.plan) + FINISH_S)
        if self.sandbox.owned:
            self.guardian.owns(DOWN)

    def test_guards(self) -> None:
        """Prove that a breach would stop this run. Raises Aborted where it would not."""
        stopped_ms = self_test(self.plan, self.slos)
        if stopped_ms is None:
            raise Aborted("guards", "their self-test did not stop a made-up breach; nothing was touched")
        self.emit(Kind.GUARD_SELF_TEST, stopped_ms=stopped_ms)

    def start_sampler(self) -> None:
        """Start the sampler and wait for its first reading. Raises ComponentError."""
        self.before = self.world.snapshot()
        self.environment.start()
        config = {
            "out": str(self.run.samples_log),
            "live": str(self.run.live),
            "instances": self.sandbox.describe["instances"],
            "limits_ms": self.plan.limits_ms,
        }
        path = self.run.logs / "sampler.json"
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, orjson.dumps(config))
        self.sampler = self._child("sampler", [sys.executable, "-m", "probes.sampler", str(path)])
        self._await(self.sampler, lambda: self.samples.leader is not None, FIRST_READING_S, "saw no leader")

    def start_load(self) -> None:
        """Start the load and wait until it sends. Raises ComponentError with what it said."""
        from loadgen import launch

        path = load_config(self.plan, self.run, self.sandbox.describe["venue"]).save()
        argv, env = launch.command(path), launch.environment(path)
        self.load = self._child("load", argv, env=env)

        def sends() -> bool:
            line = self.live.last
            if line is not None and line.state == "failed":
                raise ComponentError("load", line.reason or "failed without a reason")
            return line is not None and line.state == "running"

        self._await(self.load, sends, LOAD_READY_S, "sent nothing")
        self._announce_load()

    def _announce_load(self) -> None:
        plan, first = self.plan, self.live.last
        rate = (plan.trace.rate if plan.trace else 0.0) * plan.load.speed * plan.load.amplify
        times = f" × {plan.load.amplify}" if plan.load.amplify > 1 else ""
        self.emit(
            Kind.LOAD_STARTED,
            start_ns=first.t_ns if first else time.monotonic_ns(),
            rate=rate,
            trace=plan.trace.name if plan.trace else plan.load.trace,
            text=f"{rate:,.0f} op/s of {plan.trace.name if plan.trace else plan.load.trace}{times}, {plan.load.outage}",
        )

    def start_runner(self) -> None:
        """Start the runner, which gets ready and waits for `go`. Raises ComponentError."""
        self.runner = self._runner()

    def complete(self, phase: int, steps: Sequence[str]) -> None:
        """Start another runner, in the place of one that was ended, for these steps of a phase's SOP."""
        self.runner = self._runner("--complete", str(phase), *steps)
        self.runner.go()

    def _runner(self, *words: str) -> RunnerLink:
        assert self.guardian is not None
        argv = [sys.executable, "-m", "chaoslib_ext.ctk.runner", str(self.run.path), *words]
        described = self.sandbox.describe
        env = {
            "MUSTER_GUARDIAN": self.guardian.socket,
            # nothing that reads these by default may find another cluster or account
            "KUBECONFIG": str((described.get("kubernetes") or {}).get("kubeconfig") or os.devnull),
            "AWS_ENDPOINT_URL": str((described.get("aws") or {}).get("endpoint") or NOWHERE),
        }
        return RunnerLink(self._child("runner", argv, pipes=True, env=env))

    def go(self) -> None:
        """Let the phases begin."""
        assert self.runner is not None
        self.facts.started_ns = time.monotonic_ns()
        self.runner.go()

    def abandon(self) -> None:
        """Leave nothing behind whatever happened to us: children ended, faults undone; idempotent."""
        self.environment.stop()
        for child in (self.runner.child if self.runner else None, self.load, self.sampler):
            if child is not None:
                child.kill()
        if self.load is not None and self.plan.load.workers > 1:
            from loadgen import launch

            launch.end_workers(self.run.path, 0.0)
        if self.guardian is not None:
            self.guardian.close()

    def _child(self, role: str, argv: list[str], *, pipes: bool = False, env: Mapping[str, str] | None = None) -> Child:
        child = children.start(role, argv, self.run.logs / f"{role}.log", pipes=pipes, env=env)
        if self.guardian is not None:
            self.guardian.adopt(child)
        return child

    def _await(self, child: Child, ready: Any, within_s: float, otherwise: str) -> None:  # noqa: ANN401 - a predicate
        """Until `ready()` holds; a signal, the child's end and the deadline raise."""
        deadline = time.monotonic_ns() + int(within_s * NS)
        while True:
            self.refresh()
            if ready():
                return
            if self.signals.stop:
                raise Aborted(self.signals.name(), "asked to stop before any fault")
            if child.ended is not None:
                raise ComponentError(child.role, f"{child.ended}: {child.last_words() or 'it said nothing'}")
            if time.monotonic_ns() > deadline:
                words = child.last_words()
                raise ComponentError(child.role, f"{otherwise} within {within_s:g} s" + (f": {words}" if words else ""))
            if self.guardian is not None:
                self.guardian.alive()
            time.sleep(0.02)

    def write_plan(self) -> None:
        """Write plan.json and the description of where it runs, before anything is touched."""
        write_atomic(self.run.plan, self.plan.model_dump_json(indent=1).encode())
        shown = {key: value for key, value in self.sandbox.describe.items() if key not in HIDDEN}
        write_atomic(self.run.environment, orjson.dumps(shown, option=orjson.OPT_INDENT_2))


def load_config(plan: Plan, run: RunDir, venue: Mapping[str, Any]) -> LoadConfig:
    """What the load of a plan is told. Raises DefinitionError where it is to dial names and there are none."""
    from loadgen.config import LoadConfig
    from loadgen.venues.named import by_name

    load = plan.load
    return LoadConfig(
        run_id=run.run_id,
        run_dir=run.path,
        trace=plan.trace.path if plan.trace else load.trace,
        transform=load.transform,
        speed=load.speed,
        amplify=load.amplify,
        jitter_ms=load.jitter * 1000,
        sessions=load.sessions,
        seed=load.seed,
        workers=load.workers,
        outage=load.outage,
        venue=by_name(venue) if load.dial == "name" else dict(venue),
        timeout_ms=plan.client_timeout_ms,
        limits_ms=plan.limits_ms,
        duration_s=load_s(plan),
    )


def new_session(plan: Plan, folder: Path, sandbox: Sandbox, screen: Screen, signals: Signals, began_ns: int) -> Session:
    """Make the run's folder and its event log, and record what it is about to do."""
    run = RunDir(folder)
    run.logs.mkdir(parents=True)
    events = EventLog(run.events)
    events.subscribe(screen.handle)
    session = Session(plan, run, sandbox, Record(run, events, screen), screen, signals, began_ns)
    session.write_plan()
    return session
