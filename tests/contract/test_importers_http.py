"""Recordings of HTTP and WebSocket messages: hand-made samples, then what is special to each format."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from drills.errors import DefinitionError
from loadgen import importers
from loadgen.builder import Row
from loadgen.importers import gor, har, json_events
from loadgen.importers.har_entries import entries
from loadgen.importers.report import Report
from loadgen.importers.runs import Runs
from loadgen.importers.source import LINE_LIMIT, Source
from tests.contract.http_recordings import T0, imported, notes, orders, payloads, place, post, record
from tests.contract.imports import DATA, import_, skipped

# -- GoReplay ----------------------------------------------------------------------------------------------------------


def test_a_goreplay_recording(tmp_path: Path) -> None:
    made = import_("gor", DATA / "gor-sample.gor", tmp_path)
    assert orders(made) == [
        (0, 0, "place", "Buy", "Limit", "PostOnly", "60000.5", "0.02", "grid-1", "ok"),
        (10, 0, "place", "Sell", "Market", "IOC", "0.01", "77aa", "ok"),  # no id of its own: the venue's
        (20, 0, "amend", "60001.5", "grid-1", "Rejected 110001"),  # named by the venue's id
        (30, 0, "cancel", "grid-1", "ok"),  # a batch of two
        (30, 0, "cancel", "77aa", "Rejected 110001"),
        (40, 1, "place", "Sell", "Limit", "IOC", "0.05", "1.5", "x-9", "ok"),
        (50, 1, "cancel", "x-9", None),
        (140, 0, "cancel", "grid-1", None),
    ]
    json_type = {"content-type": "application/json"}
    assert payloads(made) == [
        ("read", "", {"method": "GET", "path": "/v5/market/time", "headers": json_type}),
        ("withdraw", "ETH", recorded("/v5/asset/withdraw/create", coin="ETH", amount="1")),
        ("transfer", "USDT", recorded("/v5/asset/transfer/inter-transfer", coin="USDT", amount="5")),
        ("request", "", recorded("/v5/position/set-leverage", symbol="BTCUSDT", buyLeverage="3")),
        ("read", "", {"method": "GET", "path": "/api/v3/account?timestamp=1", "headers": {}}),
        ("request", "", recorded("/v5/order/create", **CONDITIONAL)),
    ]
    assert made.rows("account")[0] == ("KEY-ONE",)
    assert [latency for (latency,) in made.rows("rec_latency_us")[:3]] == [3000, 2000, 1000]
    assert skipped(made.report) == {
        "binary body": [18],
        "corrupt: corrupt record: no `type id time`": [19],
        "answer to a replay": [20],
        "answer to no request within the last 4,096 records": [21],
        "corrupt: cut: the recording ends within it": [23],
    }
    assert notes(made.report) == {
        "fill-or-kill, taken as IOC": [9],
        "order that a trace cannot say, kept as a request": [17],
    }
    assert (made.report.lines, made.report.unit) == (23, "record")


CONDITIONAL = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderType": "Market",
    "qty": "1",
    "triggerPrice": "70000",
}


def recorded(path: str, **body: str) -> dict[str, Any]:
    text = json.dumps(body, separators=(",", ":"))
    return {"method": "POST", "path": path, "headers": {"content-type": "application/json"}, "body": text}


def test_a_goreplay_recording_cut_anywhere_and_packed(tmp_path: Path) -> None:
    data = (DATA / "gor-sample.gor").read_bytes()
    for end in range(0, len(data), 97):
        try:
            made = imported(gzip.compress(data[:end]), "gor", tmp_path)
        except DefinitionError as error:
            assert "nothing usable in" in str(error)  # noqa: PT017 - either is right, by where it is cut
            continue
        cut = data[:end].split(gor.SEPARATOR)
        assert made.report.lines == len(cut) - (not cut[-1].strip())
        ended = [why for why in skipped(made.report) if why.startswith("corrupt: cut")]
        assert bool(ended) == bool(cut[-1].strip())


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "corrupt record: broken chunked body"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "corrupt record: broken chunked body"),
        (b"POST / HTTP/1.1\r\nContent-Encoding: gzip\r\n\r\nno", "corrupt record: broken packed body"),
        (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nshort", "corrupt record: body shorter than it says"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000, "corrupt record: headers of more than 256 KiB"),
        (b"nothing of the kind", "corrupt record: no HTTP request"),
        (b"GET http://[::1 HTTP/1.1\r\n\r\n", "corrupt record: its target is no URL"),
    ],
)
def test_a_damaged_request_costs_itself(raw: bytes, why: str, tmp_path: Path) -> None:
    made = imported(record(1, raw) + record(2, place(2)), "gor", tmp_path)
    assert skipped(made.report) == {f"corrupt: {why}": [1]}
    assert made.trace.rows == 1


def test_a_packed_body_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(64 << 20))
    made = imported(record(1, post("/", bomb, "Content-Encoding: gzip")) + record(2, place(2)), "gor", tmp_path)
    assert skipped(made.report) == {"corrupt: corrupt record: body larger than 16 MiB": [1]}


def test_a_huge_record_is_counted_and_not_loaded(tmp_path: Path) -> None:
    file = tmp_path / "x.gor"
    with file.open("wb") as out:
        out.write(record(1, place(1)))
        out.write(record(2, b"POST / HTTP/1.1\r\n\r\n" + b"x" * (LINE_LIMIT * 2)))
        out.write(record(3, place(3)))
    made = import_("gor", file, tmp_path)
    assert skipped(made.report) == {"corrupt: longer than 16 MiB": [2]}
    assert [row[0] for row in made.rows("client_id")] == ["1", "3"]
    assert made.report.lines == 3


def test_times_of_records_in_several_units_and_out_of_order(tmp_path: Path) -> None:
    raw = [b"1 a%d %d\n" % (n, t) + place(n) + gor.SEPARATOR for n, t in enumerate((T0 + 5, T0 // 10**6, T0 // 10**9))]
    made = imported(b"".join(raw) + b"1 a9 -5\n" + place(9) + gor.SEPARATOR, "gor", tmp_path)
    assert [row[0] for row in made.rows("t_ns")] == [0, 0, 5]
    assert notes(made.report) == {"time goes back": [2]}
    assert skipped(made.report) == {"corrupt: corrupt record: no `type id time`": [4]}


def test_an_id_that_two_clients_use_names_two_orders(tmp_path: Path) -> None:
    cancel = orjson.dumps({"symbol": "X", "orderLinkId": "1"})
    raw = [place(1), place(1), post("/v5/order/cancel", cancel), post("/v5/order/cancel", cancel)]
    keys = [b"A", b"B", b"B", b"C"]
    keyed = [text.replace(b"\r\n", b"\r\nX-BAPI-API-KEY: %s\r\n" % key, 1) for text, key in zip(raw, keys, strict=True)]
    made = imported(b"".join(record(n, text) for n, text in enumerate(keyed)), "gor", tmp_path)
    assert made.rows("session", "op", "client_id", "parent") == [
        (0, "place", "1", None),
        (1, "place", "1:1", None),
        (1, "cancel", None, "1:1"),
    ]
    assert made.result.collected.left_out == {"names an order of another session or symbol": 1}


# -- archives ----------------------------------------------------------------------------------------------------------


def test_an_archive(tmp_path: Path) -> None:
    made = import_("har", DATA / "har-sample.har", tmp_path)
    assert orders(made) == [
        (0, 0, "place", "Buy", "Limit", "GTC", "60000", "0.25", "g-1", "ok"),
        (3000, 0, "place", "Sell", "Limit", "GTC", "61000", "0.50", "#3.1", None),  # over the WebSocket
        (4500, 0, "cancel", "g-1", "ok"),  # by the venue's id
        (5500, 0, "cancel", "#3.1", None),  # by the id that the answer told
    ]
    read = {
        "method": "GET",
        "path": "/v5/market/tickers?category=linear",
        "headers": {"content-type": "application/json"},
    }
    assert payloads(made) == [
        ("read", "", read),
        ("request", "", {"message": "hello"}),
        ("read", "", {"method": "GET", "path": "/logo.png", "headers": {}}),
    ]
    assert [t for (t,) in made.rows("t_ns")][1] == 1_000_000_001
    assert made.rows("rec_status", "rec_latency_us")[1] == ("200", 2500)
    assert skipped(made.report) == {
        "sign-in": [3],
        "received by the client": [3],
        "ping": [3],
        "subscription": [3],
        "binary message": [3],
        "corrupt: corrupt message": [3],
        "WebSocket handshake": [3],
        "not HTTP": [5],
        "corrupt: corrupt entry": [6],
    }
    assert notes(made.report) == {"sent to cdn.example, unlike the first one to api.exchange.example": [7]}
    assert (made.report.lines, made.report.unit) == (7, "entry")


def test_an_archive_cut_anywhere_gives_the_entries_until_then(tmp_path: Path) -> None:
    data = (DATA / "har-sample.har").read_bytes()
    whole = import_("har", DATA / "har-sample.har", tmp_path).report.lines
    for end in range(len(data) - 8, 0, -101):
        try:
            made = imported(data[:end], "har", tmp_path)
        except DefinitionError as error:
            assert "nothing usable in" in str(error)  # noqa: PT017 - either is right, by where it is cut
            continue
        assert made.report.lines <= whole
        assert made.report.skipped["not JSON from here on, or cut"].count == 1


def test_messages_of_many_connections_come_out_in_the_order_of_time(tmp_path: Path) -> None:
    def entry(connection: int) -> dict[str, Any]:
        times = [1_700_000_000 + connection * 0.001 + n for n in range(100)]
        sent = [{"type": "send", "time": t, "opcode": 1, "data": f"{connection}-{n}"} for n, t in enumerate(times)]
        request = {"method": "GET", "url": "wss://x/y", "headers": []}
        return {"_webSocketMessages": sent, "startedDateTime": "2023-11-14T22:13:20Z", "request": request}

    archive = {"log": {"entries": [entry(connection) for connection in range(40)]}}
    made = imported(orjson.dumps(archive), "har", tmp_path)
    texts = [said["message"] for _, _, said in payloads(made)]
    assert texts == [f"{connection}-{n}" for n in range(100) for connection in range(40)]
    assert made.result.collected.moved == 0
    assert made.trace.sessions == 40


def test_runs_sort_what_comes_one_connection_behind_the_other() -> None:
    def row(t_ns: int) -> Row:
        return Row(t_ns, 0, "a", "read", "")

    with Runs() as runs:
        times = [n * 7919 % 5000 for n in range(5000)]
        for t_ns in [*times, *range(5000, 9000), *range(0, 9000, 3)]:
            runs.add(row(t_ns))
        merged = [made.t_ns for made in runs.merged()]
    assert sorted(merged) == sorted([*times, *range(5000, 9000), *range(0, 9000, 3)])
    assert merged == sorted(merged)
    with Runs() as runs:  # the worst of all: every row earlier than the one before
        for t_ns in range(1000, 0, -1):
            runs.add(row(t_ns))
        assert sorted(made.t_ns for made in runs.merged()) == list(range(1, 1001))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1 << 16])
def test_long_strings_are_cut_wherever_the_pieces_end(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_events, "STRING_LIMIT", 40)
    monkeypatch.setattr(json_events, "_CHUNK", size)
    texts = [
        "",
        "short",
        '"\\',
        "é" * 60 + "abcdefghi" * 20,
        "\\" * 90 + "abcdefghijk" * 9,
        "\n🐵" * 30,
        "x" * 400,
        "end",
    ]
    for ascii_only in (True, False):
        raw = json.dumps(texts, ensure_ascii=ascii_only).encode()
        read = [value for event, value in json_events.events(io.BytesIO(raw)) if event == "string"]
        assert len(read) == len(texts)
        for whole, kept in zip(texts, read, strict=True):
            assert whole.startswith(kept)
            assert kept == whole or len(json.dumps(whole)) > 40
    assert (len(read[6]) < 400) == (7 <= size < 400)  # a piece that is too short, or holds it all, is kept


@pytest.mark.parametrize(
    "raw",
    [b"[" * 100_000, b"[" + b"9" * 5000 + b"]", b"[1e999]", b"\xff", b'["\xff"]', b"{} {}", b"[NaN]", b"", b'{"a"'],
)
def test_what_is_no_json_is_broken_and_nothing_else(raw: bytes) -> None:
    report = Report()
    with pytest.raises(json_events.Broken):
        list(entries(io.BytesIO(raw), report))
    assert report.lines == 0


# -- access logs -------------------------------------------------------------------------------------------------------


def test_an_access_log(tmp_path: Path) -> None:
    made = import_("access-log", DATA / "access-log-sample.log", tmp_path)
    assert made.rows("t_ns", "session", "account", "op", "rec_status", "rec_latency_us") == [
        (0, 0, "KEY-ONE", "place", "200", 250_000),  # logged at 201.250, less the 0.250 s it took
        (299_000_000, 1, "13", "read", "200", 1000),
        (1_000_000_000, 2, "192.0.2.8", "request", "499", None),
        (2_500_000_000, 0, "KEY-ONE", "cancel", "200", 12_000),  # sent without a key, so as the order's client
        (3_000_000_000, 3, "192.0.2.9:5151", "withdraw", "403", 7000),
        (4_000_000_000, 2, "192.0.2.8", "read", "200", None),
    ]
    assert skipped(made.report) == {
        "corrupt: corrupt request line": [4],
        "corrupt: tells no time": [7],
        "says no request": [8],
        "corrupt: corrupt line": [9, 11],
    }
    assert notes(made.report) == {"order without a readable body, kept as a request": [3]}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ({"msec": "253402300799.9"}, None),  # the year 9999 in seconds is one in 1978 in ms
        ({"time_local": "31/Dec/9999:23:59:59 +0000"}, "corrupt line"),
        ({"time_local": "31/Foo/2026:23:59:59 +0000"}, "corrupt line"),
        ({"time_iso8601": "0001-01-01T00:00:00+00:00"}, "corrupt line"),
        ({"msec": -5}, "corrupt line"),
        ({"msec": 0.001, "request_time": 5}, "starts before 1970"),
        ({"msec": 1.5, "request_time": "NaN"}, None),
        ({"start_time": "2026-11-21T10:00:03.500Z", "duration": "1e99"}, None),
        ({"time": [1]}, "corrupt line"),
        ({"status": {"a": 1}, "msec": 1}, None),
        ({"msec": 1, "request": "GET"}, "corrupt request line"),
        ({"msec": 1, "request": "GET http://[ HTTP/1.1"}, "corrupt line"),
    ],
)
def test_strange_times_and_lines_are_right_or_counted(
    line: dict[str, object], wrong: str | None, tmp_path: Path
) -> None:
    good = {"msec": "1795255203.000", "request": "GET /good HTTP/1.1"}
    made = imported(
        orjson.dumps({"request": "GET / HTTP/1.1"} | line) + b"\n" + orjson.dumps(good), "access-log", tmp_path
    )
    assert made.trace.rows == 1 + (wrong is None)
    assert skipped(made.report) == ({f"corrupt: {wrong}": [1]} if wrong else {})


@pytest.mark.parametrize(
    "line",
    [{"request": "GET / HTTP/1.1", "status": 200, "msec": 1}, {"start_time": 1, "path": "/", "response_code": 200}],
)
def test_a_json_access_log_is_told_from_other_json_lines(line: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(orjson.dumps(line) + b"\n")
    assert importers.guess(Source(tmp_path / "x", Report())) == "access-log"


# -- memory ------------------------------------------------------------------------------------------------------------


class Endless(io.RawIOBase):
    """A file made of parts that are made when they are read."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._rest = parts, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - a writable buffer
        data = self._rest or next(self._parts, b"")
        taken = data[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = data[len(taken) :]
        return len(taken)


def gor_parts() -> Iterator[bytes]:
    body = b'{"symbol":"X","note":"' + b"n" * 10_000 + b'"}'
    for number in range(5000):
        yield record(number, post(f"/v5/x/{number}", body), t_ns=number * 10**6)


def har_parts() -> Iterator[bytes]:
    yield b'{"log":{"entries":['
    entry = {
        "startedDateTime": "2023-11-14T22:13:20Z",
        "request": {"method": "GET", "url": "https://x/y", "headers": []},
        "response": {"status": 200, "content": {"text": "t" * 10_000}},
    }
    text = orjson.dumps(entry)
    yield text
    for _ in range(5000):
        yield b"," + text
    yield b',{"response":{"content":{"text":"'
    for _ in range(1500):
        yield b"x" * 65_536  # 98 MB in one string
    yield b'"}}}]}}'


@pytest.mark.parametrize(("format_", "parts", "rows"), [("gor", gor_parts, 5000), ("har", har_parts, 5001)])
def test_memory_does_not_grow_with_the_recording(
    format_: str, parts: Callable[[], Iterator[bytes]], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Source, "open", lambda _: cast(Any, io.BufferedReader(Endless(parts()), 1 << 16)))
    module = {"gor": gor, "har": har}[format_]
    report = Report()
    tracemalloc.start()
    try:
        made = sum(1 for _ in module.rows(Source(Path("x"), report), report, importers.Options()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made == rows
    assert peak < 40 << 20


def test_an_archive_made_to_hang_or_to_fill_the_memory_does_not(tmp_path: Path) -> None:
    key, many = b'"' + b"k" * 1_000_000 + b'"', b",".join([b"[]"] * 20_000)
    good = b'{"startedDateTime":"2023-11-14T22:13:20Z","request":{"method":"GET","url":"https://x/"}}'
    headers = b",".join(b'{"name":"h%d","value":"b"}' % n for n in range(20_000))
    wide = good.replace(b'"GET"', b'"GET","headers":[' + headers + b"]")
    made = imported(b'{"log":{"entries":[{%s:[%s]},%s,%s]}}' % (key, many, wide, good), "har", tmp_path)
    assert made.trace.rows == 1
    assert skipped(made.report) == {"corrupt: corrupt entry": [1, 2]}
