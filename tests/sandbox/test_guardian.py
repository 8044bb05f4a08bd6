"""The guardian on real processes: whatever is killed, nothing of a fault is left behind."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaoslib_ext import processes, scope
from chaoslib_ext.guardian.client import GuardianClient
from chaoslib_ext.supervisor.guardianship import Guardianship
from chaoslib_ext.world import World
from drills import ledger
from drills.errors import Aborted, FaultError, Refused
from drills.ledger import State
from tests.standins import Exchange, exchange, until

pytestmark = [pytest.mark.sandbox, pytest.mark.untimed]

KILL = 'process.kill={"instance": "engine-0"}'
PAUSE = 'process.pause={"instance": "engine-1"}'
SLOW = 'network.latency={"link": "gateway-0>engine-0", "ms": 5, "toward": "down"}'
CUT = 'network.cut={"link": "gateway-0>engine-1"}'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MUSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def box() -> Iterator[Exchange]:
    with exchange() as made:
        yield made


class Run:
    """tests.guarded as a child: a supervisor with its guardian, runner and load."""

    def __init__(self, box: Exchange, tmp_path: Path, *faults: str, **env: str) -> None:
        (tmp_path / "describe.json").write_text(json.dumps(box.describe()))
        self.dir = tmp_path / "runs" / "20260101T000000Z-test"
        argv = [sys.executable, "-m", "tests.guarded", str(tmp_path / "describe.json"), str(self.dir), *faults]
        self.process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **env}, start_new_session=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr and self.process.stderr.read()
        said = json.loads(line)
        self.guardian = psutil.Process(said["guardian"])
        self.children = [psutil.Process(pid) for pid in said["children"]]
        self.client = GuardianClient(said["socket"])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ended(self, who: list[psutil.Process]) -> bool:
        return not any(processes.alive(one.pid, one.create_time()) for one in who if one.is_running())

    def close(self) -> None:
        everyone = [*self.children, self.guardian]
        self.kill()
        for one in everyone:
            if one.is_running():
                one.kill()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def start(box: Exchange, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    made: list[Run] = []

    def starter(*faults: str, **env: str) -> Run:
        made.append(Run(box, tmp_path, *faults, **env))
        return made[-1]

    yield starter
    for run in made:
        run.close()


def nothing_left(run: Run, before: dict[str, Any], world: World) -> bool:
    undone = World.diff(before, world.snapshot()) == []
    return undone and run.ended([*run.children, run.guardian]) and not scope.markers()


def states(run: Run) -> list[State]:
    return [entry.state for entry in ledger.read(run.dir / "ledger.ndjson").entries]


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_the_supervisor_dies_and_everything_is_undone(
    signum: signal.Signals, box: Exchange, start: Callable[..., Run]
) -> None:
    world = World.from_describe(box.describe())
    before = world.snapshot()
    run = start(SLOW, CUT, PAUSE, KILL)
    run.process.send_signal(signum)
    run.process.wait()
    until(lambda: nothing_left(run, before, world))
    assert states(run) == [State.VERIFIED] * 4
    assert ledger.read(run.dir / "ledger.ndjson").over == "the supervisor died"


def test_a_frozen_supervisor_loses_its_lease_and_learns_it(box: Exchange, start: Callable[..., Run]) -> None:
    run = start(PAUSE, LEASE="0.6")
    run.process.send_signal(signal.SIGSTOP)
    until(lambda: states(run) == [State.VERIFIED])
    assert box.agent.phase("engine-1") == "running"
    until(lambda: run.ended(run.children))
    assert run.client.beat() == "this run was undone: the supervisor gave no sign of life for 0.6 s"
    with pytest.raises(Aborted, match="this run was undone"):
        run.client.intent("f9", "x", params={}, targets=[], recipes=[{"verb": "v", "args": {}}], describe="")


def test_the_maximum_duration_ends_a_run_that_beats(start: Callable[..., Run]) -> None:
    run = start(KILL, LONGEST="1.5")
    until(lambda: states(run) == [State.VERIFIED])
    assert "maximum duration" in str(ledger.read(run.dir / "ledger.ndjson").over)


def test_a_killed_guardian_is_started_again_and_knows(box: Exchange, start: Callable[..., Run]) -> None:
    world = World.from_describe(box.describe())
    before = world.snapshot()
    run = start(KILL, CUT, RESTART="1")
    run.guardian.kill()
    again = until(lambda: _answers(run.client, not_pid=run.guardian.pid))
    assert [fault["state"] for fault in again["faults"]] == ["IN_EFFECT", "IN_EFFECT"]
    run.guardian = psutil.Process(again["pid"])
    run.kill()
    until(lambda: nothing_left(run, before, world))


def _answers(client: GuardianClient, not_pid: int) -> dict[str, Any] | None:
    try:
        state = client.state()
    except FaultError:
        return None
    return state if state["pid"] != not_pid else None


def test_both_killed_then_muster_undo_from_any_folder(box: Exchange, start: Callable[..., Run], tmp_path: Path) -> None:
    world = World.from_describe(box.describe())
    before = world.snapshot()
    mark = tmp_path / "sandbox-was-stopped"
    run = start(SLOW, CUT, PAUSE, KILL, DOWN=json.dumps(["touch", str(mark)]))
    run.guardian.kill()
    run.kill()
    until(lambda: run.ended([run.guardian]))
    left = r"open-orphan.*left f3, f2, f1, f0, runner .*its sandbox open.*muster undo 20260101T000000Z-test"
    with pytest.raises(Refused, match=left):
        scope.claim("20260102T000000Z-next", tmp_path / "next", ["sandbox"])
    done = muster("undo", "--all", cwd=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert nothing_left(run, before, world)
    assert mark.exists()
    assert muster("undo", "--all", cwd=Path("/")).returncode == 0


def test_both_frozen_then_muster_undo_and_a_supervisor_that_wakes_up_undoes_nothing_again(
    box: Exchange, start: Callable[..., Run], tmp_path: Path
) -> None:
    world = World.from_describe(box.describe())
    before = world.snapshot()
    run = start(CUT, PAUSE, RESTART="1")
    for one in (run.guardian.pid, run.process.pid):
        os.kill(one, signal.SIGSTOP)
    done = muster("undo", "--all", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert World.diff(before, world.snapshot()) == []
    assert run.ended([*run.children, run.guardian])
    undone = [entry.undone_ns for entry in ledger.read(run.dir / "ledger.ndjson").entries]
    run.process.send_signal(signal.SIGCONT)
    again = until(lambda: _answers(run.client, not_pid=run.guardian.pid))
    assert again["over"] == "muster undo"
    run.guardian = psutil.Process(again["pid"])
    run.kill()
    until(lambda: nothing_left(run, before, world))
    assert [entry.undone_ns for entry in ledger.read(run.dir / "ledger.ndjson").entries] == undone


@pytest.mark.parametrize(
    ("both", "words"),
    [(False, ("abort",)), (False, ("abort", "--heal", "RUN")), (True, ("undo", "RUN")), (True, ("undo", "--all"))],
    ids=["abort-again", "heal", "both-killed", "both-killed-all"],
)
def test_what_must_be_held_is_left_to_a_person(
    both: bool, words: tuple[str, ...], box: Exchange, start: Callable[..., Run], tmp_path: Path
) -> None:
    world = World.from_describe(box.describe())
    before = world.snapshot()
    run = start(CUT, PAUSE, STANCE="hold")
    if both:
        run.guardian.kill()
    run.kill()
    until(lambda: run.ended([run.guardian]) if both else ledger.read(run.dir / "ledger.ndjson").held)
    assert World.diff(before, world.snapshot()) != []
    assert states(run) == [State.IN_EFFECT] * 2
    with pytest.raises(Refused, match=r"held: run .* left f1, f0 to a person on sandbox; run `muster undo 20260101"):
        scope.claim("20260102T000000Z-next", tmp_path / "next", ["sandbox"])
    done = muster(*(run.dir.name if word == "RUN" else word for word in words), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    until(lambda: nothing_left(run, before, world))


def test_what_nobody_decides_about_is_undone_in_the_end(box: Exchange, start: Callable[..., Run]) -> None:
    world = World.from_describe(box.describe())
    before = world.snapshot()
    run = start(PAUSE, STANCE="hold", LONGEST="6")
    run.kill()
    until(lambda: ledger.read(run.dir / "ledger.ndjson").held)
    assert states(run) == [State.IN_EFFECT]
    until(lambda: nothing_left(run, before, world), 20)
    assert ledger.read(run.dir / "ledger.ndjson").over == "nobody decided within 6 s"


def test_a_run_that_is_to_be_held_leaves_its_guardian_behind(box: Exchange, tmp_path: Path) -> None:
    world = World.from_describe(box.describe())
    before = world.snapshot()
    run_dir = tmp_path / "runs" / "20260101T000000Z-test"
    guardian = Guardianship(run_dir, ["sandbox"], 30)
    args = {"agent": box.agent.url, "instance": "engine-1"}
    recipe = {"verb": "agent.release", "args": args}
    guardian.client.intent(
        "f0", "process.kill", params={}, targets=["engine-1"], recipes=[recipe], describe="SIGKILL engine-1"
    )
    world.agent.act("engine-1", "kill", signal="KILL", hold=True)
    assert guardian.hold("abort (Ctrl-C)") == ["f0"]
    guardian.close()
    assert guardian.alive()
    assert box.agent.phase("engine-1") == "held"
    assert scope.markers()[0].guarded
    assert GuardianClient(guardian.socket).undo(by="a person", end=True)[0].state == "VERIFIED"
    until(lambda: not guardian.alive())
    assert (World.diff(before, world.snapshot()), scope.markers()) == ([], [])


def test_a_frozen_supervisor_in_a_phase_to_be_held_loses_only_its_children(
    box: Exchange, start: Callable[..., Run]
) -> None:
    run = start(PAUSE, LEASE="0.5", STANCE="hold")
    run.process.send_signal(signal.SIGSTOP)
    until(lambda: ledger.read(run.dir / "ledger.ndjson").held)
    until(lambda: run.ended(run.children))
    assert states(run) == [State.IN_EFFECT]
    assert run.client.beat() == "this run is held: the supervisor gave no sign of life for 0.5 s"
    assert run.client.undo(by="a person", end=True)[0].state == "VERIFIED"


def muster(*args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("muster")
    return subprocess.run([program, *args], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment(seed: int, box: Exchange, tmp_path: Path) -> None:
    """Supervisor and runner are one here, so the kill also falls between an order and its answer."""
    world = World.from_describe(box.describe())
    before = world.snapshot()
    (tmp_path / "describe.json").write_text(json.dumps(box.describe()))
    run_dir = tmp_path / "runs" / "20260101T000000Z-test"
    argv = [
        sys.executable,
        "-m",
        "tests.guarded",
        str(tmp_path / "describe.json"),
        str(run_dir),
        SLOW,
        CUT,
        PAUSE,
        KILL,
    ]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        wanted = random.Random(seed).randint(1, 12)  # lines in the ledger: intent, applied, in effect, four times
        until(lambda: _lines(run_dir / "ledger.ndjson") > wanted)
        run.kill()
    until(lambda: not scope.markers(), 30)
    assert World.diff(before, world.snapshot()) == []
    assert not any(processes.alive(pid, start) for pid, start, _ in ledger.read(run_dir / "ledger.ndjson").children)


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_run_directory_that_was_removed_is_undone_too(box: Exchange, start: Callable[..., Run]) -> None:
    run = start(KILL)
    run.guardian.kill()
    run.kill()
    shutil.rmtree(run.dir)
    assert muster("undo", "--all", cwd=Path("/")).returncode == 0
    assert box.agent.phase("engine-0") == "running"
    assert scope.markers() == []


def test_muster_undo_reaches_a_living_guardian(box: Exchange, start: Callable[..., Run], tmp_path: Path) -> None:
    world = World.from_describe(box.describe())
    before = world.snapshot()
    run = start(KILL)
    done = muster("undo", run.dir.name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert World.diff(before, world.snapshot()) == []
    assert run.client.beat() == "this run was undone: muster undo"
    assert run.children[0].status() == psutil.STATUS_STOPPED, "a runner at work would go on injecting"


def test_muster_abort_waits_until_it_is_undone(box: Exchange, start: Callable[..., Run]) -> None:
    world = World.from_describe(box.describe())
    before = world.snapshot()
    run = start(KILL)
    reaper = threading.Thread(target=run.process.wait)
    reaper.start()
    done = muster("abort", cwd=Path("/"))
    reaper.join()
    assert (done.returncode, done.stderr) == (0, "20260101T000000Z-test: aborted, undone\n")
    assert (run.dir / "abort.request").exists()
    assert World.diff(before, world.snapshot()) == []
    assert muster("abort", cwd=Path("/")).stderr == "nothing is running\n"


def test_a_guardian_told_to_end_undoes_first(box: Exchange, start: Callable[..., Run]) -> None:
    run = start(PAUSE)
    run.guardian.send_signal(signal.SIGTERM)
    until(lambda: run.ended([run.guardian]))
    assert (states(run), box.agent.phase("engine-1")) == ([State.VERIFIED], "running")


def test_an_orphan_has_exit_code_6_and_its_command(box: Exchange, start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(CUT)
    run.guardian.kill()
    run.kill()
    box.toxiproxy.close()
    book = ledger.Ledger(run.dir / "ledger.ndjson", run.dir.name)
    args = {"api": box.agent.url, "proxy": "x", "enabled": True}
    recipes = [{"verb": "toxiproxy.set_enabled", "args": args}]
    book.write("intent", fault_id="stuck", fault="network.cut", describe="cut x", recipes=recipes)
    book.close()
    done = muster("undo", "--all", "--give-up", "1s", cwd=tmp_path)
    assert done.returncode == 6
    assert f"curl -fsS -X POST -d '{{\"enabled\": true}}' {box.agent.url}/proxies/x" in done.stderr
    with pytest.raises(Refused, match="open-orphan"):
        scope.claim("20260102T000000Z-next", tmp_path / "next", ["sandbox"])


def test_signals_of_the_terminal_do_not_reach_it(box: Exchange, start: Callable[..., Run]) -> None:
    run = start(KILL)
    assert os.getsid(run.guardian.pid) == run.guardian.pid
    for signum in (signal.SIGINT, signal.SIGHUP):
        run.guardian.send_signal(signum)
    assert run.client.state()["over"] is None
    assert box.agent.phase("engine-0") == "held"


def test_a_full_disk_means_no_fault(box: Exchange, start: Callable[..., Run]) -> None:
    run = start(PAUSE)
    size = (run.dir / "ledger.ndjson").stat().st_size
    resource.prlimit(run.guardian.pid, resource.RLIMIT_FSIZE, (size, size))
    recipe = {"verb": "agent.release", "args": {"agent": box.agent.url, "instance": "engine-0"}}
    with pytest.raises(FaultError, match=r"ledger.ndjson: file too large; no fault$"):
        run.client.intent("f9", "process.kill", params={}, targets=["engine-0"], recipes=[recipe], describe="")
    run.kill()  # and what was open is undone all the same
    until(lambda: box.agent.phase("engine-1") == "running")


def test_a_duration_ends_by_itself(box: Exchange, start: Callable[..., Run]) -> None:
    run = start('network.latency={"link": "gateway-0>engine-0", "ms": 20, "duration": "1s"}')
    until(lambda: states(run) == [State.VERIFIED])
    assert ledger.read(run.dir / "ledger.ndjson").entries[0].by == "its duration ended"
    assert run.client.beat() is None
