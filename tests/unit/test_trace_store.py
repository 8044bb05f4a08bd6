"""The file of a trace: links, lazy columns, what is checked when, and damage of any kind."""

from __future__ import annotations

from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drills.errors import DefinitionError
from loadgen import synth, trace, trace_store
from loadgen.builder import Row, build

GET = orjson.dumps({"method": "GET", "path": "/v5/order?x=1", "headers": {"accept": "*/*"}})


def mixed() -> trace.Trace:
    rows = [
        Row(0, 0, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 10_050_000_000, 150_000, "x"),
        Row(10, 1, "b", "read", "", payload=GET, rec_status="200", rec_latency_us=1_500),
        Row(20, 0, "a", "amend", "BTCUSDT", price8=10_000_000_000, parent="x"),
        Row(30, 1, "b", "withdraw", "ETH", qty8=50_000_000, payload=b'{"message": "take it"}'),
        Row(40, 0, "a", "place", "BTCUSDT", "Sell", "Market", "IOC", None, 100_000, "y"),
        Row(50, 0, "a", "cancel", "BTCUSDT", parent="x"),
    ]
    return build("mixed", rows, {"from": "test"})


def test_links_say_in_rows_what_client_ids_say() -> None:
    made = mixed()
    assert made.table["parent_row"].to_pylist() == [None, None, 0, None, None, 0]
    assert made.table["prior_row"].to_pylist() == [None, None, 0, None, None, 2]
    assert made.ints("prior_row").tolist() == [-1, -1, 0, -1, -1, 2]


def test_links_are_computed_where_they_are_absent_only() -> None:
    made = mixed()
    assert made.table["parent_row"].null_count
    stale = made.table.slice(1)
    again = trace.of("t", stale, made.grid, {}, 60)
    assert again.ints("parent_row").tolist() == [-1, 0, -1, -1, 0]
    assert trace.first_problem(again) == "row 1: amend: names order x, which no earlier row places"
    fresh = trace.of("t", made.table.slice(0, 3).drop_columns(["parent_row", "prior_row"]), made.grid, {}, 60)
    assert fresh.ints("parent_row").tolist() == [-1, -1, 0]
    wrong = made.table.set_column(18, "prior_row", pa.array([None, None, 0, None, None, 0]))
    problem = trace.first_problem(trace.of("t", wrong, made.grid, {}, 60))
    assert problem == "row 5: cancel: parent_row 0 with prior_row 0, not the rows of its order"


def test_columns_come_as_numbers_and_as_codes(tmp_path: Path) -> None:
    trace.write(mixed(), tmp_path / "t.parquet")
    for made in (mixed(), trace.read(tmp_path / "t.parquet")):
        assert (made.rows, made.sessions) == (6, 2)
        assert made.ints("price_ticks").tolist() == [201, -1, 200, -1, -1, -1]
        assert made.ints("session").dtype == made.ints("t_ns").dtype == "int64"
        codes, words = made.codes("op")
        assert codes.dtype == "int32"
        assert [words[code] for code in codes] == ["place", "read", "amend", "withdraw", "place", "cancel"]
        codes, words = made.codes("side")
        assert [words[code] if code >= 0 else None for code in codes] == ["Buy", None, None, None, "Sell", None]
        codes, words = made.codes("rec_status")
        assert [words[code] if code >= 0 else None for code in codes] == [None, "200", None, None, None, None]
        assert made.column("payload").to_pylist()[1] == GET
        assert made.column("side").to_pylist() == ["Buy", None, None, None, "Sell", None]


def test_a_request_needs_no_symbol_and_no_grid(tmp_path: Path) -> None:
    made = mixed()
    assert set(made.grid) == {"BTCUSDT", "ETH"}
    assert trace.first_problem(made) is None
    trace.write(made, tmp_path / "t.parquet")
    read = trace.read(tmp_path / "t.parquet")
    assert read.table.equals(made.table)
    assert read.table.schema.equals(trace.SCHEMA)


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        (None, "row 0: request: no payload"),
        (b"{", "row 0: request: its payload is not JSON"),
        (b"[1]", "row 0: request: its payload is neither a message nor a method and a path"),
        (b'{"method": "POST"}', "row 0: request: its payload is neither a message nor a method and a path"),
        (
            b'{"method": "POST", "path": "/", "headers": {"a": 1}}',
            "row 0: request: its payload is neither a message nor a method and a path",
        ),
    ],
)
def test_a_payload_that_cannot_be_sent_again_is_refused(payload: bytes | None, problem: str) -> None:
    assert trace.first_problem(build("t", [Row(0, 0, "a", "request", "", payload=payload)], {})) == problem


@pytest.mark.parametrize("session", [-1, 1_000_000])
def test_a_session_beyond_measure_is_refused(session: int) -> None:
    made = build("t", [Row(0, session, "a", "read", "", payload=GET)], {})
    assert trace.first_problem(made) == f"row 0: session {session} is not within 0 to 999999"


def test_pages_carry_checksums_and_columns_of_few_words_no_nulls(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    trace.write(synth.generate(1, 300, 1), path)
    columns = pq.read_metadata(path).schema
    assert all(columns.column(trace.SCHEMA.names.index(name)).max_definition_level == 0 for name in ("side", "op"))
    damage(path, "t_ns")
    with pytest.raises(DefinitionError, match=r"is corrupt: .*CRC"):
        trace.read(path)


def damage(path: Path, name: str) -> None:
    """Flip one bit in the last page of a column."""
    content = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(trace.SCHEMA.names.index(name))
    start = column.dictionary_page_offset or column.data_page_offset
    content[start + column.total_compressed_size - 3] ^= 1
    path.write_bytes(content)


def test_damage_in_a_column_that_a_replay_does_not_need_is_told_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    trace.write(synth.generate(1, 300, 1), path)
    damage(path, "client_id")
    read = trace.read(path)
    assert read.sessions == synth.ACCOUNTS
    with pytest.raises(DefinitionError, match="is corrupt") as caught:
        read.column("client_id")
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(DefinitionError, match="is corrupt"):
        _ = read.table


def test_rows_are_checked_again_unless_our_writer_sealed_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.parquet"
    trace.write(mixed(), path)
    asked: list[str] = []

    def problem(made: trace.Trace) -> str:
        asked.append(made.name)
        return "row 0: bad"

    monkeypatch.setattr(trace, "first_problem", problem)
    trace.read(path)
    assert not asked
    pq.write_table(pq.read_table(path), path)  # keeps the metadata, not the seal
    with pytest.raises(DefinitionError, match=r"row 0: bad; import or record it again"):
        trace.read(path)
    assert asked == ["t"]


def test_a_file_of_format_1_gets_its_links(tmp_path: Path) -> None:
    made = synth.generate(1, 300, 1)
    grid = {name: {"tick": f"{size.tick:f}", "lot": f"{size.lot:f}"} for name, size in made.grid.items()}
    meta = {"format": 1, "duration_ns": made.duration_ns, "grid": grid, "provenance": {}}
    table = made.table.drop_columns(["parent_row", "prior_row"])
    pq.write_table(table.replace_schema_metadata({b"muster.trace": orjson.dumps(meta)}), tmp_path / "t.parquet")
    assert trace.read(tmp_path / "t.parquet").table.equals(made.table)


def test_row_groups_with_words_of_their_own_are_told_apart(tmp_path: Path) -> None:
    one = synth.generate(1, 300, 1)
    table = one.table
    half = len(table) // 2
    parts = [table.slice(0, half), table.slice(half)]
    trace_store.write(parts, tmp_path / "t.parquet", trace_store.Meta(one.duration_ns, one.grid, {}))
    read = trace.read(tmp_path / "t.parquet")
    assert pq.read_metadata(tmp_path / "t.parquet").num_row_groups == 2
    assert read.table.equals(one.table)
    for name in trace.WORDS:
        codes, words = read.codes(name)
        assert [words[code] if code >= 0 else None for code in codes.tolist()] == table[name].to_pylist()


def test_a_trace_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    made = mixed()
    odd = trace.of("t", made.table, made.grid, {"odd": object()}, made.duration_ns)
    with pytest.raises(TypeError):
        trace.write(odd, tmp_path / "t.parquet")
    assert not list(tmp_path.iterdir())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_one_line_or_none_at_all(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "t.parquet"
    trace.write(mixed(), path)
    good = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        del good[data.draw(st.integers(0, len(good) - 1)) :]
    else:
        good[data.draw(st.integers(0, len(good) - 9))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(good)
    try:
        read = trace.read(path)
        same = read.table.equals(mixed().table) and read.grid == mixed().grid  # a byte that says nothing
    except DefinitionError as error:
        same = "\n" not in str(error)
    assert same
