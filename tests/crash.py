"""One run of a short drill in which one process is killed, and everything that may be left behind afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psutil
import pyarrow as pa

from chaoslib_ext.world import World
from drills import ledger
from drills.errors import MusterError
from drills.events import read_events
from loadgen import witness

DRILL = Path(__file__).parent.parent / "benchmarks" / "drills" / "crash-short.yaml"
MUSTER = Path(sys.executable).with_name("muster")
ROLES = ("supervisor", "runner", "load", "guardian")
RUN_S = 150.0
"""A run of the short drill takes 20 s on an idle machine; the drill's own guard ends it after two minutes."""

MOMENTS = {
    "supervisor": ("started", "fault", "fault", "fault", "fault", "end"),
    "guardian": ("started", "fault", "fault", "end"),
    "runner": ("started", "fault"),
    "load": ("started", "fault"),
}
"""What the kill follows, drawn with these weights: that process's start, the first intent, the end of the phases."""

OF_THE_SANDBOX = "wan-latency-"
"""So begin the names of toxics that are the distance between regions, not a fault."""

SPREAD_S = {"started": 5.0, "fault": 1.5, "end": 3.0}
"""The kill falls at random within so many seconds after it."""


class Missed(Exception):
    """Nobody was killed: that process, or the whole run, had ended before its moment came."""


@dataclass(frozen=True)
class Crash:
    """One kill and what followed. `undone_ms` is None where no fault was open; `left` is empty when all is gone."""

    role: str
    moment: str
    run_dir: Path
    exit_code: int | None
    undone_ms: float | None
    settled_s: float
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where runs happen: a home of their own, and the sandbox that was up before (None: each run brings its own)."""

    home: Path
    world: World | None
    before: Mapping[str, Any] = field(default_factory=dict)
    """What the sandbox looked like before any run."""

    @property
    def env(self) -> dict[str, str]:
        """The environment of `muster` there."""
        return {**os.environ, "MUSTER_HOME": str(self.home)}

    def muster(self, *words: str, timeout_s: float = RUN_S) -> subprocess.CompletedProcess[str]:
        """Run `muster WORDS` to its end."""
        return subprocess.run(
            [MUSTER, *words], env=self.env, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def start(self, *words: str, prefix: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start `muster WORDS` in a session of its own; what it says goes to <home>/said.txt."""
        with (self.home / "said.txt").open("wb") as said:
            return subprocess.Popen(
                [*prefix, str(MUSTER), *words],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def said(self) -> str:
        """What the last one started said, on stdout and stderr."""
        return (self.home / "said.txt").read_text(errors="replace")


@contextlib.contextmanager
def sandbox(home: Path, *flags: str) -> Iterator[Place]:
    """A sandbox under `home` that goes down at the end, or with this process; `flags` of `sandbox up`."""
    home.mkdir(parents=True, exist_ok=True)
    place = Place(home, None)
    argv = [sys.executable, "-m", "sandbox"]
    up = subprocess.run(
        [*argv, "up", "--json", "--owner-pid", str(os.getpid()), *flags],
        env=place.env,
        capture_output=True,
        check=False,
    )
    assert up.returncode == 0, up.stderr.decode()
    try:
        world = World.from_describe(json.loads(up.stdout))
        assert emptied(lambda: traces(world), 30.0) == []
        yield Place(home, world, world.snapshot())
    finally:
        subprocess.run([*argv, "down"], env=place.env, capture_output=True, check=True)


def until[T](what: Callable[[], T | None], seconds: float, every_s: float = 0.01) -> T | None:
    """Ask until the answer is true; None after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        if time.monotonic() > deadline:
            return None
        time.sleep(every_s)
    return answer


class Run:
    """One `muster run` under way. `prefix` is a program that starts it where `runs` has another name, `seen_as`."""

    def __init__(self, place: Place, runs: Path, prefix: Sequence[str] = (), seen_as: Path | None = None) -> None:
        self.place, self.folder = place, (seen_as or runs) / DRILL.stem
        self._before = set(self.folder.glob("*"))
        self.process = place.start("run", str(DRILL), "--runs", str(runs), prefix=prefix)
        self.began = time.monotonic()

    @property
    def dir(self) -> Path | None:
        """Its directory, as soon as there is one."""
        return next(iter(set(self.folder.glob("*")) - self._before), None)

    @property
    def over(self) -> bool:
        """Whether `muster run` has ended."""
        return self.process.poll() is not None

    def lines(self, kind: str) -> list[Mapping[str, Any]]:
        """Whole lines of that kind in the ledger so far."""
        try:
            raw = (self.dir / "ledger.ndjson").read_bytes() if self.dir else b""
        except OSError:
            return []
        found = [orjson.loads(line) for line in raw.split(b"\n")[:-1] if line]
        return [line for line in found if line["e"] == kind]

    def pid(self, role: str) -> int | None:
        """The pid of that process; None before it started."""
        if role == "supervisor":
            return self.process.pid if self.lines("start") else None
        if role == "guardian":
            started = self.lines("start")
            return int(started[-1]["pid"]) if started else None
        named = [one for line in self.lines("children") for one in line["pids"] if one[2] == role]
        return int(named[-1][0]) if named else None

    def wait_for(self, what: Callable[[], Any], seconds: float = RUN_S) -> Any:  # noqa: ANN401 - its answer
        """Its answer, as soon as it is true. Raises Missed where the run ends before."""
        found = until(lambda: what() or (self.over and "over"), seconds)
        if found in (None, "over"):
            raise Missed(f"{'ended with ' + str(self.process.poll()) if self.over else 'hangs'}: {self.place.said()}")
        return found

    def wait(self, seconds: float = RUN_S) -> int:
        """Wait for the end of `muster run`; its exit code."""
        return self.process.wait(seconds)

    def close(self) -> None:
        """End whatever a failed test left of it."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
            self.process.kill()
            self.process.wait()


def crash(place: Place, runs: Path, role: str, rng: random.Random) -> Crash:
    """One run of the short drill in which `role` is killed. Raises Missed where it ended before its moment."""
    moment = rng.choice(MOMENTS[role])
    after_s = rng.uniform(0.0, SPREAD_S[moment])
    run = Run(place, runs)
    try:
        if moment == "started":
            run.wait_for(lambda: run.pid(role))
        else:
            run.wait_for(lambda: run.lines("intent" if moment == "fault" else "over"))
        time.sleep(after_s)
        killed_ns, guardian = _kill(run, role)
        code = _await_end(run, role, guardian)
        settled_s = (time.monotonic_ns() - killed_ns) / 1e9
        assert run.dir is not None
        undone = [one.undone_ns for one in ledger.read(run.dir / "ledger.ndjson").entries if one.undone_ns]
        later = [(t_ns - killed_ns) / 1e6 for t_ns in undone if t_ns > killed_ns]
        left = left_behind(place, run.dir) + unreadable(run.dir, ended=role != "supervisor")
        return Crash(role, f"{moment} +{after_s:.2f} s", run.dir, code, max(later, default=None), settled_s, left)
    finally:
        run.close()


def _kill(run: Run, role: str) -> tuple[int, psutil.Process | None]:
    pid, guard = run.pid(role), run.pid("guardian")
    try:
        guardian = psutil.Process(guard) if guard else None
        victim = psutil.Process(pid or -1)
        if victim.status() == psutil.STATUS_ZOMBIE:
            raise Missed(f"the {role} had ended")
    except (psutil.Error, ValueError) as error:
        raise Missed(f"the {role} had ended") from error
    killed_ns = time.monotonic_ns()
    victim.send_signal(signal.SIGKILL)
    return killed_ns, guardian


def _await_end(run: Run, role: str, guardian: psutil.Process | None) -> int | None:
    if role != "supervisor":
        return run.wait()
    run.wait()
    if guardian is not None:
        guardian.wait(60)
    return None


def left_behind(place: Place, run_dir: Path) -> list[str]:
    """Whatever a run left: processes, toxics, cut links, instances not running, open entries, markers."""
    found = [f"process {one}" for one in emptied(lambda: strays(place, run_dir), 2.0)]
    if place.world is not None:
        world = place.world
        found += emptied(lambda: traces(world), 20.0)
    try:
        book = ledger.read(run_dir / "ledger.ndjson")
        found += [f"{one.fault_id} is {one.state}" for one in book.open()]
    except MusterError as error:
        found.append(f"ledger: {error}")
    return found + [f"marker {path.name}" for path in (place.home / "open").glob("[!.]*")]


def emptied(ask: Callable[[], list[str]], seconds: float) -> list[str]:
    """What is still there after at most `seconds`."""
    deadline = time.monotonic() + seconds
    while (found := ask()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def strays(place: Place, run_dir: Path | None = None) -> list[str]:
    """Every process that names this home or run in its arguments or environment; the sandbox from before is none."""
    needles = [os.fsencode(place.home)] + ([run_dir.name.encode()] if run_dir else [])
    ours = {os.getpid(), *_of_the_sandbox(place)}
    found = []
    for process in psutil.process_iter():
        try:
            folder = Path("/proc") / str(process.pid)
            text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            if process.pid in ours or not any(needle in text for needle in needles):
                continue
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {' '.join(process.cmdline())[:160]}")
        except (OSError, psutil.Error):
            continue
    return found


def _of_the_sandbox(place: Place) -> set[int]:
    if place.world is None:
        return set()
    agents = list((place.home / "sandbox").glob("*/agent.json"))
    try:
        agent = psutil.Process(orjson.loads(agents[0].read_bytes())["pid"])
        return {agent.pid, *(one.pid for one in agent.children(recursive=True))}
    except (IndexError, OSError, psutil.Error):
        return set()


def traces(world: World) -> list[str]:
    """What a fault may leave in the sandbox: instances not running, toxics, cut links."""
    try:
        snapshot = world.snapshot()
    except MusterError as error:
        return [str(error)]
    found = [f"{name} is {phase}" for name, phase in snapshot["instances"].items() if phase != "running"]
    for name, proxy in snapshot["proxies"].items():
        found += [f"{name} has toxic {toxic}" for toxic in proxy["toxics"] if not toxic.startswith(OF_THE_SANDBOX)]
        found += [] if proxy["enabled"] else [f"{name} is cut"]
    return found


def unreadable(run_dir: Path, *, ended: bool) -> list[str]:
    """What was written and cannot be read any more; an `ended` run has its verdict and its manifest, too."""
    found = []
    try:
        if not list(read_events(run_dir / "events.ndjson")):
            found.append("events: none")
        for chunk in sorted((run_dir / "witness").glob("*.arrow")):
            with pa.ipc.open_stream(chunk) as stream:
                stream.read_all()
        if (run_dir / "load" / "cursor.bin").exists():
            witness.consolidate(run_dir)
        for name in ("plan.json", "journal.json", "verdict.json", "evidence.json"):
            if (ended and name != "journal.json") or (run_dir / name).exists():
                orjson.loads((run_dir / name).read_bytes())
    except (MusterError, OSError, ValueError, pa.ArrowException) as error:
        found.append(f"unreadable: {error}")
    return found
