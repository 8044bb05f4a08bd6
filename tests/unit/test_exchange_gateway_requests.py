"""What clients may ask of a gateway, field by field, and how answers look."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.exchange.commands import UNIT, Command
from sandbox.exchange.gateway_requests import (
    BadRequest,
    Query,
    Reply,
    book_query,
    command,
    executed,
    status_query,
    status_reply,
)

ORDER = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderType": "Limit",
    "qty": "0.5",
    "price": "100",
    "timeInForce": "PostOnly",
    "orderLinkId": "run-1",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=10), children, max_size=3),
    max_leaves=5,
)


class TestRequests:
    def test_a_place_is_known_by_its_link_id(self) -> None:
        assert command("place", "acct-1", "ignored", ORDER, 7) == Command(
            7,
            "place",
            "acct-1",
            "run-1",
            "BTCUSDT",
            "Buy",
            "Limit",
            "PostOnly",
            100 * UNIT,
            UNIT // 2,
            "run-1",
            None,
        )

    def test_a_market_order_has_no_price(self) -> None:
        wanted = command("place", "acct-1", None, ORDER | {"orderType": "Market"}, 7)
        assert (wanted.price8, wanted.tif) == (None, "IOC")

    def test_cancel_and_amend_are_known_by_their_request_id(self) -> None:
        args = {"symbol": "BTCUSDT", "orderLinkId": "run-1"}
        cancel = command("cancel", "acct-1", "run-2", args, 7)
        assert (cancel.op_id, cancel.parent, cancel.client_id) == ("run-2", "run-1", "")
        amend = command("amend", "acct-1", "run-3", args | {"qty": "2"}, 7)
        assert (amend.price8, amend.qty8) == (None, 2 * UNIT)

    @pytest.mark.parametrize(
        ("name", "value", "says"),
        [
            ("qty", 1, "qty must be text"),
            ("qty", None, "qty is missing"),
            ("qty", "-1", "qty: not a decimal"),
            ("price", "1e5", "price: not a decimal"),
            ("price", "0", "price: out of range"),
            ("side", "buy", "side must be one of Buy, Sell: 'buy'"),
            ("orderType", "Stop", "orderType must be one of"),
            ("timeInForce", "FOK", "timeInForce must be one of"),
            ("symbol", "btc", "symbol must match"),
            ("orderLinkId", "a" * 37, "orderLinkId must match"),
            ("orderLinkId", "a b", "orderLinkId must match"),
            ("category", "spot", "category must be linear"),
        ],
    )
    def test_a_wrong_field_is_named_with_its_value(self, name: str, value: object, says: str) -> None:
        with pytest.raises(BadRequest, match=says):
            command("place", "acct-1", None, ORDER | {name: value}, 7)

    @pytest.mark.parametrize(
        ("kind", "req_id", "args"),
        [
            ("cancel", None, ORDER),
            ("cancel", "a b", ORDER),
            ("amend", "a", {"symbol": "BTCUSDT", "orderLinkId": "x"}),
            ("place", "a", []),
        ],
    )
    def test_what_is_missing_is_refused(self, kind: str, req_id: object, args: object) -> None:
        with pytest.raises(BadRequest):
            command(kind, "acct-1", req_id, args, 7)

    @given(st.sampled_from(("place", "cancel", "amend")), st.sampled_from(sorted(ORDER)), JSON, JSON)
    def test_anything_in_any_field_is_a_command_that_fits_the_wire_or_a_bad_request(
        self, kind: str, name: str, value: object, req_id: object
    ) -> None:
        try:
            row = command(kind, "acct-1", req_id, ORDER | {name: value}, 7).to_row()
        except BadRequest:
            return
        assert orjson.loads(orjson.dumps(row)) == row

    def test_questions(self) -> None:
        assert status_query("a", {"orderLinkId": "x"}) == Query("a", "order", "x")
        assert status_query("a", {"reqId": "y"}) == Query("a", "request", "y")
        assert book_query({"symbol": "BTCUSDT", "limit": "5"}) == Query("", "book", "BTCUSDT:5")
        bad: object
        for bad in ({}, [], {"orderLinkId": 5}):
            with pytest.raises(BadRequest):
                status_query("a", bad)
        for limit in ("0", "501", "x", "٣"):
            with pytest.raises(BadRequest):
                book_query({"symbol": "BTCUSDT", "limit": limit})


class TestReplies:
    def test_a_result_carries_its_sequence_whatever_its_code(self) -> None:
        reply = executed("x", [110001, 7, 2, "", "Rejected", 0])
        assert (reply.code, reply.data["seq"], reply.data["epoch"], reply.data["filled"]) == (110001, 7, 2, "0")

    def test_an_engine_that_does_not_lead_executed_nothing(self) -> None:
        assert executed("x", [10016, 0, 0, "", "", 0]) == Reply(10016, {})

    def test_an_unknown_id_is_not_found_and_no_error(self) -> None:
        assert status_reply(None) == Reply(0, {"found": False})
