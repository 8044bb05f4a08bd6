"""`muster replay` from its options to its outcome: one load, followed from its start to its last line."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psutil

from chaoslib_ext.names import load_environment
from chaoslib_ext.policy import enforce_traffic, enforce_window
from chaoslib_ext.supervisor import children, folders
from chaoslib_ext.supervisor.children import Child
from chaoslib_ext.supervisor.sandboxes import Sandbox, obtain
from chaoslib_ext.supervisor.signals import Signals
from drills.errors import Aborted, ComponentError, ExitCode, MusterError, Refused, UsageError
from drills.evidence import RunDir, write_atomic
from drills.model import Environment
from loadgen import launch, outcome, transform, witness
from loadgen import trace as traces
from loadgen.config import LoadConfig
from loadgen.launch import Face
from loadgen.outcome import Outcome
from probes.live import LiveTail, LiveView

BEAT_S = 0.05
GRACE_S = 30.0
"""So long a load that was asked to stop may take to write everything down."""

_ADDRESSES = ("ws", "rest", "binary", "fix", "http")


@dataclass(frozen=True)
class Wish:
    """The command line of one `muster replay`; `load` are fields of LoadConfig."""

    trace: str
    environment: str = "sandbox"
    venue_type: str | None = None
    duration_s: float | None = None
    transform: tuple[dict[str, Any], ...] = ()
    load: dict[str, Any] = field(default_factory=dict)
    face: Face = field(default_factory=Face)
    runs: Path = Path("runs")


@dataclass(frozen=True)
class Played:
    """A replay that is over: where its evidence lies, what became of it, and how it was ended."""

    run: RunDir
    outcome: Outcome
    code: ExitCode


Tick = Callable[[LiveView], None]
Say = Callable[[str], None]


def environment_of(reference: str) -> Environment:
    """The environment of that name or file, if it may be replayed against.

    Production never; elsewhere not outside the hours of the policy, nor where it asks for approvals. Raises UsageError,
    DefinitionErrors, Refused.
    """
    found = load_environment(reference)
    if found.kind == "production":
        raise Refused("environment", f"{reference} is a production environment; nothing was touched")
    enforce_window(found)
    if found.policy.approvals is not None:
        where = f"the policy of {found.environment}"
        raise Refused("needs-approval", f"{where} asks for approvals, and a replay has no plan to approve")
    if found.kind != "embedded" and not found.venue.get("type"):
        raise UsageError(f"{reference}: venue.type is missing; write bybit-v5, fix44, http or that of a package")
    return found


def venue_of(environment: Environment) -> dict[str, Any]:
    """The venue of an environment as the load wants it: every address in a list."""
    venue = dict(environment.venue)
    for name in _ADDRESSES:
        if isinstance(venue.get(name), str):
            venue[name] = [venue[name]]
    return venue


def prepared(wish: Wish) -> tuple[Environment, float]:
    """Check everything that can be checked before anything starts; the environment, and how many seconds to play.

    Raises UsageError, DefinitionError(s), Refused.
    """
    environment = environment_of(wish.environment)
    if wish.venue_type is not None and environment.kind != "embedded":
        raise UsageError(f"--venue-type chooses how the sandbox is spoken to; {wish.environment} says it itself")
    recorded = traces.read(wish.trace)
    enforce_traffic(recorded, environment)
    steps = transform.parse(list(wish.transform), "--transform")
    changed = transform.apply(recorded, steps)
    seconds = wish.duration_s or max(changed.duration_ns, 1_000_000) / 1e9 / wish.load.get("speed", 1.0)
    sessions = min(wish.load.get("sessions") or changed.sessions, changed.sessions) * wish.load.get("amplify", 1)
    if wish.load.get("workers", 1) > sessions:
        raise UsageError(f"--workers {wish.load['workers']}: the load has only {sessions} sessions to share")
    return environment, seconds


def config_of(wish: Wish, environment: Environment, venue: dict[str, Any], seconds: float, folder: Path) -> LoadConfig:
    """What the load is told; its run id is the last part of `folder`."""
    return LoadConfig(
        run_id=folder.name,
        run_dir=folder,
        trace=str(traces.resolve(wish.trace).absolute()),
        venue=venue,
        duration_s=seconds,
        transform=wish.transform,
        allow=environment.policy.operations,
        **wish.load,
    )


def play(wish: Wish, say: Say, tick: Tick) -> Played:
    """Play the trace; `tick` is called every 50 ms. Raises MusterError where nothing was measured."""
    environment, seconds = prepared(wish)
    folder = folders.of_a_new_run(wish.runs, f"replay-{Path(wish.trace).stem}")
    with Signals() as signals:
        sandbox = obtain(None, signals, say) if environment.kind == "embedded" else None
        try:
            venue = dict(sandbox.describe["venue"]) if sandbox else venue_of(environment)
            if wish.venue_type is not None:
                venue["type"] = wish.venue_type
            config = config_of(wish, environment, venue, seconds, folder)
            return _Play(config, wish.face, signals, say, tick).run()
        finally:
            _stop(sandbox, say)


def _stop(sandbox: Sandbox | None, say: Say) -> None:
    if sandbox is not None:
        if sandbox.owned:
            say("stopping the sandbox")
        sandbox.stop()


class _Play:
    """One load process, and its workers where it has any."""

    def __init__(self, config: LoadConfig, face: Face, signals: Signals, say: Say, tick: Tick) -> None:
        self._config, self._face, self._signals = config, face, signals
        self._say, self._tick = say, tick
        self._run = RunDir(config.run_dir)
        self._live = LiveTail(self._run.live, config.limits_ms)
        self._told_lost: set[int] = set()

    def run(self) -> Played:
        path = self._config.save()
        child = children.start(
            "load", launch.command(path, self._face), self._run.logs / "load.log", env=launch.environment(path)
        )
        try:
            self._follow(child)
            self._follow_orphans(child)
        finally:
            for one in launch.left(self._run.path):
                _end(one, signal.SIGKILL)
            child.kill()
            self._live.refresh()
            self._live.close()
        return self._sum_up(child)

    def _follow(self, child: Child) -> None:
        """Until it ends; the first signal asks it to, a second one does not wait for what it still writes."""
        asked_at: float | None = None
        while not child.wait(BEAT_S):
            self._look()
            if self._signals.stop and asked_at is None:
                asked_at = time.monotonic()
                self._say(f"{self._signals.name()}: stopping the load; once more leaves out what is not written yet")
                child.process.terminate()
            if asked_at is not None and (self._signals.at_once or time.monotonic() > asked_at + GRACE_S):
                return

    def _follow_orphans(self, child: Child) -> None:
        """Workers whose master died play on: what they measure is worth waiting for."""
        left = [] if child.ended is None else launch.left(self._run.path)
        if not left:
            return
        self._say(f"the master {child.ended}; its {len(left)} workers play on to the end")
        asked = False
        while launch.left(self._run.path) and not self._signals.at_once:
            if self._signals.stop and not asked:
                asked = True
                for one in left:
                    _end(one, signal.SIGTERM)
            time.sleep(BEAT_S)

    def _look(self) -> None:
        self._live.refresh()
        self._tick(self._live)

    def _sum_up(self, child: Child) -> Played:
        stopped = self._signals.stop
        last = self._live.last
        code = ExitCode.INTERRUPTED if self._signals.interrupted else ExitCode.ABORTED
        if not list(self._run.load.glob("schedule*.arrow")):
            if stopped:
                raise Aborted(self._signals.name(), "asked to stop before anything was sent")
            said = (last.reason if last else None) or child.last_words() or f"{child.ended} and said nothing"
            raise _failure(said)
        witness.consolidate(self._run.path)
        found = outcome.read(self._run.path)
        write_atomic(self._run.path / "replay.json", orjson.dumps(found.to_dict(), option=orjson.OPT_INDENT_2))
        if not stopped:
            code = ExitCode.PROVEN if found.valid else ExitCode.INCONCLUSIVE
        return Played(self._run, found, code)


def _failure(said: str) -> MusterError:
    if said.startswith("refused: "):
        code, _, what = said.removeprefix("refused: ").partition(": ")
        return Refused(code, what)
    return ComponentError("load", said.removeprefix("load: "))


def _end(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return  # it has ended by itself
