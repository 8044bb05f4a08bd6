"""Importers: bytes to rows of the trace schema, on a hand-made sample and on real recordings."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from drills.errors import DefinitionError, UsageError
from loadgen import importers, trace

SAMPLE = Path(__file__).parent.parent / "data" / "bybit-ws-sample.txt"
REAL = Path(__file__).parent.parent.parent.parent / "shared" / "data"


def rows(made: trace.Trace) -> list[tuple[object, ...]]:
    grid = made.grid["ABCUSDT"]
    return [
        (
            row["t_ns"] / 1e9,
            row["op"],
            row["side"],
            row["tif"],
            None if row["price_ticks"] is None else f"{row['price_ticks'] * grid.tick:f}",
            None if row["qty_lots"] is None else f"{row['qty_lots'] * grid.lot:f}",
            row["parent"],
        )
        for row in made.table.to_pylist()
    ]


def test_the_flow_behind_a_book() -> None:
    made, report = importers.import_file("bybit-ws", SAMPLE, 4)
    assert rows(made) == [
        (0.0, "place", "Buy", "GTC", "100.0", "5.0", None),  # c0: the snapshot seeds the book
        (0.002, "place", "Sell", "GTC", "100.5", "3.5", None),  # c1: 2 ms later, a second behind the snapshot
        (0.002, "place", "Buy", "GTC", "100.0", "2.0", None),  # c2: 5 became 7
        (0.002, "place", "Buy", "GTC", "99.5", "2.0", None),  # c3: a new level
        (1.002, "cancel", None, None, None, None, "c2"),  # 7 became 5: the youngest of exactly 2
        (2.002, "amend", None, None, "100.0", "4.0", "c0"),  # 5 became 4: no order of 1, so part of one
        # at 3.002 the offer shrank by what the trade at 3.202 took: nothing was cancelled
        (3.202, "place", "Buy", "IOC", "100.5", "1.0", None),
        (5.002, "cancel", None, None, None, None, "c3"),
        (7.002, "cancel", None, None, None, None, "c1"),  # gone from the second snapshot
        (7.004, "cancel", None, None, None, None, "c0"),  # what rests at the end
    ]
    assert made.grid["ABCUSDT"] == trace.Symbol(Decimal("0.5"), Decimal("0.5"))
    assert report.kinds == {"place": 5, "cancel": 4, "amend": 1}


def test_every_skipped_line_is_told_with_its_reason() -> None:
    _, report = importers.import_file("bybit-ws", SAMPLE, 4)
    assert {why: (entry.count, entry.lines, entry.corrupt) for why, entry in report.skipped.items()} == {
        "sent by the client": (2, [1, 2], False),
        "answer to the client's own request": (1, [3], False),
        "before the first snapshot of its symbol": (1, [4], False),
        "corrupt line": (1, [11], True),
        'topic "instrument_info.100ms.ABCUSDT" is neither trades nor an L2 book': (1, [13], False),
    }


def test_an_order_keeps_its_session_and_the_deal_is_stable() -> None:
    made, _ = importers.import_file("bybit-ws", SAMPLE, 4)
    again, _ = importers.import_file("bybit-ws", SAMPLE, 4)
    assert made.table.equals(again.table)
    assert set(made.table["session"].to_pylist()) <= set(range(4))
    assert trace.first_problem(made) is None  # among others: a cancel belongs to its order's session


def test_a_trace_of_an_import_is_read_back(tmp_path: Path) -> None:
    made, _ = importers.import_file("bybit-ws", SAMPLE, 4)
    trace.write(made, tmp_path / "x.parquet")
    read = trace.read(tmp_path / "x.parquet")
    assert read.table.equals(made.table)
    assert read.provenance == {"from": "bybit-ws", "file": SAMPLE.name, "lines": 14, "sessions": 4}


@pytest.mark.parametrize("value", ["-1", "NaN", "1e400", '"x"', "null", "0.0000000001"])
def test_a_hostile_number_is_a_corrupt_line(tmp_path: Path, value: str) -> None:
    text = SAMPLE.read_text().replace('"size":7}', f'"size":{value}}}')
    (tmp_path / "x.txt").write_text(text)
    _, report = importers.import_file("bybit-ws", tmp_path / "x.txt", 4)
    assert report.skipped["corrupt line"].lines == [6, 11]


def test_nothing_usable_is_an_error_that_says_why(tmp_path: Path) -> None:
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"\xff\xfe\n1700000000.1: {\n1700000000.2: 17\n")
    with pytest.raises(DefinitionError, match=r"nothing usable in 3 lines: 3 × corrupt line \(line 1\)"):
        importers.import_file("bybit-ws", bad, 4)
    bad.write_bytes(b"")
    with pytest.raises(DefinitionError, match="nothing usable in 0 lines: it is empty"):
        importers.import_file("bybit-ws", bad, 4)


def test_a_missing_file_a_folder_and_an_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="no such file"):
        importers.import_file("bybit-ws", tmp_path / "none", 4)
    with pytest.raises(DefinitionError, match="is a folder"):
        importers.import_file("bybit-ws", tmp_path, 4)
    with pytest.raises(UsageError, match='no importer "csv"; known: bybit-ws'):
        importers.import_file("csv", SAMPLE, 4)


@pytest.mark.parametrize(
    ("name", "kinds", "corrupt"),
    [
        ("bybit-linear-2021-04-17.ws.txt", {"place": 10318, "cancel": 10202, "amend": 2066}, 0),
        ("bybit-inverse-2021-04-17.ws.txt", {"place": 1405, "cancel": 1253, "amend": 444}, 0),
    ],
)
def test_a_real_recording(name: str, kinds: dict[str, int], corrupt: int, tmp_path: Path) -> None:
    file = REAL / name
    if not file.exists():
        pytest.skip(f"needs the recording {name} in ../shared/data, which is not part of the repository")
    made, report = importers.import_file("bybit-ws", file, 16)
    assert made.sessions == 16
    assert 28e9 < made.duration_ns < 33e9
    assert report.kinds == kinds
    assert sum(entry.count for entry in report.skipped.values() if entry.corrupt) == corrupt
    trace.write(made, tmp_path / "x.parquet")
    assert trace.read(tmp_path / "x.parquet").table.num_rows == sum(kinds.values())
    # the backlog that came with the subscription (1,110 operations within 20 ms) is no flow
    assert np.bincount(made.table["t_ns"].to_numpy() // 20_000_000).max() < 400
