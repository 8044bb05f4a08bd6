"""Rows through the allow-list: what stays, what gets another name, what goes, and what stops everything."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from drills.errors import UsageError
from loadgen.builder import Row
from loadgen.sanitise import LeakFound, Sanitiser
from loadgen.sanitise.pseudonyms import SHAPE, WITHIN

ADDRESS = "0x52908400098527886E0F7030069857D2E4169EE7"


def sanitiser(**options: Any) -> Sanitiser:  # noqa: ANN401 - of the constructor
    return Sanitiser(b"a key for the test", **options)


def place(**changes: Any) -> Row:  # noqa: ANN401 - of Row
    fields: dict[str, Any] = {
        "t_ns": 5,
        "session": 0,
        "account": "alice",
        "op": "place",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "type": "Limit",
        "tif": "GTC",
        "price8": 100,
        "qty8": 200,
        "client_id": "my-first-order",
        "rec_status": "New",
        "rec_latency_us": 900,
    }
    return Row(**(fields | changes))


def request(op: str = "request", /, **payload: Any) -> Row:  # noqa: ANN401 - JSON
    return Row(
        0, 0, "alice", op, "", payload=orjson.dumps({"method": "POST", "path": "/v5/x", "headers": {}} | payload)
    )


def cleaned(row: Row, made: Sanitiser | None = None) -> dict[str, Any]:
    kept = (made or sanitiser()).row(row)
    assert kept is not None
    assert kept.payload is not None
    found = orjson.loads(kept.payload)
    assert isinstance(found, dict)
    return found


# -- rows --------------------------------------------------------------------------------------------------------------


def test_an_order_keeps_its_numbers_and_loses_its_names() -> None:
    kept = sanitiser().row(place())
    assert kept is not None
    assert (kept.t_ns, kept.session, kept.op, kept.symbol, kept.price8, kept.qty8) == (
        5,
        0,
        "place",
        "BTCUSDT",
        100,
        200,
    )
    assert (kept.side, kept.type, kept.tif, kept.rec_status, kept.rec_latency_us) == ("Buy", "Limit", "GTC", "New", 900)
    assert SHAPE.fullmatch(kept.account)
    assert kept.client_id is not None
    assert SHAPE.fullmatch(kept.client_id)


def test_links_hold_within_an_import_and_tell_nothing_across_imports() -> None:
    one, other = Sanitiser(), Sanitiser()
    first, again = one.row(place()), one.row(place(op="cancel", client_id=None, parent="my-first-order"))
    foreign = other.row(place())
    assert first is not None
    assert again is not None
    assert foreign is not None
    assert again.parent == first.client_id
    assert again.account == first.account
    assert foreign.account != first.account
    assert foreign.client_id != first.client_id


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"op": "steal"}, "operation of an unknown kind"),
        ({"symbol": ""}, "operation whose symbol does not look like one"),
        ({"symbol": "btc usdt"}, "operation whose symbol does not look like one"),
        ({"symbol": "B" * 33}, "operation whose symbol does not look like one"),
        ({"symbol": "13812345678"}, "operation whose symbol does not look like one"),
        ({"side": "alice"}, "operation with an unknown side, type or time in force"),
        ({"type": "alice"}, "operation with an unknown side, type or time in force"),
        ({"tif": "alice"}, "operation with an unknown side, type or time in force"),
    ],
)
def test_an_order_that_is_not_what_it_says_is_dropped_and_counted(changes: dict[str, Any], why: str) -> None:
    made = sanitiser()
    assert made.row(place(**changes)) is None
    assert made.finish()["dropped"] == {why: 1}


@pytest.mark.parametrize("status", ["New", "Rejected 110001", "PartiallyFilled", "200", "HTTP 503", "-1021"])
def test_a_status_that_is_a_word_or_a_code_stays(status: str) -> None:
    kept = sanitiser().row(place(rec_status=status))
    assert kept is not None
    assert kept.rec_status == status


@pytest.mark.parametrize(
    "status", ["insufficient balance of Alice", "Rejected 13812345678", "a@b.example", "New alice"]
)
def test_any_other_status_goes(status: str) -> None:
    made = sanitiser()
    kept = made.row(place(rec_status=status))
    assert kept is not None
    assert kept.rec_status is None
    assert made.finish()["dropped"] == {"status that is none we know": 1}


@pytest.mark.parametrize(
    ("symbol", "kind"), [("AKIAIOSFODNN7EXAMPLE", "AWS key"), ("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "random string")]
)
def test_what_comes_through_and_looks_like_a_secret_stops_everything(symbol: str, kind: str) -> None:
    made = sanitiser(file="rec.log")
    made.row(place())
    with pytest.raises(
        LeakFound, match=rf"^rec\.log: operation 2: symbol holds .* {kind}; nothing was written"
    ) as caught:
        made.row(place(symbol=symbol))
    assert symbol not in str(caught.value)


def test_the_manifest_says_what_was_done() -> None:
    made = sanitiser()
    made.row(place())
    made.row(place(op="steal"))
    assert made.finish() == {
        "version": 1,
        "rows": 1,
        "kept": [
            "t_ns", "session", "account", "op", "symbol", "side", "type", "tif", "price8", "qty8", "client_id",
            "parent", "rec_status", "rec_latency_us", "payload",
        ],
        "kept_on_request": [],
        "pseudonyms": "HMAC-SHA256 under a key drawn for this import and thrown away, 64 bits of it: "
        "acct- (account), ord- (order and client id), id- (any other id)",
        "renamed": {},
        "dropped": {"operation of an unknown kind": 1},
        "strings_scanned": 4,
        "findings": 0,
    }  # fmt: skip


# -- HTTP --------------------------------------------------------------------------------------------------------------


def test_a_request_keeps_what_is_known_and_counts_the_rest_by_name() -> None:
    made = sanitiser()
    body = {
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "qty": "0.01",
        "price": 60000.5,
        "reduceOnly": False,
    }
    secret = {"sign": "c0ffee", "memo": "for Bob", "password": "x", "my own field": 1}
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Authorization": "Bearer x",
        "Cookie": "a",
        "X-Own": "b",
    }
    got = cleaned(request(headers=headers, body=orjson.dumps(body | secret).decode()), made)
    assert orjson.loads(got.pop("body")) == body
    assert got == {
        "method": "POST",
        "path": "/v5/x",
        "headers": {"content-type": "application/json; charset=utf-8"},
    } | {"path": got["path"]}
    assert made.finish()["dropped"] == {
        "header authorization": 1,
        "header cookie": 1,
        "header other": 1,
        "body sign": 1,
        "body memo": 1,
        "body password": 1,
        "body other": 1,
    }


@pytest.mark.parametrize(
    "value", [{"qty": "alice"}, {"qty": "1" * 40}, {"side": "alice"}, {"symbol": "alice"}, {"reduceOnly": "alice"},
              {"category": ["alice"]}, {"symbol": {"name": "alice"}}, {"timeInForce": 12345},
              {"args": ["alice", "10.0.0.5", "415.555.0123", "book.415.555.0123", "17"]},
              {"positionIdx": [{"alice": 1}]}, {"orders": "alice"}, {"price": "1,5"}]
)  # fmt: skip
def test_a_value_that_is_not_what_its_name_says_goes(value: dict[str, Any]) -> None:
    assert cleaned(request(body=orjson.dumps(value).decode()))["body"] == "{}"


def test_ids_get_other_names_and_links_hold_across_columns() -> None:
    made = sanitiser()
    order = made.row(place())
    assert order is not None
    body = {"orderLinkId": "my-first-order", "uid": 123456, "reqId": "r-1", "orderIds": ["my-first-order"]}
    got = cleaned(request(path="/v5/order/my-first-order/status", body=orjson.dumps(body).decode()), made)
    names = orjson.loads(got["body"])
    assert names["orderLinkId"] == order.client_id == names["orderIds"][0]
    assert names["uid"].startswith("acct-")
    assert names["reqId"].startswith("id-")
    assert got["path"] == f"/v5/order/id-{names['orderLinkId'].partition('-')[2]}/status"
    assert made.finish()["renamed"] == {"order id": 2, "part of a path": 1, "account": 1, "other id": 1}


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/v5/order/create", "/v5/order/create"),
        ("/api/v3/openOrders?symbol=A&recvWindow=5000&timestamp=17", "/api/v3/openOrders?symbol=A&recvWindow=5000"),
        ("/v5/market/kline?category=linear&interval=5&x=y", "/v5/market/kline?category=linear&interval=5"),
        ("https://internal.bank.example/v5/order/realtime", "/v5/order/realtime"),
        ("/spot/order-book/BTC_USDT", "/spot/order-book/BTC_USDT"),
        ("/products/BTC-USD/book?level=2#alice", "/products/BTC-USD/book?level=2"),
        ("/v5/user/query-api", "/v5/user/query-api"),
        ("//v5//time/", "/v5/time"),
        ("/", "/"),
    ],
)  # fmt: skip
def test_a_path_of_known_words_and_symbols_stays(path: str, kept: str) -> None:
    assert cleaned(request(path=path))["path"] == kept


@pytest.mark.parametrize(
    "part",
    ["alice", "alice@example.com", "alice%40example.com", ADDRESS, "1234567", "12345678-aaaa", "JOHNDOE", "order-alice",
     "c0ffee", "%61lice", "10.0.0.5", "v123", "2-2-2", "ORDER5551234", "orders;x=y", "Ω"],
)  # fmt: skip
def test_any_other_part_of_a_path_gets_another_name(part: str) -> None:
    path = cleaned(request(path=f"/v5/account/{part}/orders"))["path"]
    assert path == f"/v5/account/{WITHIN.findall(path)[0]}/orders"


def test_words_may_be_kept_on_request() -> None:
    made = sanitiser(keep=["frobnicate"])
    assert cleaned(request(path="/v5/frobnicate/alice"), made)["path"].startswith("/v5/frobnicate/id-")
    assert made.finish()["kept_on_request"] == ["frobnicate"]
    for word in ("alice@example.com", "a b", "AKIAIOSFODNN7EXAMPLE", ""):
        with pytest.raises(UsageError, match=r"^--keep: "):
            sanitiser(keep=[word])


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("symbol=BTCUSDT&side=BUY&quantity=1&signature=c0ffee", "symbol=BTCUSDT&side=BUY&quantity=1"),
        ('[{"symbol":"BTCUSDT","name":"alice"},"alice",[1]]', '[{"symbol":"BTCUSDT"}]'),
        ('{"request":[{"symbol":"A","x":1}],"orders":{"qty":1}}', '{"request":[{"symbol":"A"}],"orders":{"qty":1}}'),
        ("dear Alice", None),
        ('"alice"', None),
        ("12345", None),
        ("  ", None),
    ],
)  # fmt: skip
def test_bodies(body: str, kept: str | None) -> None:
    assert cleaned(request(body=body)).get("body") == kept


@pytest.mark.parametrize("op", ["withdraw", "transfer"])
def test_a_withdrawal_loses_where_it_goes(op: str) -> None:
    body = {
        "coin": "USDT", "chain": "ETH", "amount": "12.5", "accountType": "FUND", "address": ADDRESS, "tag": "99",
        "memo": "rent", "toAddress": ADDRESS, "beneficiary": {"name": "Bob"}, "vaspEntityId": "x", "toMemberId": "77",
    }  # fmt: skip
    got = orjson.loads(cleaned(request(op, body=orjson.dumps(body).decode()))["body"])
    assert {name: got[name] for name in ("coin", "chain", "amount", "accountType")} == {
        name: body[name] for name in ("coin", "chain", "amount", "accountType")
    }
    assert set(got) == {"coin", "chain", "amount", "accountType", "toMemberId"}
    assert SHAPE.fullmatch(got["toMemberId"])


# -- WebSocket ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("ping", "ping"),
        ('{"op":"subscribe","args":["kline.5.BTCUSDT","alice"]}', '{"op":"subscribe","args":["kline.5.BTCUSDT"]}'),
        ('{"method":"SUBSCRIBE","params":["btcusdt@trade"]}', '{"method":"SUBSCRIBE","params":["btcusdt@trade"]}'),
        ('{"op":"order.create","header":{"X-BAPI-SIGN":"a"},"args":[{"symbol":"A","note":"x"}]}',
         '{"op":"order.create","args":[{"symbol":"A"}]}'),
    ],
)  # fmt: skip
def test_a_message_keeps_what_is_known(text: str, kept: str) -> None:
    assert cleaned(Row(0, 0, "a", "request", "", payload=orjson.dumps({"message": text}))) == {"message": kept}


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({"message": '{"op":"auth","args":["key",1,"sign"]}'}, "message that signs in"),
        ({"message": '{"method":"public/auth","params":{}}'}, "message that signs in"),
        ({"message": "hello Alice"}, "message that is not JSON"),
        ({"message": '["alice"]'}, "message that is no JSON object"),
        ({"message": '{"name":"alice"}'}, "message without a known field"),
        ({"method": "alice", "path": "/"}, "request with an unknown method"),
        ({"method": "GET", "path": "/a" * 30}, "request with a path of too many parts"),
        ({"text": "alice"}, "payload that is neither a request nor a message"),
        (["alice"], "payload that is neither a request nor a message"),
    ],
)
def test_a_payload_with_nothing_to_send_is_dropped(payload: Any, why: str) -> None:  # noqa: ANN401 - JSON
    made = sanitiser()
    assert made.row(Row(0, 0, "a", "request", "", payload=orjson.dumps(payload))) is None
    assert made.finish()["dropped"][why] == 1


def test_a_payload_that_is_not_json_and_one_of_an_order() -> None:
    made = sanitiser()
    assert made.row(Row(0, 0, "a", "read", "", payload=b"GET / \xff")) is None
    kept = made.row(place(payload=b"anything"))
    assert kept is not None
    assert kept.payload is None
    dropped = {"payload that is not JSON": 1, "payload of an order, cancel or amend": 1}
    assert made.finish()["dropped"] == dropped


def test_a_deep_body_is_cut_and_no_error() -> None:
    body = '{"data":' * 200 + "1" + "}" * 200
    assert cleaned(request(body=body))["body"].count("data") <= 13
    assert "body" in cleaned(request(body="[" * 900 + "]" * 900))
