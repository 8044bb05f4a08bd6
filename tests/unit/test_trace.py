"""The trace store: what is written is read back, and what is wrong with a file is said in one line."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drills.errors import DefinitionError
from loadgen import trace
from loadgen.builder import Row, build, to_units


def small() -> trace.Trace:
    rows = [
        Row(1_000, 0, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 10_050_000_000, 150_000, "x"),
        Row(2_000, 1, "b", "place", "BTCUSDT", "Sell", "Market", "IOC", None, 100_000, "y"),
        Row(3_000, 0, "a", "amend", "BTCUSDT", price8=10_000_000_000, parent="x"),
        Row(3_000, 0, "a", "cancel", "BTCUSDT", parent="x"),
    ]
    return build("small", rows, {"from": "test"})


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    made = small()
    trace.write(made, tmp_path / "t.parquet")
    read = trace.read(tmp_path / "t.parquet")
    assert read.table.equals(made.table)
    assert read.table.schema.equals(trace.SCHEMA)
    assert (read.grid, read.provenance, read.duration_ns) == (made.grid, {"from": "test"}, made.duration_ns)
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_prices_and_quantities_are_whole_ticks_and_lots() -> None:
    made = small()
    assert made.grid == {"BTCUSDT": trace.Symbol(Decimal("0.5"), Decimal("0.0005"))}
    assert made.table["price_ticks"].to_pylist() == [201, None, 200, None]
    assert made.table["qty_lots"].to_pylist() == [3, 2, None, None]


def test_times_start_at_zero_and_a_repetition_goes_on_at_the_same_rate() -> None:
    made = small()
    assert made.table["t_ns"].to_pylist() == [0, 1000, 2000, 2000]
    assert made.duration_ns == 2666


def test_the_columns_are_delta_encoded_and_compressed(tmp_path: Path) -> None:
    trace.write(small(), tmp_path / "t.parquet")
    meta = pq.read_metadata(tmp_path / "t.parquet").row_group(0)
    columns = {meta.column(k).path_in_schema: meta.column(k) for k in range(meta.num_columns)}
    assert columns["t_ns"].compression == "ZSTD"
    assert "DELTA_BINARY_PACKED" in columns["t_ns"].encodings
    assert "DELTA_BYTE_ARRAY" in columns["op_id"].encodings


@pytest.mark.parametrize("value", ["0", "-1", "0.000000001", "NaN", "Infinity"])
def test_a_price_that_no_venue_takes_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"not above zero|8 decimal places"):
        to_units(Decimal(value))


def test_bundled_traces_are_found_by_name_and_hold_what_they_promise() -> None:
    read = trace.read("linear-perp-1m")
    assert trace.bundled()["linear-perp-1m"].stat().st_size < 2_000_000
    assert (read.sessions, len(read.grid)) == (16, 8)
    assert 1100 < read.rate < 1300
    assert 59e9 < read.duration_ns < 61e9


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DefinitionError, match=r"linear-perp-9m: no such trace; write a path or .*linear-perp-1m"):
        trace.read("linear-perp-9m")


def test_a_folder_is_no_trace(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="is a folder, not a trace"):
        trace.read(tmp_path)


def broken(kind: str, good: bytes) -> bytes:
    middle = len(good) // 2
    return {
        "empty": b"",
        "foreign": b"epoch,price\n1,2\n",
        "truncated": good[:-40],
        "torn head": good[:10],
        "corrupt": good[:20] + b"\xff" * (middle - 20) + good[middle:],
        "corrupt end": good[:-40] + b"\xff" * 32 + good[-8:],
    }[kind]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "is empty"),
        ("foreign", "is not a Parquet file"),
        ("truncated", "is truncated"),
        ("torn head", "is truncated"),
        ("corrupt", "is corrupt"),
        ("corrupt end", "is corrupt"),
    ],
)
def test_a_damaged_file_is_one_line_with_what_to_do(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "t.parquet"
    trace.write(small(), path)
    path.write_bytes(broken(kind, path.read_bytes()))
    with pytest.raises(DefinitionError) as caught:
        trace.read(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: {message}")
    assert text.endswith("import or record it again")
    assert "\n" not in text


def test_parquet_of_something_else_is_no_trace(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "t.parquet")
    with pytest.raises(DefinitionError, match="is Parquet, but not a trace: it lacks op_id"):
        trace.read(tmp_path / "t.parquet")
    pq.write_table(small().table, tmp_path / "t.parquet")
    with pytest.raises(DefinitionError, match=r"it has no muster\.trace metadata"):
        trace.read(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "has trace format 99, this version reads up to 2; update muster"),
        ({"grid": []}, "has damaged trace metadata"),
        ({"grid": {"BTCUSDT": {}}}, "has damaged trace metadata"),
        ({"duration_ns": 0}, "has damaged trace metadata"),
        ({"format": "x"}, "has damaged trace metadata"),
    ],
)
def test_foreign_metadata(tmp_path: Path, change: dict[str, object], message: str) -> None:
    meta = {"format": 1, "duration_ns": 5000, "grid": {"BTCUSDT": {"tick": "1", "lot": "1"}}, "provenance": {}}
    table = small().table.replace_schema_metadata({b"muster.trace": orjson.dumps(meta | change)})
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DefinitionError, match=message):
        trace.read(tmp_path / "t.parquet")


def altered(**columns: list[object]) -> trace.Trace:
    table = small().table
    if not columns.keys() & {"parent_row", "prior_row"}:
        table = table.drop_columns(["parent_row", "prior_row"])
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    return with_table(table)


def with_table(table: pa.Table) -> trace.Trace:
    made = small()
    return trace.of(made.name, table, made.grid, made.provenance, made.duration_ns)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"t_ns": [0, 3, 2, 4]}, "row 2: t_ns 2 is before the row above"),
        ({"t_ns": [-1, 3, 4, 4]}, "row 0: t_ns -1 is below 0"),
        ({"t_ns": [0, 1, 2, 9999]}, "row 3: t_ns 9999 is not within duration_ns 2666"),
        ({"symbol": ["BTCUSDT", None, "BTCUSDT", "BTCUSDT"]}, "row 1: no symbol"),
        ({"symbol": ["BTCUSDT", "XUSDT", "BTCUSDT", "BTCUSDT"]}, "row 1: no tick and lot for symbol XUSDT"),
        (
            {"op": ["place", "place", "split", "cancel"]},
            "row 2: split: not one of place, cancel, amend, withdraw, transfer, request, read",
        ),
        ({"side": ["Up", "Sell", None, None]}, "row 0: place: side Up, not Buy or Sell"),
        ({"tif": ["GTX", "IOC", None, None]}, "row 0: place: type Limit with tif GTX"),
        ({"price_ticks": [None, None, 1, None]}, "row 0: place: price_ticks None of a Limit order"),
        ({"price_ticks": [1, 5, 1, None]}, "row 1: place: price_ticks 5 of a Market order"),
        ({"price_ticks": [0, None, 1, None]}, "row 0: place: price_ticks 0 of a Limit order"),
        ({"qty_lots": [0, 1, None, None]}, "row 0: place: qty_lots 0"),
        ({"client_id": [None, "y", None, None]}, "row 0: place: no client_id"),
        ({"client_id": ["x", "x", None, None]}, "row 1: place: client_id x a second time"),
        ({"parent": [None, None, "z", "x"]}, "row 2: amend: names order z, which no earlier row places"),
        ({"session": [0, 1, 1, 0]}, "row 2: amend: names order x of another session or symbol"),
        ({"price_ticks": [1, None, None, None]}, "row 2: amend: price_ticks None, qty_lots None"),
    ],
)
def test_an_inconsistent_trace_is_refused_with_its_first_row(
    tmp_path: Path, columns: dict[str, list[object]], problem: str
) -> None:
    bad = altered(**columns)
    assert trace.first_problem(bad) == problem
    with pytest.raises(DefinitionError, match=r"row \d"):
        trace.write(bad, tmp_path / "t.parquet")
    assert not list(tmp_path.iterdir())


def test_an_empty_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="holds no operation"):
        trace.write(with_table(trace.SCHEMA.empty_table()), tmp_path / "t.parquet")
