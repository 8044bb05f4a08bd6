"""The collector: whatever order and quality rows come in, the trace is consistent and every row is accounted for."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drills.errors import DefinitionError
from loadgen import collector, synth, trace, trace_store
from loadgen.builder import Row, build
from loadgen.collector import Collected, Collector

START = 1_760_000_000_000_000_000


def place(t_ns: int, name: str, session: int = 0, symbol: str = "BTCUSDT", **more: object) -> Row:
    price8, qty8 = 10_050_000_000, 150_000
    fields = {"side": "Buy", "type": "Limit", "tif": "GTC", "price8": price8, "qty8": qty8, "client_id": name} | more
    return Row(t_ns, session, "a", "place", symbol, **fields)  # type: ignore[arg-type]


def cancel(t_ns: int, parent: str, session: int = 0, symbol: str = "BTCUSDT") -> Row:
    return Row(t_ns, session, "a", "cancel", symbol, parent=parent)


def collect(path: Path, rows: Iterable[Row]) -> Collected:
    with Collector(path, "t") as made:
        for row in rows:
            made.add(row)
        return made.finish({"from": "test"})


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "WINDOW", 4)
    monkeypatch.setattr(trace_store, "ROW_GROUP", 7)


def test_the_file_is_what_the_builder_makes_of_the_same_rows(tmp_path: Path, small_window: None) -> None:
    del small_window
    table = synth.generate(1, 300, 1).table.to_pylist()
    same = ("session", "account", "op", "symbol", "side", "type", "tif", "client_id", "parent")
    rows = []
    for value in table:
        scaled = {
            f"{name}8": value[full] and value[full] * 1000
            for name, full in (("price", "price_ticks"), ("qty", "qty_lots"))
        }
        more = {name: value[name] for name in same} | scaled
        rows.append(Row(START + value["t_ns"], **more, rec_latency_us=5, payload=b"kept"))
    made = collect(tmp_path / "t.parquet", rows)
    expected, read = build("t", rows, {"from": "test"}), trace.read(tmp_path / "t.parquet")
    assert read.table.equals(expected.table)
    assert (read.grid, read.duration_ns, read.provenance) == (expected.grid, expected.duration_ns, {"from": "test"})
    assert made == Collected(len(rows), Counter(row.op for row in rows), table[-1]["t_ns"] - table[0]["t_ns"])
    assert pq.read_metadata(tmp_path / "t.parquet").num_row_groups == -(-len(rows) // 7)
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_orphans_and_ids_used_twice_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [
        cancel(0, "older"),
        place(10, "x"),
        place(20, "x"),
        cancel(30, "x"),
        cancel(40, "y"),
        cancel(50, "x", session=1),
        cancel(60, "x", symbol="ETHUSDT"),
        cancel(70, "x", symbol=""),
    ]
    made = collect(tmp_path / "t.parquet", rows)
    assert (made.rows, made.orphans, made.span_ns) == (3, 2, 60)
    assert made.first_orphans == ["cancel of older", "cancel of y"]
    assert made.left_out == {
        "names an order that was not placed before": 2,
        "client id a second time": 1,
        "names an order of another session or symbol": 2,
    }
    assert made.examples["names an order that was not placed before"] == ["older", "y"]
    read = trace.read(tmp_path / "t.parquet")
    assert read.ints("t_ns").tolist() == [0, 20, 60]
    assert read.table["symbol"].to_pylist() == ["BTCUSDT"] * 3
    assert trace.first_problem(read) is None


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (place(0, "x", side="Up"), "an unusable place"),
        (place(0, "x", price8=0), "an unusable place"),
        (place(0, "x", price8=2**70), "a number beyond all measure"),
        (place(10**40, "x"), "a number beyond all measure"),
        (place(0, "x", session=-1), "a session that is not within 0 to 999999"),
        (Row(0, 0, "a", "explode", "BTCUSDT"), "an operation of no known kind"),
        (Row(0, 0, "a", "amend", "BTCUSDT", parent="x"), "an unusable amend"),
        (Row(0, 0, "a", "read", "", payload=b"{"), "an unusable read"),
    ],
)
def test_a_row_that_no_trace_can_hold_is_left_out(tmp_path: Path, row: Row, reason: str) -> None:
    made = collect(tmp_path / "t.parquet", [row])
    assert (made.rows, made.left_out) == (0, {reason: 1})
    assert not list(tmp_path.iterdir())  # nothing to write


def test_rows_out_of_order_are_sorted_within_the_window_and_moved_beyond_it(tmp_path: Path, small_window: None) -> None:
    del small_window
    times = [10, 20, 30, 40, 50, 60, 70, 15, 80, 90, 100, 110, 5, 120]
    made = collect(tmp_path / "t.parquet", [place(t, f"c{n}") for n, t in enumerate(times)])
    read = trace.read(tmp_path / "t.parquet")
    assert read.ints("t_ns").tolist() == [t - 10 for t in sorted([*times[:12], 70, 120])]
    assert (made.moved, made.rows, made.span_ns) == (1, 14, 110)


def test_rows_of_one_time_keep_their_order(tmp_path: Path, small_window: None) -> None:
    del small_window
    collect(tmp_path / "t.parquet", [row for n in range(20) for row in (place(7, f"c{n}"), cancel(7, f"c{n}"))])
    read = trace.read(tmp_path / "t.parquet")
    assert read.table["op"].to_pylist() == ["place", "cancel"] * 20
    assert read.ints("prior_row").tolist() == [-1 if n % 2 == 0 else n - 1 for n in range(40)]


def test_large_payloads_shorten_the_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "_WINDOW_BYTES", 1000)
    monkeypatch.setattr(collector, "_GROUP_BYTES", 3000)
    payload = b'{"message": "' + b"x" * 400 + b'"}'
    made = collect(tmp_path / "t.parquet", [Row(n, 0, "a", "request", "", payload=payload) for n in range(50)])
    assert made.rows == 50
    assert pq.read_metadata(tmp_path / "t.parquet").num_row_groups > 4
    assert trace.read(tmp_path / "t.parquet").column("payload").to_pylist() == [payload] * 50


def test_text_that_is_no_unicode_is_kept_readable(tmp_path: Path) -> None:
    collect(tmp_path / "t.parquet", [place(0, "x\ud800")])
    assert trace.read(tmp_path / "t.parquet").table["client_id"].to_pylist() == ["x\\ud800"]


def test_nothing_is_left_of_a_collection_that_ends_early(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"the trace before")
    broken = (place(10 // (2 - n), f"c{n}") for n in range(3))
    with pytest.raises(ZeroDivisionError):
        collect(tmp_path / "t.parquet", broken)
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]
    assert (tmp_path / "t.parquet").read_bytes() == b"the trace before"


def test_a_disk_that_gives_out_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DefinitionError, match=r"no/t\.parquet: cannot be written: .*No such file"):
        Collector(tmp_path / "no" / "t.parquet", "t")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trace_store, "write", full)
    with pytest.raises(DefinitionError, match="No space left on device"):
        collect(tmp_path / "t.parquet", [place(0, "x")])
    assert not list(tmp_path.iterdir())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**9))
def test_whatever_comes_the_trace_is_consistent(tmp_path: Path, small_window: None, seed: int) -> None:
    del small_window
    rng = random.Random(seed)
    rows = []
    for _ in range(rng.randrange(60)):
        t_ns, name, session = rng.randrange(1000), f"c{rng.randrange(12)}", rng.randrange(3)
        symbol = rng.choice(["AUSDT", "BUSDT"])
        rows.append(
            rng.choice(
                [
                    place(t_ns, name, session, symbol, price8=rng.choice([None, 0, 600, 900])),
                    cancel(t_ns, name, session, symbol),
                    Row(t_ns, session, "a", "amend", symbol, qty8=rng.choice([None, 200, 300]), parent=name),
                    Row(t_ns, session, "a", "request", "", payload=rng.choice([None, b'{"message": ""}'])),
                ]
            )
        )
    made = collect(tmp_path / "t.parquet", rows)
    assert made.rows + made.left_out.total() == len(rows)
    assert made.rows == made.kinds.total()
    if made.rows:
        read = trace.read(tmp_path / "t.parquet")
        assert read.rows == made.rows
        assert trace.first_problem(read) is None
        (tmp_path / "t.parquet").unlink()
