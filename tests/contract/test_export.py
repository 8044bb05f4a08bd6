"""Exports: importing one gives the same operations again, and what a format cannot say is left out and counted."""

from __future__ import annotations

import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drills.errors import DefinitionError, UsageError
from loadgen import builder, export, importers, trace
from loadgen.builder import Row
from tests.contract.imports import DATA, import_

FORMATS = tuple(export.FORMATS)
PAYLOAD_OPS = ("withdraw", "transfer", "request", "read")
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


@st.composite
def payloads(draw: st.DrawFn, messages: bool) -> bytes:
    if messages and draw(st.booleans()):
        return orjson.dumps({"message": draw(TEXT)})
    content: dict[str, Any] = {
        "method": draw(st.sampled_from(["GET", "POST", "DELETE"])),
        "path": "/" + draw(st.text(st.sampled_from("ab/?&=%._-~:+"), max_size=12)),
        "headers": draw(
            st.dictionaries(
                st.sampled_from(["accept", "content-type", "x-a"]), st.from_regex(r"[!-~]{1,8}", fullmatch=True)
            )
        ),
    }
    body = draw(TEXT)
    return orjson.dumps(content | ({"body": body} if body else {}))


@st.composite
def traces(draw: st.DrawFn, messages: bool = True) -> trace.Trace:
    """Traces that hold everything a trace may hold, with names that no protocol would choose."""
    rows: list[Row] = []
    placed: list[Row] = []
    t_ns = 0
    accounts = draw(st.lists(WORDS, min_size=1, max_size=3, unique=True))
    for n in range(draw(st.integers(1, 12))):
        t_ns += draw(st.sampled_from([0, 1, 999, 1_000_000, 3_600_000_000_001]))
        session = draw(st.integers(0, 3))
        op = draw(st.sampled_from(trace.KINDS))
        row = Row(t_ns, session, accounts[session % len(accounts)], op, "")
        row.rec_status = draw(st.none() | WORDS)
        row.rec_latency_us = draw(st.none() | st.integers(0, 10**9))
        if op in PAYLOAD_OPS:
            row.payload, row.symbol = draw(payloads(messages)), draw(st.sampled_from(["", "USDT", "BTC/USD"]))
        elif op == "place" or not placed:
            row.op, row.symbol = "place", draw(st.sampled_from(["BTCUSDT", "X"]))
            row.client_id = f"{n}{draw(WORDS)}"
            row.side, row.tif = (
                draw(st.sampled_from(["Buy", "Sell"])),
                draw(st.sampled_from(["GTC", "IOC", "PostOnly"])),
            )
            row.type = draw(st.sampled_from(["Limit", "Market"]))
            row.price8 = draw(st.integers(1, 10**17)) if row.type == "Limit" else None
            row.qty8 = draw(st.integers(1, 10**17))
            placed.append(row)
        else:
            order = draw(st.sampled_from(placed))
            row.session, row.account, row.symbol, row.parent = (
                order.session,
                order.account,
                order.symbol,
                order.client_id,
            )
            if op == "amend":
                row.price8 = draw(st.integers(1, 10**17))
                row.qty8 = draw(st.none() | st.integers(1, 10**17))
        rows.append(row)
    made = builder.build("made", rows, {})
    assert trace.first_problem(made) is None
    return made


def operations(made: trace.Trace, messages: bool = True) -> list[dict[str, Any]]:
    """What a trace says, in a form that does not depend on how its sessions are numbered and its grid is chosen."""
    found, sessions, start = [], dict[int, int](), None
    for row in made.table.drop_columns(["op_id", "dep", "parent_row", "prior_row"]).to_pylist():
        row["payload"] = orjson.loads(row["payload"]) if row["payload"] else None
        if not messages and row["payload"] and "message" in row["payload"]:
            continue
        start = row["t_ns"] if start is None else start
        row["t_ns"] -= start
        row["session"] = sessions.setdefault(row["session"], len(sessions))
        grid = made.grid.get(row["symbol"])
        for name, step in (("price_ticks", 0), ("qty_lots", 1)):
            count = row.pop(name)
            row[name] = None if count is None or grid is None else (count * grid[step]).normalize()
        found.append(row)
    return found


@pytest.mark.parametrize("format_", FORMATS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_an_export_that_is_imported_is_the_same_again(format_: str, data: st.DataObject, tmp_path: Path) -> None:
    made = data.draw(traces())
    epoch_ns = data.draw(st.sampled_from([export.EPOCH_NS, 1_795_255_200_123_456_789]))
    file = tmp_path / f"x.{format_}"
    done = export.export_file(made, file, epoch_ns=epoch_ns)
    messages = format_ != "gor"
    assert done.rows + done.left_out.total() == made.rows
    assert messages <= (not done.left_out)
    if done.rows:
        assert operations(import_(None, file, tmp_path).trace) == operations(made, messages)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("name", sorted(trace.bundled()))
def test_a_bundled_trace_goes_out_and_comes_back(format_: str, name: str, tmp_path: Path) -> None:
    made = trace.read(name)
    part = trace.of(
        "part", made.table.slice(0, 2000).drop_columns(["parent_row", "prior_row"]), made.grid, {}, made.duration_ns
    )
    file = tmp_path / f"x.{format_}.gz"
    export.export_file(part, file)
    gzip.decompress(file.read_bytes())
    again = import_(format_, file, tmp_path)
    assert operations(again.trace) == operations(part)
    assert not again.report.skipped
    assert again.report.first_ns == export.EPOCH_NS + part.ints("t_ns")[0]


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("sample", ["gor-sample.gor", "har-sample.har", "access-log-sample.log"])
def test_what_was_imported_from_http_goes_out_and_comes_back(sample: str, format_: str, tmp_path: Path) -> None:
    source = {"gor": "gor", "har": "har", "log": "access-log"}[sample.rpartition(".")[2]]
    made = import_(source, DATA / sample, tmp_path).trace
    export.export_file(made, tmp_path / "x", format_)
    again = import_(format_, tmp_path / "x", tmp_path).trace
    assert operations(again) == operations(made, format_ != "gor")


def test_an_order_is_a_request_of_bybits_api(tmp_path: Path) -> None:
    order = Row(0, 0, "desk", "place", "X", "Buy", "Limit", "GTC", 150_000_000, 2 * 10**8, "c-1")
    follow = Row(5, 0, "desk", "cancel", "X", parent="c-1", rec_status="ok")
    made = builder.build("x", [order, follow], {})
    export.export_file(made, tmp_path / "x.gor")
    first, second, rest = (tmp_path / "x.gor").read_text().split("\n🐵🙈🙉\n")
    assert rest == ""
    head, _, body = first.partition("\n\n")
    assert head.splitlines() == [
        "1 000000000000000000000000 1609459200000000000 0",
        "POST /v5/order/create HTTP/1.1",
        "host: exchange",
        "content-type: application/json",
        "x-bapi-api-key: desk",
        "x-muster-row: session=0&account=desk",
        f"content-length: {len(body)}",
    ]
    assert orjson.loads(body) == {
        "category": "linear",
        "symbol": "X",
        "orderLinkId": "c-1",
        "price": "1.5",
        "qty": "2",
        "side": "Buy",
        "orderType": "Limit",
        "timeInForce": "GTC",
    }
    assert "x-muster-row: session=0&account=desk&status=ok" in second


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({"method": "GET", "path": "/ x", "headers": {}}, "its path or headers are not HTTP"),
        ({"method": "GET", "path": "/", "headers": {"a": "b\r\nc: d"}}, "its path or headers are not HTTP"),
        ({"method": "GET\r\n", "path": "/", "headers": {}}, "its method or path is not HTTP"),
        (
            {"method": "POST", "path": "/", "headers": {}, "body": "\n🐵🙈🙉\n"},
            "its body holds what separates two records",
        ),
        ({"message": "x"}, "a WebSocket message, which the format does not have"),
    ],
)
def test_what_http_cannot_say_is_left_out_and_counted(payload: dict[str, Any], why: str, tmp_path: Path) -> None:
    rows = [Row(n, 0, "a", "request", "", payload=orjson.dumps(said)) for n, said in enumerate((payload, GOOD))]
    done = export.export_file(builder.build("x", rows, {}), tmp_path / "x.gor")
    assert (done.rows, done.left_out) == (1, {why: 1})
    assert import_("gor", tmp_path / "x.gor", tmp_path).trace.rows == 1


GOOD = {"method": "GET", "path": "/", "headers": {}}


def test_a_name_that_is_too_long_for_an_order(tmp_path: Path) -> None:
    order = Row(0, 0, "a", "place", "X", "Buy", "Market", "IOC", None, 1, "c" * 300)
    made = builder.build("x", [order, Row(1, 0, "a", "read", "", payload=orjson.dumps(GOOD))], {})
    for format_ in ("gor", "har"):
        assert export.export_file(made, tmp_path / "x", format_).left_out == {
            "a client id of more than 256 characters": 1
        }
    assert export.export_file(made, tmp_path / "x", "jsonl").rows == 2


def test_mistakes_are_told_and_leave_no_file(tmp_path: Path) -> None:
    made = builder.build("x", [Row(0, 0, "a", "read", "", payload=orjson.dumps(GOOD))], {})
    with pytest.raises(UsageError, match='no exporter "pcap"; known: gor, har, jsonl'):
        export.export_file(made, tmp_path / "x.gor", "pcap")
    with pytest.raises(UsageError, match=r"x\.txt: name a format: gor, har, jsonl"):
        export.export_file(made, tmp_path / "x.txt")
    for epoch_ns in (-1, 2**62):
        with pytest.raises(UsageError, match="out of range"):
            export.export_file(made, tmp_path / "x.gor", epoch_ns=epoch_ns)
    with pytest.raises(DefinitionError, match=r"none/x.gor: cannot be written: No such file or directory"):
        export.export_file(made, tmp_path / "none" / "x.gor")
    assert list(tmp_path.iterdir()) == []


def test_json_lines_are_what_other_tools_can_read(tmp_path: Path) -> None:
    order = Row(0, 0, "a", "place", "X", "Buy", "Limit", "GTC", 150_000_000, 10, "c")
    read = Row(7, 0, "a", "read", "", payload=orjson.dumps(GOOD), rec_latency_us=5)
    export.export_file(builder.build("x", [order, read], {}), tmp_path / "x.jsonl", epoch_ns=10**18)
    first, second = map(orjson.loads, (tmp_path / "x.jsonl").read_bytes().splitlines())
    assert (Decimal(first.pop("price")), Decimal(first.pop("qty"))) == (Decimal("1.5"), Decimal("0.0000001"))
    said = {"session": 0, "account": "a"}
    terms = {"side": "Buy", "type": "Limit", "tif": "GTC", "client_id": "c"}
    assert first == said | {"t_ns": 10**18, "op": "place", "symbol": "X"} | terms
    assert second == said | {"t_ns": 10**18 + 7, "op": "read", "latency_us": 5, "payload": GOOD}


def test_every_exporter_has_an_importer() -> None:
    assert export.FORMATS.keys() <= importers.FORMATS.keys()
