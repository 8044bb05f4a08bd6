"""The witness: schedule, cursor and chunks together tell what was sent, whatever killed the generator."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from drills.errors import ComponentError
from drills.evidence import WITNESS, RunDir
from loadgen import schedule, witness
from loadgen.builder import Row, build
from loadgen.engine.core import Engine
from loadgen.engine.files import LoadFiles
from loadgen.engine.live import Live
from loadgen.engine.ops import KINDS, OK, REJECT, UNKNOWN, Decided

START = 5_000
GAP = 1_000_000


def lay_out(
    run: RunDir, count: int = 6, begun: int = 6, *, worker: int | None = None, reads: tuple[int, ...] = ()
) -> witness.ChunkWriter:
    """A run whose load got `begun` of `count` operations on their way, one each millisecond."""
    for folder in (run.load, run.witness_chunks):
        folder.mkdir(parents=True, exist_ok=True)
    files = LoadFiles(run, worker)
    rows = [
        Row(n * GAP, n % 2, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 200_000_000, 300_000_000, f"c{n}")
        if n not in reads
        else Row(n * GAP, n % 2, "a", "read", "", payload=b'{"method":"GET","path":"/"}')
        for n in range(count)
    ]
    shard = (0, 1) if worker is None else (worker, 2)
    made = schedule.build(build("t", rows, {}), duration_s=count * GAP / 1e9, shard=shard)
    schedule.write(made, files.schedule, run.run_id, START)
    witness.Cursor(files.cursor).move(begun)
    return witness.ChunkWriter(files, lambda work: work())


def columns(count: int, value: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.full(count, value, np.int64)


def decided(*numbers: int, outcome: int = OK, answered_ns: int = 9_000, error: str | None = None) -> Decided:
    n, count = np.array(numbers, np.int64), len(numbers)
    return Decided(
        n=n,
        kind=columns(count, 0),
        intended_ns=START + n * GAP,
        sent_ns=START + n * GAP + 7,
        answered_ns=columns(count, answered_ns),
        outcome=columns(count, outcome),
        seq=n + 100,
        epoch=columns(count, 2),
        attempts=columns(count, 1),
        error=columns(count, 1 if error else 0),
        errors=["", error or ""],
    )


def live(run: RunDir, *lines: tuple[int, str], torn: bytes = b"") -> None:
    data = b"".join(orjson.dumps({"t_ns": t, "state": state}) + b"\n" for t, state in lines)
    run.live.write_bytes(data + torn)


def read(run: RunDir) -> list[dict[str, Any]]:
    table = pq.read_table(witness.consolidate(run.path))
    assert table.schema.equals(WITNESS)
    return list(table.to_pylist())


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "run-x")


def test_a_decided_operation_has_every_column(run: RunDir) -> None:
    lay_out(run, 2, 1).submit([decided(0)])
    live(run, (START, "running"))
    assert read(run) == [
        {
            "op_id": "run-x-0000000000",
            "kind": "place",
            "session": "acct-0",
            "key": "BTCUSDT",
            "notional": Decimal("6.00000000"),
            "intended_ns": START,
            "sent_ns": START + 7,
            "answered_ns": 9_000,
            "outcome": "ok",
            "server_seq": 100,
            "epoch": 2,
            "attempts": 1,
            "error": None,
        }
    ]


def test_what_was_begun_and_never_written_was_sent_and_is_unknown(run: RunDir) -> None:
    writer = lay_out(run, 6, 4)
    writer.submit([decided(2)])
    writer.submit([decided(0, outcome=REJECT, error="110001")])
    (run.witness_chunks / "chunk-00002.arrow.tmp").write_bytes(b"half a chunk")
    live(run, (START, "running"), (START + 4 * GAP, "running"), torn=b'{"t_ns": 99')
    rows = read(run)
    assert [(row["op_id"], row["outcome"], row["error"], row["attempts"]) for row in rows] == [
        ("run-x-0000000000", "reject", "110001", 1),
        ("run-x-0000000001", "unknown", "unresolved", 1),
        ("run-x-0000000002", "ok", None, 1),
        ("run-x-0000000003", "unknown", "unresolved", 1),
        ("run-x-0000000004", "unknown", "unsent", 0),  # its time had come, and nobody sent it
    ]
    assert [row["sent_ns"] for row in rows] == [START + 7, START + GAP, START + 2 * GAP + 7, START + 3 * GAP, None]
    assert rows[1]["answered_ns"] is None


def test_the_schedule_counts_until_the_load_was_asked_to_stop(run: RunDir) -> None:
    lay_out(run, 6, 2)
    live(run, (START, "running"), (START + 2 * GAP, "draining"), (START + 5 * GAP, "done"))
    assert [row["error"] for row in read(run)] == ["unresolved", "unresolved", "unsent"]


def test_what_was_begun_counts_even_after_the_last_line(run: RunDir) -> None:
    lay_out(run, 6, 5)
    live(run, (START, "running"))
    assert len(read(run)) == 5


def test_a_load_that_died_before_its_first_send_has_an_empty_witness(run: RunDir) -> None:
    lay_out(run, 6, 0)
    assert read(run) == []


def test_a_run_without_a_schedule_is_one_line(run: RunDir) -> None:
    with pytest.raises(ComponentError, match=r"load: .*no readable schedule"):
        witness.consolidate(run.path)


def test_a_damaged_chunk_is_never_passed_over(run: RunDir) -> None:
    lay_out(run)
    (run.witness_chunks / "chunk-00000.arrow").write_bytes(b"nonsense")
    live(run, (START, "running"))
    with pytest.raises(ComponentError, match=r"witness: .*chunk-00000\.arrow: unreadable chunk"):
        witness.consolidate(run.path)


def test_a_full_disk_is_reported_by_the_writer(run: RunDir) -> None:
    writer = lay_out(run)
    run.witness_chunks.rename(run.path / "gone")
    writer.submit([decided(0)])
    assert writer.pending == 0
    assert isinstance(writer.failure, FileNotFoundError)


def test_an_empty_chunk_is_not_written(run: RunDir) -> None:
    lay_out(run).submit([])
    assert list(run.witness_chunks.iterdir()) == []


def test_live_lines_count_good_by_the_limit_of_the_kind(tmp_path: Path) -> None:
    log = Live(tmp_path / "live.ndjson", {"place": 500, "cancel": 250, "amend": 250}, frozenset({"110001"}))
    ms = 1_000_000
    news = decided(0, 1, 2, 3, 4, 5)
    news.kind = np.array([0, 0, 1, 1, 1, 0])
    news.intended_ns = news.sent_ns = columns(6, 0)
    news.answered_ns = np.array([500 * ms, 501 * ms, 250 * ms, 100 * ms, 100 * ms, -1])
    news.outcome = np.array([OK, OK, OK, REJECT, REJECT, UNKNOWN])
    news.error, news.errors = np.array([0, 0, 0, 1, 2, 3]), ["", "110001", "10016", "timeout"]
    log.add(news)
    log.write(7, "running", None)
    log.write(8, "done", None, "because")
    first, second = (orjson.loads(line) for line in (tmp_path / "live.ndjson").read_bytes().splitlines())
    counts = {"scheduled": 0, "sent": 0}
    assert first["flows"] == {
        "place": {**counts, "answered": 2, "ok": 2, "reject": 0, "unknown": 1, "good": 1},
        "cancel": {**counts, "answered": 3, "ok": 1, "reject": 2, "unknown": 0, "good": 2},
        "amend": {**counts, "answered": 0, "ok": 0, "reject": 0, "unknown": 0, "good": 0},
    }
    assert (first["t_ns"], first["state"], first["lag_p99_ms"]) == (7, "running", None)
    assert first["p50_ms"] == pytest.approx(250, rel=0.004)
    assert second["flows"] == first["flows"]
    assert (second["reason"], second["p99_ms"]) == ("because", None)


def test_the_lag_of_the_run_is_kept_over_all_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Live(tmp_path / "live.ndjson", {})
    engine = Engine.__new__(Engine)
    engine.scheduled = engine.sent = np.zeros(len(KINDS), np.int64)
    for lag_us in (100, 5_000):
        monkeypatch.setattr(engine, "take_lags", lambda lag_us=lag_us: columns(100, lag_us * 1000), raising=False)
        log.write(1, "running", engine)
    lines = [orjson.loads(line) for line in (tmp_path / "live.ndjson").read_bytes().splitlines()]
    assert [line["lag_p99_ms"] for line in lines] == pytest.approx([0.1, 5.0], rel=0.004)
    assert lines[1]["run_lag_p99_ms"] == pytest.approx(5.0, rel=0.004)


def test_workers_are_joined_in_the_order_of_time(run: RunDir) -> None:
    for worker in (0, 1):
        lay_out(run, 6, 3, worker=worker).submit([decided(1)])
    live(run, (START + 6 * GAP, "running"))
    rows = read(run)
    assert [row["op_id"][-10:] for row in rows] == [f"{worker:02d}{n:08d}" for n in range(3) for worker in (0, 1)]
    assert [row["outcome"] for row in rows] == ["unknown", "unknown", "ok", "ok", "unknown", "unknown"]


def test_what_a_lost_worker_had_still_to_send_is_unsent(run: RunDir) -> None:
    lay_out(run, 6, 3, worker=0).submit([decided(0), decided(1, 2)])
    lay_out(run, 6, 1, worker=1)
    live(run, (START + 6 * GAP, "running"))
    assert [(row["outcome"], row["error"]) for row in read(run)[1::2]] == [
        ("unknown", "unresolved"),
        ("unknown", "unsent"),
        ("unknown", "unsent"),
    ]


def test_reads_have_a_file_of_their_own(run: RunDir) -> None:
    lay_out(run, 6, 6, reads=(1, 4)).submit([decided(0, 1, 2, 3, 4, 5)])
    live(run, (START, "running"))
    assert {row["kind"] for row in read(run)} == {"place"}
    reads = pq.read_table(run.reads)
    assert reads.schema.equals(WITNESS)
    assert [(row["kind"], row["op_id"][-1]) for row in reads.to_pylist()] == [("read", "1"), ("read", "4")]
