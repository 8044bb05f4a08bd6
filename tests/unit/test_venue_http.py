"""Recorded requests and templates over HTTP: what goes out, what never does, and how one answer leads to the next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
import yaml

from drills.errors import DefinitionError
from loadgen import trace as traces
from loadgen.builder import Row, build
from loadgen.trace import Trace
from loadgen.venues.bybit_rest import BybitRest
from loadgen.venues.http import HttpWire
from loadgen.venues.rest import Request
from loadgen.venues.templates import fill_body, fill_path, pointed
from loadgen.venues.wire import Meaning
from tests.contract.fakes.http import NOW_MS, SECRETS, sign

BASE: dict[str, Any] = {"rest": ["https://venue.test/base/"]}


def recorded(*payloads: Mapping[str, Any] | bytes, deps: Mapping[int, int] | None = None, op: str = "request") -> Trace:
    """A trace of requests; `deps`: row to the row it waits for."""
    raw = [payload if isinstance(payload, bytes) else orjson.dumps(payload) for payload in payloads]
    made = build("sample", [Row(n, 0, "a", op, "", payload=each) for n, each in enumerate(raw)], {})
    column = pa.array([None if row not in (deps or {}) else str((deps or {})[row]) for row in range(len(raw))])
    table = made.table.set_column(made.table.column_names.index("dep"), "dep", column.cast(pa.string()))
    return traces.of("sample", table, made.grid, {}, made.duration_ns)


def wire(trace: Trace, **more: Any) -> HttpWire:  # noqa: ANN401 - settings of a venue
    return HttpWire(trace, "run", {**BASE, **more}, wall=lambda: NOW_MS / 1000)


def sent(made: HttpWire, number: int = 1, row: int = 0, session: int = 0) -> Request:
    text = made.operation(number, row, -1, session, None)
    assert isinstance(text, Request)
    return text


def test_a_recorded_request_goes_out_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGING_TOKEN", "Bearer abc")
    headers = {
        "Host": "prod",
        "Authorization": "Bearer recorded",
        "Cookie": "id=1",
        "Content-Type": "text/plain",
        "X-Own": "1",
        "X-Other": "2",
        "content-length": "99",
    }
    trace = recorded({"method": "PUT", "path": "/a/b?c=d%20e", "headers": headers, "body": "gr\u00fcn"})
    made = wire(trace, headers_env={"Authorization": "STAGING_TOKEN"}, allow_headers=["X-Own"])
    head, _, body = sent(made).partition(b"\r\n\r\n")
    assert body == "gr\u00fcn".encode()
    assert head.decode().split("\r\n") == [
        "PUT /base/a/b?c=d%20e HTTP/1.1",
        "Content-Type: text/plain",
        "X-Own: 1",
        "Authorization: Bearer abc",
        "Content-Length: 5",
    ]


@pytest.mark.parametrize(
    ("status", "meaning", "code"),
    [
        (200, Meaning.OK, None),
        (302, Meaning.OK, None),
        (404, Meaning.REJECT, "HTTP 404"),
        (408, Meaning.UNKNOWN, "HTTP 408"),
        (429, Meaning.UNAVAILABLE, "HTTP 429"),
        (500, Meaning.UNKNOWN, "HTTP 500"),
        (502, Meaning.UNKNOWN, "HTTP 502"),
        (503, Meaning.UNAVAILABLE, "HTTP 503"),
    ],
)
def test_a_status_is_all_that_counts(status: int, meaning: Meaning, code: str | None) -> None:
    made = wire(recorded({"method": "GET", "path": "/x"}))
    answer = made.read(1, sent(made), status, b"\xff not JSON")
    assert (answer.meaning, answer.code) == (meaning, code)
    assert made.status(1, 0, 0) is None


def test_an_answer_leads_to_the_next_request() -> None:
    trace = recorded(
        {"method": "POST", "path": "/orders", "body": '{"mine":"{{id}}"}'},
        {"method": "DELETE", "path": "/orders/{{server_id}}?who={{account}}"},
        deps={1: 0},
    )
    made = wire(trace, correlate={"from": "/result/0/id"})
    for session, name in ((0, "a b"), (3, "c/d")):
        first = sent(made, 10 + session, 0, session)
        assert first.endswith(f'{{"mine":"run-{10 + session:010d}"}}'.encode())
        answer = made.read(10 + session, first, 200, orjson.dumps({"result": [{"id": name}]}))
        assert answer.server_id == name.encode()
    assert sent(made, 20, 1, 0).startswith(b"DELETE /base/orders/a%20b?who=acct-0 ")
    assert sent(made, 21, 1, 3).startswith(b"DELETE /base/orders/c%2Fd?who=acct-3 ")


@pytest.mark.parametrize(
    "payload",
    [
        {"method": "GET", "path": "no slash"},
        {"method": "GE T", "path": "/x"},
        {"method": "GET", "path": "/x\r\nEvil: 1"},
        {"method": "GET", "path": "/x", "headers": {"Accept": "a\nb"}},
        {"message": "a WebSocket message"},
        {"path": 5},
        b"[1]",
        b"\xff",
        b"",
    ],
)
def test_what_is_no_request_is_an_error_of_its_row(payload: Mapping[str, Any] | bytes) -> None:
    for op in ("request", "read", "withdraw"):
        made = wire(recorded(payload, op=op))
        with pytest.raises(DefinitionError, match="sample: row 0: "):
            made.operation(1, 0, -1, 0, None)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"rest": []}, "venue.rest: no address"),
        ({"rest": ["https://a/x", "https://b/y"]}, "differ in their path"),
        ({"templates": {"buy": {}}}, "venue.templates"),
        ({"templates": {"place": {"path": "orders"}}}, "venue.templates.place.path"),
        ({"templates": {"place": {"path": "/o", "verb": "x"}}}, "venue.templates.place.verb"),
        ({"templates": {"place": {"path": "/{{orderid}}"}}}, "no value for {{orderid}}"),
        ({"templates": {"cancel": {"path": "/o/{{server_id}}"}}}, "venue.correlate"),
        ({"correlate": {"from": "result"}}, "not a JSON pointer"),
        ({"correlate": "x"}, "not a JSON pointer"),
        ({"headers": ["a"]}, "venue.headers: is not a mapping"),
        ({"headers_env": {"Authorization": "NOT_SET_ANYWHERE"}}, "NOT_SET_ANYWHERE is not set"),
    ],
)
def test_mistakes_of_the_description_are_told(more: dict[str, Any], reason: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        wire(recorded({"path": "/x"}), **more)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_orders_without_keys_or_templates_are_told() -> None:
    row = Row(0, 0, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 10**8, 10**8, "c")
    with pytest.raises(DefinitionError, match="no API key for orders"):
        wire(build("sample", [row], {})).operation(1, 0, -1, 0, None)


def test_the_example_of_the_guide_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    guide = Path(__file__).parents[2] / "docs" / "guides" / "write-a-venue.md"
    text = next(block for block in guide.read_text().split("```yaml\n") if block.startswith("type: http"))
    monkeypatch.setenv("STAGING_TOKEN", "x")
    rows = [
        Row(0, 0, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 10**8, 10**8, "c"),
        Row(1, 0, "a", "amend", "BTCUSDT", qty8=10**8, parent="c"),
    ]
    trace = build("sample", rows, {})
    made = HttpWire(trace, "run", yaml.safe_load(text.partition("```")[0]), wall=lambda: NOW_MS / 1000)
    assert made.needs_server_id
    assert made.kinds == {"place", "cancel", "withdraw", "transfer", "request", "read"}
    _, _, body = made.operation(1, 0, -1, 0, None).partition(b"\r\n\r\n")
    assert orjson.loads(body)["client"] == "run-0000000001"
    with pytest.raises(DefinitionError, match="row 1: amend: no operation of this venue"):
        made.operation(1, 1, 0, 0, None)


def test_holes_are_filled_in_the_manner_of_their_place() -> None:
    values = {"server_id": 'a"b/c d', "id": "x"}
    assert fill_path("/o/{{server_id}}?i={{ id }}&r={{unknown}}", values) == "/o/a%22b%2Fc%20d?i=x&r={{unknown}}"
    assert orjson.loads(fill_body('{"a":"{{server_id}}"}', values)) == {"a": 'a"b/c d'}
    assert fill_body("a={{server_id}}", values) == 'a=a"b/c d'


@pytest.mark.parametrize(
    ("pointer", "found"),
    [("/a/b", "x"), ("/a/n", "5"), ("/l/1", "two"), ("/t~1d~0e", "y"), ("/a", None), ("/l/9", None), ("/a/b/c", None)],
)
def test_pointers(pointer: str, found: str | None) -> None:
    assert pointed({"a": {"b": "x", "n": 5}, "l": [1, "two"], "t/d~e": "y", "f": True}, pointer) == found


def test_bybit_signs_recorded_requests_anew(tmp_path: Path) -> None:
    trace = recorded(
        {"method": "GET", "path": "/v5/position/list?category=linear", "headers": {"X-BAPI-SIGN": "old"}},
        {"method": "POST", "path": "/v5/asset/transfer", "body": '{"coin":"USDT"}'},
    )
    (tmp_path / "keys").write_bytes(orjson.dumps([{"key": "key-0", "secret": SECRETS["key-0"]}]))
    venue = {**BASE, "keys": {"file": str(tmp_path / "keys")}}
    made = BybitRest(trace, "run", venue, wall=lambda: NOW_MS / 1000)
    for row, content in ((0, "category=linear"), (1, '{"coin":"USDT"}')):
        text = made.operation(1, row, -1, 0, None).decode()
        assert text.count("X-BAPI-SIGN: ") == 1
        assert f"X-BAPI-SIGN: {sign(SECRETS['key-0'], f'{NOW_MS}key-05000{content}')}\r\n" in text
        assert "old" not in text
