"""Bad days of a run on the real sandbox: one clear line, the right exit code, nothing lost and nothing left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from chaoslib_ext.agentclient import Act
from drills.events import Kind, read_events
from tests.crash import DRILL, Missed, Place, Run, emptied, left_behind, sandbox, traces, unreadable

pytestmark = [pytest.mark.sandbox, pytest.mark.untimed, pytest.mark.timeout(300)]

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "matching-engine" / "kill-primary.yaml"
NATS = ("nats-0", "nats-1", "nats-2")
DISK = "24m"
TRIES = 4


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with sandbox(tmp_path_factory.mktemp("days")) as made:
        yield made


@pytest.fixture
def place(shared: Place) -> Place:
    """The shared sandbox, with every instance running and ready."""

    def unready() -> list[str]:
        assert shared.world is not None
        return traces(shared.world) + [one.name for one in shared.world.agent.instances() if not one.ready]

    assert emptied(unready, 30) == []
    return shared


@contextmanager
def running(place: Place) -> Iterator[Run]:
    run = Run(place, place.home / "runs")
    try:
        yield run
    finally:
        run.close()


@contextmanager
def disturbed(place: Place, prefix: tuple[str, ...] = (), seen_as: Path | None = None) -> Iterator[Run]:
    """A run whose faults are in effect; anew where the machine was too busy for a steady baseline."""
    for _ in range(TRIES):
        run = Run(place, place.home / "runs", prefix, seen_as)
        try:
            if injected(run):
                yield run
                return
        finally:
            run.close()
    pytest.fail(f"no baseline was steady in {TRIES} runs")


def injected(run: Run) -> bool:
    """Wait for its faults; False where it ended because its baseline was not steady."""
    try:
        run.wait_for(lambda: in_effect(run))
    except Missed:
        if "baseline   not steady" in run.place.said():
            return False
        raise
    return True


def in_effect(run: Run) -> bool:
    """Both faults of the drill are witnessed."""
    return [line["state"] for line in run.lines("state")].count("IN_EFFECT") == 2


def said_once(place: Place, *words: str) -> None:
    """One line holds all these words, and nothing looks like a crash."""
    found = [line for line in place.said().splitlines() if all(word in line for word in words)]
    assert len(found) == 1, place.said()
    assert "Traceback" not in place.said()


def ends(run: Run, code: int) -> Path:
    """It ends with that code; its directory."""
    assert run.wait() == code, run.place.said()
    assert run.dir is not None
    return run.dir


def kinds(run_dir: Path) -> list[Kind]:
    return [event.kind for event in read_events(run_dir / "events.ndjson")]


def order(place: Place, name: str, act: Act, **body: object) -> None:
    assert place.world is not None
    place.world.agent.act(name, act, **body)


def test_ctrl_c_undoes_and_still_writes_the_evidence(place: Place) -> None:
    with disturbed(place) as run:
        run.process.send_signal(signal.SIGINT)
        folder = ends(run, 130)
        said_once(place, " abort ", "by Ctrl-C: a person asked")
        assert left_behind(place, folder) + unreadable(folder, ended=True) == []
        assert kinds(folder)[-1] is Kind.RUN_ENDED


def test_ctrl_c_twice_skips_the_evidence_but_not_the_undo(place: Place) -> None:
    with disturbed(place) as run:
        run.process.send_signal(signal.SIGINT)
        run.wait_for(lambda: " abort " in place.said())  # two at once may arrive as one
        run.process.send_signal(signal.SIGINT)
        folder = ends(run, 130)
        said_once(place, "stopped at once")
        assert left_behind(place, folder) + unreadable(folder, ended=False) == []


def test_sigterm_while_the_load_starts(place: Place) -> None:
    with running(place) as run:
        run.wait_for(lambda: run.pid("load"))
        run.process.send_signal(signal.SIGTERM)
        folder = ends(run, 4)
        said_once(place, " abort ", "SIGTERM")
        assert left_behind(place, folder) + unreadable(folder, ended=True) == []
        assert Kind.FAULT_INTENT not in kinds(folder)


def test_the_order_bus_dies(place: Place) -> None:
    with disturbed(place) as run:
        for name in NATS:
            order(place, name, "kill", signal="KILL", hold=True)
        try:
            folder = ends(run, 4)
        finally:
            for name in NATS:
                order(place, name, "release")
        said_once(place, " abort ", "by guard sandbox: nats-", "is held: not by a fault of this run")
        assert left_behind(place, folder) + unreadable(folder, ended=True) == []


def test_toxiproxy_dies_and_comes_back_without_its_toxics(place: Place) -> None:
    with disturbed(place) as run:
        order(place, "toxiproxy", "kill", signal="KILL", hold=False)
        folder = ends(run, 4)
        said_once(place, " abort ", "by guard sandbox: toxiproxy was started anew")
        assert left_behind(place, folder) + unreadable(folder, ended=True) == []


def test_the_disk_of_the_run_directory_is_full(place: Place) -> None:
    with small_disk(place.home / "runs") as (prefix, seen), disturbed(place, prefix, seen) as run:
        fill(seen / "filler")
        folder = ends(run, 70)
        said_once(place, " abort ", f"{place.home / 'runs'}", "no space left on device")
        (seen / "filler").unlink()
        assert left_behind(place, folder) + unreadable(folder, ended=False) == []
        assert Kind.FAULT_IN_EFFECT in kinds(folder), "what was written before is still there"


@contextmanager
def small_disk(folder: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    """A small file system at `folder` for those that the prefix starts, and its path for everybody else."""
    folder.mkdir(exist_ok=True)
    if not shutil.which("unshare") or not shutil.which("nsenter"):
        pytest.skip("no unshare or nsenter: no small disk can be made without root")
    script = f'mount -t tmpfs -o size={DISK} none "$1" && echo ready && exec cat'
    holder = subprocess.Popen(
        ["unshare", "-Urm", "sh", "-c", script, "sh", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        if holder.stdout.readline() != b"ready\n":
            pytest.skip("this kernel lets nobody but root mount a file system in a namespace of its own")
        prefix = ("nsenter", "-t", str(holder.pid), "-U", "-m", "--preserve-credentials")
        yield prefix, Path(f"/proc/{holder.pid}/root") / folder.relative_to("/")


def fill(path: Path) -> None:
    """Write until there is no room."""
    with path.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 65536)
            except OSError:
                return


def test_the_node_agent_dies(tmp_path: Path) -> None:
    with sandbox(tmp_path / "home") as place, disturbed(place) as run:
        (record,) = (place.home / "sandbox").glob("*/agent.json")
        os.kill(orjson.loads(record.read_bytes())["pid"], signal.SIGKILL)
        folder = ends(run, 4)
        said_once(place, " abort ", "by guard sandbox: node agent: ", "does not answer")
        assert unreadable(folder, ended=True) == []
        assert place.muster("undo", "--all").returncode == 0
        assert place.muster("sandbox", "down").returncode == 0
        assert left_behind(Place(place.home, None), folder) == []


def test_a_target_that_matches_nothing_touches_nothing(place: Place, tmp_path: Path) -> None:
    drill = tmp_path / "nobody.yaml"
    drill.write_text(DRILL.read_text().replace("engine-0>nats-0", "engine-7>nats-0"))
    for command in ("run", "plan"):
        done = place.muster(command, str(drill), *(("--runs", str(tmp_path / "runs")) if command == "run" else ()))
        assert done.returncode == 5, done.stderr
        assert done.stderr == (
            "refused: target-matches-nothing: link 'engine-7>nats-0' matches nothing; "
            "did you mean engine-1>nats-0?; nothing was touched\n"
        )
    assert list((tmp_path / "runs").glob("*")) == []


def test_without_a_sandbox_plan_says_so_and_chaos_run_touches_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path / "home", None)
    place.home.mkdir()
    plan = place.muster("plan", str(DRILL))
    assert plan.returncode == 0
    assert "no sandbox is up, so no target was looked up; `muster sandbox up` first" in plan.stdout
    chaos = [sys.executable, "-c", "from chaostoolkit.__main__ import cli; cli()"]
    done = subprocess.run(
        [*chaos, "--no-version-check", "run", str(EXPERIMENT)],
        cwd=tmp_path,
        env=place.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "refused: sandbox-not-up: no sandbox of this checkout is up; run `muster sandbox up`" in done.stderr
    assert "Traceback" not in done.stderr
    assert orjson.loads((tmp_path / "journal.json").read_bytes())["run"] == []
