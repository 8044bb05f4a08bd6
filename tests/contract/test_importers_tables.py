"""CSV and JSON lines, by a mapping file and as our own exports have them."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from drills.errors import DefinitionError, DefinitionErrors
from loadgen import importers
from tests.contract.http_recordings import imported, orders, payloads
from tests.contract.imports import DATA, import_, skipped


def test_a_csv_with_a_mapping_file(tmp_path: Path) -> None:
    options = importers.Options(mapping=DATA / "orders-sample.yaml")
    made = import_("csv", DATA / "orders-sample.csv", tmp_path, options)
    assert orders(made) == [
        (0, 0, "place", "Buy", "Limit", "GTC", "60000.5", "0.50", "o-1", "ack"),
        (250, 1, "place", "Sell", "Market", "IOC", "0.25", "o-2", "ack"),
        (500, 0, "amend", "60001.0", "o-1", "ack"),
        (750, 0, "cancel", "o-1", "ack"),
    ]
    assert made.report.first_ns == 1_795_255_200_000_000_000  # 10:00 UTC is 19:00 in Tokyo
    assert made.rows("rec_latency_us")[0] == (1500,)
    assert skipped(made.report) == {
        "corrupt: place with a value that cannot be read": [2],
        "rule: event is HBT": [7],
        'corrupt: side "X" is not mapped': [8],
        "rule: result is not ack": [9],
        "corrupt: not 11 fields": [10],
        "corrupt: corrupt time": [11],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("t: ts\nop: event\npirce: px\n", 'map.yaml:3:1: unknown key "pirce"; did you mean price?'),
        ("t: ts\n", "map.yaml:1:1: op is missing"),
        ("t: {column: ts, unit: sec}\nop: event\n", 'map.yaml:1:23: t.unit: "sec" is not one of'),
        ("t: {column: ts, format: '%Q'}\nop: event\n", 'map.yaml:1:25: t.format: "%Q" is no strptime format'),
        ("t: {column: ts, zone: Mars}\nop: event\n", 'map.yaml:1:23: t.zone: "Mars" is no time zone'),
        (
            "t: ts\nop: {column: event, map: {N: plcae}}\n",
            'map.yaml:2:30: op.map.N: "plcae" is not one of place, cancel',
        ),
        ('t: {column: ts, zone: "\\ud800"}\nop: event\n', r'map.yaml:1:23: t.zone: "\ud800" is no time zone'),
        ("t: ts\nop: {}\n", "map.yaml:2:5: op: needs either column or constant"),
        ("t: ts\nop: event\nskip: [{column: event}]\n", "map.yaml:3:8: skip[0]: needs either is or not"),
        ("t: ts\nop: event\nprice: 5\n", "map.yaml:3:8: price: 5 is not a mapping"),
        ("t: ts\nop: [\n", "map.yaml:3:1: not YAML"),
        ("t: tss\nop: event\n", 'map.yaml:1:4: recording has no column "tss"; did you mean ts?'),
        ("t: ts\nop: event\nside: {column: bs}\n", 'map.yaml:3:16: recording has no column "bs"; it has "ts", "event"'),
    ],
)
def test_a_mistake_in_a_mapping_file_is_told_with_its_place(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("map.yaml").write_text(text)
    Path("recording").write_text("ts,event,price\n1,place,2\n")
    with pytest.raises(DefinitionErrors) as caught:
        import_("csv", Path("recording"), tmp_path, importers.Options(mapping=Path("map.yaml")))
    assert str(caught.value.errors[0]).startswith(said)


def test_json_lines_with_nested_fields_constants_and_requests(tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(
        "t: at\nop: {column: data.kind, map: {q: read, w: withdraw, new: place}}\nsymbol: {constant: X}\n"
        "price: data.px\nqty: {constant: '2'}\nside: {constant: Sell}\npath: url\nbody: text\nsession: s\n"
    )
    lines = [
        {"at": 1_700_000_000.5, "s": 9, "data": {"kind": "new", "px": 1.5}},
        {"at": 1_700_000_001_000, "s": 9, "data": {"kind": "q"}, "url": "/x"},
        {"at": "1700000001500000", "s": "b", "data": {"kind": "w"}, "url": "/w", "text": "{}"},
        {"at": 1_700_000_002, "data": {"kind": "q"}},
        {"at": -1, "data": {"kind": "q"}, "url": "/"},
        {"at": 1_700_000_002, "data": []},
        {"at": 1_700_000_002, "data": {"kind": ["q"]}},
        [1],
    ]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(orjson.dumps(line) for line in lines) + b"\n{")
    made = import_(None, tmp_path / "x.jsonl", tmp_path, importers.Options(mapping=tmp_path / "map.yaml"))
    assert made.rows("t_ns", "session", "op") == [
        (0, 0, "place"),
        (500_000_000, 0, "read"),
        (1_000_000_000, 1, "withdraw"),
    ]
    assert [said for _, _, said in payloads(made)] == [
        {"method": "GET", "path": "/x", "headers": {}},
        {"method": "POST", "path": "/w", "headers": {}, "body": "{}"},
    ]
    assert skipped(made.report) == {
        "corrupt: no path, message or payload": [4],
        "corrupt: corrupt time": [5],
        "corrupt: no op": [6],
        "corrupt: a column that holds a list or an object": [7],
        "corrupt: not a JSON object": [8],
        "corrupt: not JSON": [9],
    }


def test_without_a_mapping_file_only_our_own_columns_are_known(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("\ufefft_ns,op,sesion,foo\n1,read,1,2\n")
    with pytest.raises(
        DefinitionError, match=r'x.csv: unknown columns "sesion", "foo"; write a mapping file .*--mapping'
    ):
        import_(None, tmp_path / "x.csv", tmp_path)
    (tmp_path / "x.jsonl").write_text('{"op": "read"}\n')
    with pytest.raises(DefinitionError, match=r'x.jsonl: no column "t_ns"'):
        import_(None, tmp_path / "x.jsonl", tmp_path)


def test_a_broken_csv_costs_the_broken_record(tmp_path: Path) -> None:
    rows = ["t_ns,op,symbol,side,price,qty", "5,place,X,Buy,1,1", "6,place,X,Buy,1,1\r7", "8,place,X,Buy,1,1"]
    made = imported("\n".join(rows).encode() + b'\n9,"' + b"x" * 200_000 + b"\n10,place,X,Buy,1,1\n", "csv", tmp_path)
    assert [t for (t,) in made.rows("t_ns")] == [0, 3, 5]
    assert skipped(made.report) == {"corrupt: broken CSV": [3, 5]}
