"""The replay against a venue with real sockets: signing, reconnecting, and the witness of a whole load process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import orjson
import psutil
import pyarrow.parquet as pq
import pytest

from drills.errors import ComponentError, DefinitionError
from drills.evidence import RunDir
from loadgen import launch, synth, trace, witness
from loadgen.config import LoadConfig, Outage
from loadgen.engine.pool import Down, Pool, Up
from loadgen.engine.replay import Replay
from loadgen.venues.bybit_v5 import secret_of
from loadgen.venues.bybit_ws import TradeWire
from loadgen.venues.endpoints import endpoint
from tests.contract.fakevenue import MASTER, FakeVenue

Until = Callable[[Callable[[], bool]], None]


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[FakeVenue]:
    with FakeVenue(tmp_path, gateways=2) as made:
        yield made


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "flow.parquet"
    trace.write(synth.generate(4, 300, 5), path)
    return path


def configured(
    venue: FakeVenue,
    flow: Path,
    folder: Path,
    outage: Outage = "retry-idempotent",
    **fields: Any,  # noqa: ANN401
) -> LoadConfig:
    base = {"run_id": "run-1", "run_dir": folder / "run-1", "trace": str(flow), "venue": venue.venue, "duration_s": 1.0}
    return LoadConfig.model_validate({**base, "outage": outage, **fields})


def play(config: LoadConfig, each: Callable[[float, Replay], None] = lambda t, replay: None) -> list[dict[str, Any]]:
    """Run a replay in this process to its end; `each` is called with the seconds since its first step."""
    replay = Replay(config, lambda work: Thread(target=work).start())
    began = time.monotonic()
    while replay.step():
        each(time.monotonic() - began, replay)
        assert time.monotonic() - began < 60
        time.sleep(0.0005)
    assert replay.failure is None
    return list(pq.read_table(witness.consolidate(config.run_dir)).to_pylist())


def test_a_replay_signs_in_sends_everything_and_hears_every_answer(
    venue: FakeVenue, flow: Path, tmp_path: Path
) -> None:
    rows = play(configured(venue, flow, tmp_path))
    assert venue.problems == []
    assert sorted(set(venue.sign_ins)) == sorted(f"acct-{n}" for n in range(16))
    assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}
    assert {row["op_id"]: row["server_seq"] for row in rows} == {op: n for n, op in enumerate(venue.executed(), 1)}
    assert [row["op_id"] for row in rows] == [f"run-1-{n:010d}" for n in range(len(rows))]
    assert all(row["intended_ns"] <= row["sent_ns"] <= row["answered_ns"] for row in rows)


def test_the_sessions_are_spread_and_go_to_the_other_gateway_at_once(
    venue: FakeVenue, flow: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []

    def each(t: float, replay: Replay) -> None:
        if t > 0.6 and not seen:
            seen.append((venue.connections(0), venue.connections(1)))
            venue.hang_up(0)

    rows = play(configured(venue, flow, tmp_path), each)
    assert seen == [(8, 8)]
    assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}
    assert Counter(venue.executed()).most_common(1)[0][1] == 1
    assert len(venue.sign_ins) == 24


def test_an_unavailable_venue_is_asked_again_until_it_is_back(venue: FakeVenue, flow: Path, tmp_path: Path) -> None:
    venue.mode = "unavailable"

    def each(t: float, replay: Replay) -> None:
        if t > 1:
            venue.mode = "ok"

    rows = play(configured(venue, flow, tmp_path), each)
    assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}
    assert max(row["attempts"] for row in rows) > 2
    executed = {op: n for n, op in enumerate(venue.executed())}
    for row in venue.journals[0]:
        if row["parent"]:
            assert executed[row["parent"]] < executed[row["op_id"]]


@pytest.mark.parametrize("outage", ["drop", "retry-idempotent"])
def test_executed_without_an_answer_is_resolved_by_id(
    venue: FakeVenue, flow: Path, tmp_path: Path, outage: Outage
) -> None:
    venue.mode = "execute-silently"
    rows = play(configured(venue, flow, tmp_path, outage, duration_s=0.3, timeout_ms=200))
    assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}
    assert sorted(venue.executed()) == sorted(row["op_id"] for row in rows)


def test_never_executed_and_never_answered_stays_unknown(venue: FakeVenue, flow: Path, tmp_path: Path) -> None:
    venue.mode = "silent"
    rows = play(configured(venue, flow, tmp_path, "drop", duration_s=0.3, timeout_ms=200))
    assert {(row["outcome"], row["error"], row["answered_ns"]) for row in rows} == {("unknown", "timeout", None)}


def test_a_wrong_secret_fails_with_one_line(
    venue: FakeVenue, flow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadgen.engine.replay.CONNECT_NS", 300_000_000)
    (tmp_path / "secret").write_bytes(b"another")
    replay = Replay(configured(venue, flow, tmp_path), lambda work: work())
    while replay.step():
        time.sleep(0.001)
    assert replay.failure is not None
    assert "not every session could connect" in replay.failure
    assert "sign-in refused: 10004" in replay.failure
    last = orjson.loads(RunDir(tmp_path / "run-1").live.read_bytes().splitlines()[-1])
    assert (last["state"], last["reason"]) == ("failed", replay.failure)


def test_a_venue_that_is_down_and_a_broken_trace_are_told_before_anything_is_sent(
    venue: FakeVenue, flow: Path, tmp_path: Path
) -> None:
    wrong = {**venue.venue, "ws": ["https://x"]}
    down = {**venue.venue, "audit": ["http://127.0.0.1:9"]}
    with pytest.raises(ComponentError, match="no engine tells its watermark"):
        Replay(configured(venue, flow, tmp_path).model_copy(update={"venue": down}), lambda work: work())
    with pytest.raises(DefinitionError, match="no such trace"):
        Replay(configured(venue, Path("nowhere"), tmp_path), lambda work: work())
    with pytest.raises(DefinitionError, match="is not a ws or wss address"):
        Replay(configured(venue, flow, tmp_path).model_copy(update={"venue": wrong}), lambda work: work())


def test_a_full_disk_ends_the_replay_with_its_reason(venue: FakeVenue, flow: Path, tmp_path: Path) -> None:
    config = configured(venue, flow, tmp_path)
    replay = Replay(config, lambda work: work())
    began = time.monotonic()
    while replay.step():
        if time.monotonic() - began > 0.6:
            RunDir(config.run_dir).witness_chunks.rename(tmp_path / "gone")
            began += 1000
        time.sleep(0.001)
    assert replay.failure is not None
    assert "chunk-" in replay.failure
    assert "no such file" in replay.failure


def pool_of(venue: FakeVenue, urls: list[str], sessions: int) -> Pool:
    def secret(session: int) -> tuple[str, bytes]:
        return f"acct-{session}", secret_of(MASTER, f"acct-{session}")

    targets = [endpoint(url, "ws") for url in urls]
    return Pool(TradeWire(synth.generate(0.1, 100), "r", targets, secret), range(sessions))


def poll_until(pool: Pool, done: Callable[[list[Any]], bool]) -> list[Any]:
    events: list[Any] = []
    deadline = time.monotonic() + 10
    while not done(events):
        assert time.monotonic() < deadline, events
        events += pool.poll(time.monotonic_ns())[1]
        time.sleep(0.001)
    return events


def test_a_dead_gateway_costs_nothing_but_the_way_to_the_next(venue: FakeVenue) -> None:
    pool = pool_of(venue, ["ws://127.0.0.1:9/v5/trade", venue.venue["ws"][0]], 2)
    poll_until(pool, lambda events: sum(isinstance(event, Up) for event in events) == 2)
    venue.hang_up(0)
    events = poll_until(pool, lambda events: sum(isinstance(event, Up) for event in events) == 2)
    assert next(event for event in events if isinstance(event, Down)).reason in (
        "closed by the gateway",
        "closed by the venue",
    )
    assert pool.all_ready()
    pool.close()


def test_a_quiet_connection_is_pinged_and_stays(venue: FakeVenue) -> None:
    pool = pool_of(venue, [venue.venue["ws"][0]], 1)
    poll_until(pool, lambda events: Up(0) in events)
    events = poll_until(pool, lambda events: venue.pings >= 4)  # 2 s: longer than a silent one is kept
    assert not [event for event in events if isinstance(event, Down)]
    pool.close()


class Load:
    """A real load process."""

    def __init__(self, config: LoadConfig) -> None:
        self.run = RunDir(config.run_dir)
        path = config.save()
        self.process = subprocess.Popen(
            launch.command(path), env=launch.environment(path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def state(self) -> str:
        lines = self.run.live.read_bytes().splitlines() if self.run.live.exists() else []
        return str(orjson.loads(lines[-1])["state"]) if lines and lines[-1].endswith(b"}") else ""

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not done():
            assert time.monotonic() < deadline
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.01)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out.decode(), err.decode()

    def rows(self) -> list[dict[str, Any]]:
        return list(pq.read_table(witness.consolidate(self.run.path)).to_pylist())


@pytest.fixture
def load(venue: FakeVenue, flow: Path, tmp_path: Path) -> Iterator[Callable[..., Load]]:
    started: list[Load] = []

    def start(**fields: Any) -> Load:  # noqa: ANN401 - fields of LoadConfig
        started.append(Load(configured(venue, flow, tmp_path, **fields)))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def test_a_load_process_plays_its_schedule_and_says_nothing(venue: FakeVenue, load: Callable[..., Load]) -> None:
    one = load()
    assert one.end() == (0, "", "")
    assert venue.problems == []
    rows = one.rows()
    assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}
    assert one.state() == "done"
    assert "order.place" in (one.run.logs / "locust.log").read_text()
    assert str(MASTER) not in "".join(path.read_text(errors="replace") for path in one.run.load.iterdir())


def test_sigterm_stops_sending_writes_everything_and_exits_zero(venue: FakeVenue, load: Callable[..., Load]) -> None:
    one = load(duration_s=30)
    one.until(lambda: len(venue.executed()) > 100)
    one.process.send_signal(signal.SIGTERM)
    assert one.end()[0] == 0
    rows = one.rows()
    assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}
    assert sorted(row["op_id"] for row in rows) == sorted(venue.executed())


def test_kill_keeps_all_that_was_sent(venue: FakeVenue, load: Callable[..., Load]) -> None:
    one = load(duration_s=30)
    one.until(lambda: len(venue.executed()) > 200)
    one.process.kill()
    assert one.end()[0] == -signal.SIGKILL
    rows = {row["op_id"]: row for row in one.rows()}
    for op_id in venue.executed():
        assert rows[op_id]["sent_ns"] is not None
        assert rows[op_id]["outcome"] in ("ok", "unknown")
    assert {row["outcome"] for row in rows.values()} == {"ok", "unknown"}


def test_a_load_does_not_outlive_the_one_who_started_it(venue: FakeVenue, flow: Path, tmp_path: Path) -> None:
    path = configured(venue, flow, tmp_path, duration_s=60).save()
    starter = "import subprocess, sys, time; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); time.sleep(60)"
    argv = [sys.executable, "-c", starter, *launch.command(path)]
    env = {name: value for name, value in launch.environment(path).items() if name != launch.PARENT}
    parent = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait(lambda: len(venue.executed()) > 50)
    parent.kill()
    parent.communicate()
    wait(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    last = orjson.loads(RunDir(tmp_path / "run-1").live.read_bytes().splitlines()[-1])
    assert (last["state"], last["reason"]) == ("failed", "load: its supervisor is gone")


def wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_load_that_cannot_start_says_why_in_one_line(venue: FakeVenue, load: Callable[..., Load]) -> None:
    one = load(trace="/nowhere.parquet")
    code, out, err = one.end()
    assert (code, out) == (1, "")
    assert err.startswith("/nowhere.parquet: no such trace")
    assert err.count("\n") == 1
    assert one.state() == "failed"
