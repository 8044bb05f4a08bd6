"""Order flows behind books and journals: Bybit, LOBSTER, the sandbox; the rules of each, and real recordings."""

from __future__ import annotations

import itertools
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from drills.errors import UsageError
from loadgen import trace
from loadgen.importers import Options
from tests.contract.imports import DATA, Imported, import_, skipped

BYBIT = DATA / "bybit-ws-sample.txt"
REAL = Path(__file__).parent.parent.parent.parent / "shared" / "data"
FLOW = ("t_ns", "op", "side", "tif", "price", "qty", "parent")


def seconds(made: Imported, *names: str) -> list[tuple[object, ...]]:
    return [(int(str(t_ns)) / 1e9, *rest) for t_ns, *rest in made.rows(*names)]


def test_the_flow_behind_a_book(tmp_path: Path) -> None:
    made = import_("bybit-ws", BYBIT, tmp_path, Options(sessions=4))
    assert seconds(made, *FLOW) == [
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
    assert made.trace.grid["ABCUSDT"] == trace.Symbol(Decimal("0.5"), Decimal("0.5"))
    assert trace.first_problem(made.trace) is None  # among others: a cancel belongs to its order's session
    assert set(made.trace.table["session"].to_pylist()) <= set(range(4))


def test_an_inverse_recording_lists_its_levels_without_a_name_and_counts_in_contracts(tmp_path: Path) -> None:
    level = '{{"price":"{}","symbol":"BTCUSD","id":1,"side":"{}","size":{}}}'
    listed = f"{level.format('60000.50', 'Buy', 1200000)},{level.format('60001.00', 'Sell', 7)}"
    trade = '{"symbol":"BTCUSD","price":60001.00,"size":5,"side":"Buy","trade_id":"a"}'
    lines = [
        f'1700000001.0: {{"topic":"orderBookL2_25.BTCUSD","type":"snapshot","data":[{listed}]}}',
        f'1700000003.0: {{"topic":"trade.BTCUSD","data":[{trade}]}}',
    ]
    (tmp_path / "x.txt").write_text("\n".join(lines))
    made = import_(None, tmp_path / "x.txt", tmp_path)
    assert seconds(made, "t_ns", "op", "tif", "price", "qty") == [
        (0.0, "place", "GTC", "60000.5", "1200000"),
        (0.002, "place", "GTC", "60001.0", "7"),
        (1.002, "place", "IOC", "60001.0", "5"),
        (1.004, "cancel", None, None, None),
        (1.006, "cancel", None, None, None),
    ]


@pytest.mark.parametrize("value", ["-1", "NaN", "1e400", '"x"', "null", "0.0000000001", "[1]", "true", "99999999999"])
def test_a_hostile_number_is_a_corrupt_line(tmp_path: Path, value: str) -> None:
    (tmp_path / "x.txt").write_text(BYBIT.read_text().replace('"size":7}', f'"size":{value}}}'))
    made = import_("bybit-ws", tmp_path / "x.txt", tmp_path)
    assert skipped(made.report)["corrupt: corrupt line"] == [6, 11]


@pytest.mark.parametrize("name", ["abcusdt", "", "A" * 33, "ABC USDT", "XYZUSDT"])
def test_a_level_of_no_symbol_or_another_one_is_a_corrupt_line(tmp_path: Path, name: str) -> None:
    text = BYBIT.read_text().replace(
        '"symbol":"ABCUSDT","id":"1","side":"Buy","size":7', f'"symbol":"{name}","id":"1","side":"Buy","size":7'
    )
    (tmp_path / "x.txt").write_text(text)
    assert skipped(import_("bybit-ws", tmp_path / "x.txt", tmp_path).report)["corrupt: corrupt line"] == [6, 11]


def test_a_time_that_goes_back_is_noted_and_counts_as_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(BYBIT.read_text().replace("1700000003.0:", "1700000000.5:"))
    made = import_("bybit-ws", tmp_path / "x.txt", tmp_path)
    assert made.report.notes["time goes back"].lines == [7]
    assert seconds(made, "t_ns", "op", "parent")[4] == (0.002, "cancel", "c2")


def test_the_flow_behind_a_message_file(tmp_path: Path) -> None:
    file = DATA / "ABC_2012-06-21_34200000_57600000_message_10.csv"
    made = import_("lobster", file, tmp_path)
    assert seconds(made, *FLOW) == [
        (0.0, "place", "Buy", "GTC", "585.330", "100", None),
        (0.1, "place", "Sell", "GTC", "585.940", "50", None),
        (0.2, "amend", None, None, "585.330", "60", "11"),  # 40 of 100 cancelled
        (0.3, "place", "Buy", "IOC", "585.940", "20", None),  # what took 20 of the offer
        (0.4, "place", "Sell", "IOC", "585.635", "10", None),  # what took a hidden bid
        (0.5, "cancel", None, None, None, None, "12"),
        (0.9, "cancel", None, None, None, None, "11"),  # all that was left, as a cancel of part
    ]
    assert set(made.trace.column("symbol").to_pylist()) == {"ABC"}
    assert (made.report.first_ns or 0) % 10**9 == 4_241_176
    assert np.datetime64(made.report.first_ns, "ns").astype(str).startswith("2012-06-21T09:30:00")


def test_the_rest_of_an_order_counts_what_was_executed(tmp_path: Path) -> None:
    lines = ["1.0,1,5,100,100,1", "2.0,4,5,30,100,1", "3.0,2,5,20,100,1", "4.0,4,5,50,100,1", "5.0,2,5,1,100,1"]
    (tmp_path / "m.csv").write_text("\n".join(lines))
    made = import_("lobster", tmp_path / "m.csv", tmp_path, Options(symbol="XYZ", date="2026-01-05"))
    assert made.rows("op", "qty") == [
        ("place", "100"),
        ("place", "30"),
        ("amend", "80"),  # 30 of them filled, 50 left
        ("place", "50"),
        ("amend", "1"),  # of an order that is gone: as the file says it
    ]
    assert np.datetime64(made.report.first_ns, "ns") == np.datetime64("2026-01-05T00:00:01", "ns")


def test_a_message_file_needs_a_symbol_and_a_real_date(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("1.0,1,5,100,100,1")
    with pytest.raises(UsageError, match="does not tell the symbol; name it with --symbol"):
        import_("lobster", tmp_path / "m.csv", tmp_path)
    for symbol, date in (("XYZ", "2026-02-30"), ("XYZ", "yesterday"), ("x y", None), ("XYZ", "9999-01-01")):
        with pytest.raises(UsageError, match="YYYY-MM-DD"):
            import_("lobster", tmp_path / "m.csv", tmp_path, Options(symbol=symbol, date=date))


def test_a_journal_becomes_the_intents_of_its_accounts(tmp_path: Path) -> None:
    made = import_("sandbox-journal", DATA / "sandbox-journal-sample.jsonl", tmp_path)
    assert made.rows("session", "account", "op", "type", "tif", "price", "qty", "rec_status") == [
        (0, "acct-0", "place", "Limit", "GTC", "100.50", "2", "New"),
        (1, "acct-1", "place", "Market", "IOC", None, "2", "Filled"),
        (0, "acct-0", "amend", None, None, "100.25", None, "New"),
        (0, "acct-0", "cancel", None, None, None, None, "Cancelled"),
        (0, "acct-0", "place", "Limit", "PostOnly", "100.50", "2", "Rejected 110301"),
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"side":"Buy"', '"side":"Up"'),
        ('"price":"100.5"', '"price":null'),
        ('"qty":"2"', '"qty":"1e99"'),
        ('"qty":"2"', '"qty":[]'),
        ('"account":"alice"', '"account":7'),
        ('"t_ns":1', '"t_ns":-1'),
        ('"kind":"place"', '"kind":"withdraw"'),
        ('"client_id":"run-1"', '"client_id":""'),
        ('"code":0', '"code":"x","outcome":"reject","dropped":0'),
    ],
)
def test_a_command_that_is_none_is_a_corrupt_line(old: str, new: str, tmp_path: Path) -> None:
    first, *rest = (DATA / "sandbox-journal-sample.jsonl").read_text().splitlines()
    assert old in first
    damaged = (
        first.replace(old, new, 1).replace(',"outcome":"ok"', "") if "dropped" in new else first.replace(old, new, 1)
    )
    (tmp_path / "j.jsonl").write_text("\n".join([damaged, *rest]))
    assert skipped(import_("sandbox-journal", tmp_path / "j.jsonl", tmp_path).report)["corrupt: corrupt line"] == [1, 6]


@pytest.mark.parametrize(
    ("name", "kinds", "left_out"),
    [
        ("bybit-linear-2021-04-17.ws.txt", {"place": 10318, "cancel": 10202, "amend": 2066}, [17, 16, 10, 3]),
        ("bybit-inverse-2021-04-17.ws.txt", {"place": 1405, "cancel": 1253, "amend": 444}, [5, 4, 2]),
    ],
)
def test_a_real_recording(name: str, kinds: dict[str, int], left_out: list[int], tmp_path: Path) -> None:
    made = import_("bybit-ws", real(name), tmp_path)
    assert made.trace.sessions == 16
    assert 28e9 < made.trace.duration_ns < 33e9
    assert made.report.kinds == kinds
    assert [entry.count for entry in made.report.skipped.values()] == left_out
    assert not any(entry.corrupt for entry in made.report.skipped.values())
    assert not made.report.notes
    assert made.trace.rows == sum(kinds.values())
    # the backlog that came with the subscription (1,110 operations within 20 ms) is no flow
    assert np.bincount(made.trace.ints("t_ns") // 20_000_000).max() < 400


def test_a_real_log_of_a_drop_copy(tmp_path: Path) -> None:
    made = import_(None, real("oms-fix44.log"), tmp_path)
    assert skipped(made.report) == {
        "corrupt: wrong checksum": [1, 2, 3, 4, 5],  # most of its messages were edited before it was published
        "execution report: what came of an order": [37, 48, 58],
    }
    assert made.report.skipped["wrong checksum"].count == 42
    assert made.rows("op", "symbol", "side", "type", "price", "qty") == [
        *(("place", "0491563", "Buy", "Limit", "1050", "10919"), ("cancel", "0491563", None, None, None, None)),
        *(("place", "B0L0W35", "Sell", "Market", None, "750000"), ("cancel", "B0L0W35", None, None, None, None)),
        *(("place", "B058J56", "Sell", "Market", None, "100000"), ("cancel", "B058J56", None, None, None, None)),
    ]
    for placed, cancelled in itertools.batched(made.rows("op", "client_id", "parent"), 2):
        assert placed[1] == cancelled[2]


def real(name: str) -> Path:
    if not (REAL / name).exists():
        pytest.skip(f"needs the recording {name} in ../shared/data, which is not part of the repository")
    return REAL / name
