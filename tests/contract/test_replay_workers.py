"""A replay shared by worker processes: the same operations, the same evidence, whatever process is lost."""

from __future__ import annotations

import csv
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import psutil
import pyarrow.parquet as pq
import pytest

from drills.evidence import RunDir
from loadgen import launch, synth, trace, witness
from loadgen.config import LoadConfig
from loadgen.launch import Face
from tests.contract.fakevenue import FakeVenue

DEADLINE_S = 90


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[FakeVenue]:
    with FakeVenue(tmp_path, gateways=2) as made:
        yield made


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "flow.parquet"
    trace.write(synth.generate(4, 150, 5), path)
    return path


class Load:
    """A load process with its workers."""

    def __init__(self, config: LoadConfig, face: Face | None = None) -> None:
        self.run = RunDir(config.run_dir)
        path = config.save()
        self.process = subprocess.Popen(
            launch.command(path, face),
            env=launch.environment(path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def lines(self, worker: int | None = None) -> list[dict[str, Any]]:
        path = self.run.live if worker is None else self.run.load / f"live-{worker:02d}.ndjson"
        raw = path.read_bytes() if path.exists() else b""
        return [orjson.loads(line) for line in raw.splitlines(keepends=True) if line.endswith(b"\n")]

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not done():
            assert time.monotonic() < deadline, self.lines()[-1:]
            time.sleep(0.01)

    def workers(self) -> list[psutil.Process]:
        return launch.left(self.run.path)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out.decode(), err.decode()

    def rows(self) -> list[dict[str, Any]]:
        return list(pq.read_table(witness.consolidate(self.run.path)).to_pylist())

    def kill(self) -> None:
        for one in self.workers():
            one.kill()
        self.process.kill()
        self.process.communicate()


Start = Callable[..., Load]


@pytest.fixture
def load(venue: FakeVenue, flow: Path, tmp_path: Path) -> Iterator[Start]:
    started: list[Load] = []

    def start(name: str = "run-1", face: Face | None = None, **fields: Any) -> Load:  # noqa: ANN401 - of LoadConfig
        base: dict[str, Any] = {"trace": str(flow), "venue": venue.venue, "duration_s": 1.0, "workers": 2}
        config = LoadConfig.model_validate({**base, **fields, "run_id": name, "run_dir": tmp_path / name})
        started.append(Load(config, face))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def outcomes(rows: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    return Counter((row["kind"], row["outcome"]) for row in rows)


def test_two_workers_send_what_one_process_sends(venue: FakeVenue, load: Start) -> None:
    alone, shared = load("alone", workers=1, speed=4.0), load("shared", speed=4.0)
    assert alone.end() == (0, "", "")
    assert shared.end() == (0, "", "")
    assert venue.problems == []
    rows = shared.rows()
    assert outcomes(rows) == outcomes(alone.rows())
    assert {row["outcome"] for row in rows} == {"ok"}
    assert len({row["op_id"] for row in rows}) == len(rows)
    assert {row["op_id"].split("-")[1][:2] for row in rows} == {"00", "01"}
    assert not shared.workers()
    last = shared.lines()[-1]
    assert last["state"] == "done"
    said = {kind: flow["ok"] for kind, flow in last["flows"].items()}
    assert said == dict(Counter(row["kind"] for row in rows))
    known = orjson.loads((shared.run.load / "clocks.json").read_bytes())
    assert known["error_ns"] == 0
    assert {one["offset_ns"] for one in known["workers"]} == {0}


def test_a_lost_worker_is_told_at_once_and_its_share_is_not_sent(venue: FakeVenue, load: Start) -> None:
    one = load(duration_s=3.0)
    one.until(lambda: len(venue.executed()) > 60)
    workers = one.workers()
    workers[1].kill()
    one.until(lambda: one.lines()[-1].get("lost_workers") == [1])
    assert one.lines()[-1]["state"] == "running"
    code, out, err = one.end()
    assert (code, out) == (1, "")
    assert "worker 1 was killed by signal 9 (SIGKILL); its share is not sent any more" in err
    last = one.lines()[-1]
    assert last["state"] == "failed"
    assert last["reason"] == "worker 1 was killed by signal 9 (SIGKILL)"
    assert sum(flow["scheduled"] - flow["sent"] for flow in last["flows"].values()) > 0
    rows = one.rows()
    unsent = [row for row in rows if row["error"] == "unsent"]
    assert unsent
    assert all(int(row["session"].split("-")[1]) % 2 == 1 for row in unsent)
    assert {row["outcome"] for row in rows if int(row["session"].split("-")[1]) % 2 == 0} == {"ok"}


def test_workers_play_on_without_their_master(venue: FakeVenue, load: Start) -> None:
    one = load(duration_s=2.0)
    one.until(lambda: len(venue.executed()) > 60)
    workers = one.workers()
    one.process.kill()
    assert one.end()[0] == -signal.SIGKILL
    one.until(lambda: not one.workers())
    assert len(workers) == 2
    rows = one.rows()
    assert {row["outcome"] for row in rows} == {"ok"}
    assert [one.lines(k)[-1]["state"] for k in (0, 1)] == ["done", "done"]
    assert sorted(row["op_id"] for row in rows) == sorted(venue.executed())


def test_workers_end_with_the_one_who_wanted_the_load(venue: FakeVenue, flow: Path, tmp_path: Path) -> None:
    run = tmp_path / "run-1"
    config = LoadConfig(run_id="run-1", run_dir=run, trace=str(flow), venue=venue.venue, duration_s=60, workers=2)
    path = config.save()
    supervisor = subprocess.Popen(["sleep", "60"])
    env = {**launch.environment(path), launch.PARENT: str(supervisor.pid)}
    load = subprocess.Popen(launch.command(path), env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: len(venue.executed()) > 60)
        load.kill()  # so that nobody but the workers themselves can notice
        load.wait()
        workers = launch.left(run)
        supervisor.kill()
        supervisor.wait()
        until(lambda: not launch.left(run))
    finally:
        for process in (supervisor, load):
            process.kill()
            process.wait()
    assert len(workers) == 2
    assert orjson.loads((run / "load" / "live-00.ndjson").read_bytes().splitlines()[-1])["state"] == "failed"


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_sigterm_drains_every_worker(venue: FakeVenue, load: Start) -> None:
    one = load(duration_s=30.0)
    one.until(lambda: len(venue.executed()) > 60)
    one.process.send_signal(signal.SIGTERM)
    assert one.end() == (0, "", "")
    rows = one.rows()
    assert {row["outcome"] for row in rows} == {"ok"}
    assert sorted(row["op_id"] for row in rows) == sorted(venue.executed())
    assert one.lines()[-1]["state"] == "done"


def test_a_trace_that_is_not_there_fails_in_one_line(load: Start) -> None:
    code, out, err = load(trace="/nowhere.parquet").end()
    assert (code, out) == (1, "")
    assert err.startswith("/nowhere.parquet: no such trace")
    assert err.count("\n") == 1


def test_locust_shows_what_was_measured(venue: FakeVenue, load: Start, tmp_path: Path) -> None:
    with_page = Face(web_port=free_port(), csv=str(tmp_path / "csv" / "x"), html=str(tmp_path / "page.html"))
    venue.mode = "unavailable"  # each of these fails in the end, with the venue's own code
    one = load(workers=1, face=with_page, duration_s=1.5, outage="drop")
    pages: list[dict[str, Any]] = []

    def page() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{with_page.web_port}/stats/requests", timeout=5) as answer:
                pages.append(orjson.loads(answer.read()))
        except OSError:
            pass
        return one.process.poll() is not None

    one.until(page)
    assert one.end() == (0, "", "")
    assert pages
    rows = one.rows()
    failed = Counter((row["kind"], row["error"]) for row in rows)
    with (tmp_path / "csv" / "x_failures.csv").open() as file:
        lines = list(csv.DictReader(file))
    shown = {(line["Name"].removeprefix("order."), line["Error"]): int(line["Occurrences"]) for line in lines}
    assert shown == failed
    with (tmp_path / "csv" / "x_stats.csv").open() as file:
        stats = {line["Name"]: line for line in csv.DictReader(file)}
    assert int(stats["Aggregated"]["Request Count"]) == int(stats["Aggregated"]["Failure Count"]) == len(rows)
    assert re.search(r"order\.place", (tmp_path / "page.html").read_text())


def test_workers_without_a_shared_folder_send_what_they_wrote(venue: FakeVenue, flow: Path, tmp_path: Path) -> None:
    run, elsewhere = tmp_path / "run-1", [tmp_path / "host-0", tmp_path / "host-1"]
    config = LoadConfig(
        run_id="run-1",
        run_dir=run,
        trace=str(flow),
        venue=venue.venue,
        duration_s=1.0,
        speed=4.0,
        workers=2,
        collect="messages",
    )
    path, port = config.save(), free_port()
    env = launch.environment(path)
    master = [*launch.command(path), "--muster-remote", "--master-bind-port", str(port)]
    workers = [
        [*launch.worker_command(path, k, port), "--muster-run-dir", str(folder)] for k, folder in enumerate(elsewhere)
    ]
    workers[1] = [*other_clock(), *workers[1]]
    started = [subprocess.Popen(argv, env=env, stderr=subprocess.PIPE) for argv in (master, *workers)]
    try:
        ended = [(one.communicate(timeout=DEADLINE_S)[1], one.returncode) for one in started]
    finally:
        for one in started:
            one.kill()
            one.communicate()
    assert ended == [(b"", 0)] * 3
    for folder in elsewhere:
        for name in ("load", "witness"):
            for sent in (folder / name).iterdir():
                assert (run / name / sent.name).read_bytes() == sent.read_bytes()
    rows = pq.read_table(witness.consolidate(run)).to_pylist()
    assert sorted(row["op_id"] for row in rows) == sorted(venue.executed())
    assert {row["outcome"] for row in rows} == {"ok"}
    known = orjson.loads((run / "load" / "clocks.json").read_bytes())
    far = known["workers"][1]["offset_ns"] / 1e9
    assert round(far) == (AHEAD_S if other_clock() else 0)
    assert (known["error_ns"] > 0) == bool(other_clock())
    start = known["start_ns"]
    assert all(start <= row["intended_ns"] <= row["sent_ns"] <= row["answered_ns"] < start + 60e9 for row in rows)


AHEAD_S = 5000


def other_clock() -> list[str]:
    """Puts a process on a clock of its own, as on another host; nothing where the kernel does not let us."""
    prefix = ["unshare", "--time", "--fork", "--monotonic", str(AHEAD_S)]
    try:
        tried = subprocess.run([*prefix, "true"], stderr=subprocess.DEVNULL, check=False)
    except FileNotFoundError:
        return []
    return prefix if tried.returncode == 0 else []


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
