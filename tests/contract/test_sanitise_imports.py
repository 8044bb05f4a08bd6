"""What stands in recordings of every kind and must not stand in the trace: on hand-made ones and a real one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from chaoslib_ext.cli.main import run
from loadgen import importers, trace
from loadgen.sanitise import LeakFound, Sanitiser, is_sanitised, scan
from loadgen.sanitise.sealing import seal_file

FIX = Path(__file__).parent.parent.parent.parent / "shared" / "data" / "oms-fix44.log"

SECRETS = {
    "API key": "XBhP7kQ2mVn4sT9wLrJd",
    "AWS key": "AKIAIOSFODNN7EXAMPLE",
    "signature": "7d0f3b9a5c1e8f2a6b4d7d0f3b9a5c1e8f2a6b4d",
    "token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0",
    "cookie": "sid=0a1b2c3d4e5f",
    "Ethereum address": "0x52908400098527886E0F7030069857D2E4169EE7",
    "Bitcoin address": "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
    "e-mail address": "alice.lee@mail.example",
    "IP address": "203.0.113.77",
    "host": "gw7.internal.bank.example",
    "telephone": "+6591234567",
    "name": "Alice Lee",
    "user id": "90017734",
    "order id": "alice-grid-000017",
}
HEADERS = {
    "Host": SECRETS["host"],
    "X-BAPI-API-KEY": SECRETS["API key"],
    "X-BAPI-SIGN": SECRETS["signature"],
    "Authorization": f"Bearer {SECRETS['token']}",
    "Cookie": SECRETS["cookie"],
    "X-Forwarded-For": SECRETS["IP address"],
    "User-Agent": f"grid-bot/2 ({SECRETS['e-mail address']})",
    "Content-Type": "application/json",
}
PLACE = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderType": "Limit",
    "qty": "0.01",
    "price": "60000",
    "timeInForce": "GTC",
    "orderLinkId": SECRETS["order id"],
}
WITHDRAW = {
    "coin": "ETH",
    "chain": "ETH",
    "amount": "1.5",
    "address": SECRETS["Ethereum address"],
    "tag": SECRETS["user id"],
    "memo": f"rent of {SECRETS['name']}, {SECRETS['telephone']}",
    "beneficiary": {"beneficiaryName": SECRETS["name"], "email": SECRETS["e-mail address"]},
}
REQUESTS: list[tuple[str, str, dict[str, str] | None]] = [
    ("POST", "/v5/order/create", PLACE),
    ("POST", "/v5/order/cancel", {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": SECRETS["order id"]}),
    ("POST", "/v5/asset/withdraw/create", WITHDRAW),  # type: ignore[list-item]
    ("GET", f"/v5/user/{SECRETS['user id']}/address/{SECRETS['Bitcoin address']}?email=alice.lee%40mail.example", None),
    ("GET", f"/v5/order/realtime?symbol=BTCUSDT&orderId={SECRETS['order id']}&apiKey={SECRETS['API key']}", None),
    ("POST", f"/v5/note/{SECRETS['AWS key']}", {"text": SECRETS["AWS key"], "note": SECRETS["name"]}),
]


def gor() -> bytes:
    records = []
    for number, (method, path, body) in enumerate(REQUESTS):
        text = orjson.dumps(body) if body else b""
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in HEADERS.items())]
        lines.append(f"Content-Length: {len(text)}")
        head = f"1 {number:024x} {1_700_000_000_000_000_000 + number * 10**6}\n".encode()
        records.append(head + "\r\n".join([*lines, "", ""]).encode() + text)
    return "\n🐵🙈🙉\n".encode().join([*records, b""])


def har() -> bytes:
    entries = []
    for number, (method, path, body) in enumerate(REQUESTS):
        request: dict[str, Any] = {
            "method": method,
            "url": f"https://{SECRETS['host']}{path}",
            "headers": [{"name": name, "value": value} for name, value in HEADERS.items()],
            "cookies": [{"name": "sid", "value": SECRETS["cookie"]}],
        }
        if body:
            request["postData"] = {"mimeType": "application/json", "text": orjson.dumps(body).decode()}
        response = {"status": 200, "content": {"text": SECRETS["name"]}, "headers": []}
        started = f"2026-11-21T10:00:0{number}.000Z"
        entry = {"startedDateTime": started, "time": 3, "serverIPAddress": SECRETS["IP address"], "connection": "17"}
        entries.append({**entry, "request": request, "response": response})
    return orjson.dumps({"log": {"version": "1.2", "comment": SECRETS["name"], "entries": entries}})


def access_log() -> bytes:
    lines = []
    for number, (method, path, body) in enumerate(REQUESTS):
        line = {
            "time_iso8601": f"2026-11-21T10:00:0{number}+00:00",
            "remote_addr": SECRETS["IP address"],
            "remote_user": SECRETS["e-mail address"],
            "request": f"{method} {path} HTTP/1.1",
            "status": 200,
            "http_user_agent": HEADERS["User-Agent"],
            "http_x_bapi_api_key": SECRETS["API key"],
        }
        lines.append(orjson.dumps(line | ({"request_body": orjson.dumps(body).decode()} if body else {})))
    return b"\n".join(lines) + b"\n"


RECORDINGS = {"gor": gor, "har": har, "access-log": access_log}


def text_of(path: Path) -> str:
    """Everything a reader finds in the file of a trace: columns and metadata."""
    columns = "\n".join(map(repr, trace.read(path).table.to_pylist()))
    return f"{columns}\n{pq.read_metadata(path).metadata!r}\n{pq.read_schema(path)}"


def survivors(text: str) -> list[str]:
    return [what for what, secret in SECRETS.items() if secret.lower() in text.lower()]


@pytest.mark.parametrize("format_", RECORDINGS)
def test_nothing_of_a_customer_is_in_the_trace(format_: str, tmp_path: Path) -> None:
    recording, out = tmp_path / f"{SECRETS['name']}.log", tmp_path / "clean.parquet"
    recording.write_bytes(RECORDINGS[format_]())
    made = importers.import_file(format_, recording, out, sanitiser=Sanitiser())
    seal_file(out)
    assert made.collected.kinds == {"place": 1, "cancel": 1, "withdraw": 1, "read": 2, "request": 1}
    assert survivors(text_of(out)) == []
    assert is_sanitised(trace.read(out))
    assert scan(trace.read(out))[1] == []


@pytest.mark.parametrize("format_", RECORDINGS)
def test_links_and_what_is_worth_sending_are_still_there(format_: str, tmp_path: Path) -> None:
    recording, out = tmp_path / "x.log", tmp_path / "clean.parquet"
    recording.write_bytes(RECORDINGS[format_]())
    importers.import_file(format_, recording, out, sanitiser=Sanitiser())
    rows = trace.read(out).table.to_pylist()
    assert rows[1]["parent"] == rows[0]["client_id"]
    assert {row["account"] for row in rows} == {rows[0]["account"]}
    withdraw, read = orjson.loads(rows[2]["payload"]), orjson.loads(rows[4]["payload"])
    assert withdraw["path"] == "/v5/asset/withdraw/create"
    assert orjson.loads(withdraw["body"]) == {"coin": "ETH", "chain": "ETH", "amount": "1.5"}
    assert read["path"] == f"/v5/order/realtime?symbol=BTCUSDT&orderId={rows[0]['client_id']}"


@pytest.mark.parametrize("format_", RECORDINGS)
def test_raw_keeps_it_all_and_the_scan_finds_it(format_: str, tmp_path: Path) -> None:
    recording, out = tmp_path / "x.log", tmp_path / "raw.parquet"
    recording.write_bytes(RECORDINGS[format_]())
    importers.import_file(format_, recording, out)
    assert len(survivors(text_of(out))) >= 6
    assert not is_sanitised(trace.read(out))
    kinds = {found.kind for found in scan(trace.read(out))[1]}
    assert {"AWS key", "Bitcoin address", "telephone number", "e-mail address"} <= kinds


def test_a_leak_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording, out = tmp_path / "x.gor", tmp_path / "out" / "clean.parquet"
    out.parent.mkdir()
    recording.write_bytes(
        gor().replace(b'"symbol":"BTCUSDT","side"', f'"symbol":"{SECRETS["AWS key"]}","side"'.encode())
    )
    with pytest.raises(LeakFound, match="operation 1: symbol holds what looks like an AWS key"):
        importers.import_file("gor", recording, out, sanitiser=Sanitiser())
    assert list(out.parent.iterdir()) == []
    assert run(["trace", "import", str(recording), "-o", str(out)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert SECRETS["AWS key"] not in said.err
    assert list(out.parent.iterdir()) == []


# -- a real recording --------------------------------------------------------------------------------------------------

PARTIES = (b"49", b"50", b"56", b"57", b"76", b"109", b"115", b"116", b"128", b"129", b"448", b"1")
IDS = (b"11", b"37", b"41", b"198", b"17")


def values(raw: bytes, tags: tuple[bytes, ...], shortest: int) -> set[str]:
    wanted = b"|".join(tags)
    found = {value.decode("latin-1") for value in re.findall(rb"\x01(?:" + wanted + rb")=([^\x01]+)", raw)}
    return {value for value in found if len(value) >= shortest}


@pytest.mark.skipif(not FIX.is_file(), reason="the real recording is not there")
def test_counterparties_free_text_and_ids_of_a_real_recording_are_gone(tmp_path: Path) -> None:
    out, raw = tmp_path / "clean.parquet", tmp_path / "raw.parquet"
    names = values(FIX.read_bytes(), PARTIES, 3)
    assert {"CredSuis", "Goldman", "MerLynch", "ASSETMANAGER", "TFBRIDGE"} <= names
    secret = names | values(FIX.read_bytes(), IDS, 6) | values(FIX.read_bytes(), (b"58",), 3) | {"ValidateScript"}
    importers.import_file("fix", FIX, out, sanitiser=Sanitiser())
    seal_file(out)
    importers.import_file("fix", FIX, raw)
    assert [name for name in secret if name in text_of(out)] == []
    assert any(name in text_of(raw) for name in secret)  # it would show
    assert is_sanitised(trace.read(out))
