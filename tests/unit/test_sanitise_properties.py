"""Whatever stands where nothing is promised: none of it is in the file that is written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen import trace
from loadgen.builder import Row
from loadgen.collector import Collector
from loadgen.sanitise import Sanitiser, is_sanitised, words
from loadgen.sanitise.sealing import seal_file

ALPHABET = "ghijkqwxyzJKQXYZ57@#é"
"""None of the words that may stay, nor a digest, can be spelt with these."""
SECRET = st.text(ALPHABET, min_size=6, max_size=40).filter(lambda text: text != text.upper())
"""Not all capitals and digits: that may be a symbol or a number."""
KNOWN = st.sampled_from(sorted(words.KEYS))


def tree(secret: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """JSON with secrets as values of every name, known or not, and as names."""
    return st.recursive(
        secret,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.one_of(KNOWN, st.sampled_from(["sign", "memo", "address"]), SECRET), inner, max_size=5),
        ),
        max_leaves=12,
    )


@st.composite
def request(draw: st.DrawFn) -> bytes:
    parts = [
        draw(st.one_of(st.sampled_from(["v5", "order", "BTCUSDT"]), SECRET)) for _ in range(draw(st.integers(0, 4)))
    ]
    spelt: Callable[[str], str] = quote if draw(st.booleans()) else str
    names = st.one_of(KNOWN, SECRET, st.sampled_from(["signature", "apiKey"]))
    query = "&".join(f"{quote(draw(names))}={quote(draw(SECRET))}" for _ in range(draw(st.integers(0, 3))))
    host = draw(st.sampled_from(["", f"https://{draw(SECRET)}"]))
    body = draw(st.one_of(st.none(), SECRET, tree(SECRET).map(lambda raw: orjson.dumps(raw).decode()), st.just(query)))
    headers = draw(st.dictionaries(st.one_of(SECRET, st.sampled_from([*words.HEADERS, "cookie"])), SECRET, max_size=3))
    path = f"{host}/{'/'.join(spelt(part) for part in parts)}?{query}"
    made = {"method": "POST", "path": path, "headers": headers, "body": body}
    return orjson.dumps(draw(st.sampled_from([made, made, made, {"message": body or ""}, {"text": body}])))


@st.composite
def row(draw: st.DrawFn) -> Row:
    op = draw(st.sampled_from(["request", "read", "withdraw", "transfer", "place", "cancel", "amend"]))
    made = Row(draw(st.integers(0, 10**9)), 0, draw(SECRET), op, "", rec_status=draw(st.one_of(st.none(), SECRET)))
    if op == "place":
        made.symbol, made.side, made.type, made.tif, made.price8, made.qty8 = "BTCUSDT", "Buy", "Limit", "GTC", 100, 100
        made.client_id = draw(SECRET)
    elif op in ("cancel", "amend"):
        made.symbol, made.parent = draw(st.sampled_from(["BTCUSDT", ""])), draw(SECRET)
        made.price8 = 200 if op == "amend" else None
    made.payload = draw(st.one_of(request(), request(), request(), st.none(), SECRET.map(str.encode)))
    field = draw(st.sampled_from(["", "", "", "", "", "", "op", "symbol", "side", "type", "tif"]))
    if field:
        setattr(made, field, draw(SECRET))
    return made


def secrets_of(rows: list[Row]) -> set[str]:
    """Every run of the secret alphabet that stands in a free field, as it was put in and as it may come out."""
    found: set[str] = set()
    for one in rows:
        texts = [
            one.account,
            one.client_id,
            one.parent,
            one.rec_status,
            one.op,
            one.symbol,
            one.side,
            one.type,
            one.tif,
        ]
        texts.append(None if one.payload is None else one.payload.decode())
        for text in filter(None, texts):
            run = ""
            for char in [*text, " "]:
                if char in ALPHABET:
                    run += char
                else:
                    found |= {run} if len(run) >= 6 else set()
                    run = ""
    return found


@settings(max_examples=40, deadline=None)
@given(st.lists(row(), min_size=2, max_size=8))
def test_no_secret_survives_in_any_column_nor_in_the_metadata(rows: list[Row]) -> None:
    sanitiser = Sanitiser()
    good = Row(0, 1, "somebody", "place", "ETHUSDT", "Sell", "Market", "IOC", None, 100, "an-order")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.parquet"
        with Collector(path, "x") as collector:
            for one in [good, *rows]:
                kept = sanitiser.row(one)
                if kept is not None:
                    collector.add(kept)
            collector.finish({"from": "test", "sanitised": sanitiser.finish()})
        seal_file(path)
        written = trace.read(path)
        assert is_sanitised(written)
        text = [
            *map(repr, written.table.to_pylist()),
            repr(pq.read_metadata(path).metadata),
            repr(pq.read_schema(path)),
        ]
    whole = "\n".join(text)
    secrets = secrets_of([good, *rows])
    assert [secret for secret in secrets if secret in whole or quote(secret) in whole] == []


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300) | tree(st.one_of(SECRET, st.integers(), st.floats(), st.none())).map(repr).map(str.encode)
)
def test_any_payload_whatever_is_cleaned_or_dropped(payload: bytes) -> None:
    sanitiser = Sanitiser(b"k")
    sanitiser.row(Row(0, 0, "a", "request", "", payload=payload))
    sanitiser.row(Row(0, 0, "a", "read", "", payload=orjson.dumps({"message": payload.decode(errors="replace")})))
    wrapped = {
        "method": "GET",
        "path": payload.decode(errors="replace"),
        "headers": {},
        "body": payload.decode("latin-1"),
    }
    sanitiser.row(Row(0, 0, "a", "read", "", payload=orjson.dumps(wrapped)))
