"""The market, rule by rule."""

from __future__ import annotations

import itertools

import pytest

from sandbox.exchange.codes import RetCode
from sandbox.exchange.commands import MAX8, UNIT, Command, Result, parse8, text8, text16
from sandbox.exchange.journal import BLOCK, Journal
from sandbox.exchange.market import Market


class Desk:
    """Shorthand for commands to one market; prices and quantities in whole units."""

    def __init__(self) -> None:
        self.market = Market()
        self._op = itertools.count()

    def place(
        self, ident: str, side: str, qty: int, price: int | None, tif: str = "GTC", account: str = "acct-1"
    ) -> Result:
        kind = "Market" if price is None else "Limit"
        price8 = None if price is None else price * UNIT
        row = [1, "place", account, ident, "BTCUSDT", side, kind, tif, price8, qty * UNIT, ident, None]
        return self.market.apply(1, Command.from_row(row))

    def cancel(self, parent: str, op_id: str | None = None, account: str = "acct-1") -> Result:
        op_id = op_id or f"op-{next(self._op)}"
        row = [1, "cancel", account, op_id, "BTCUSDT", "Buy", "Limit", "GTC", None, 0, "", parent]
        return self.market.apply(1, Command.from_row(row))

    def amend(self, parent: str, price: int | None = None, qty: int = 0, op_id: str | None = None) -> Result:
        op_id, price8 = op_id or f"op-{next(self._op)}", None if price is None else price * UNIT
        row = [1, "amend", "acct-1", op_id, "BTCUSDT", "Buy", "Limit", "GTC", price8, qty * UNIT, "", parent]
        return self.market.apply(1, Command.from_row(row))

    def makers(self) -> list[tuple[str, int, int]]:
        """(maker, price, quantity) of every trade."""
        return [(fill.maker_op, fill.price8 // UNIT, fill.qty8 // UNIT) for fill in self.market.fills()]

    def state(self, ident: str) -> tuple[str, int]:
        status = self.market.status_of("acct-1", "order", ident)
        assert status is not None
        return status["status"], status["filled8"] // UNIT


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_limit_order_rests_and_is_known_by_its_id(desk: Desk) -> None:
    result = desk.place("a", "Buy", 2, 100)
    assert result == Result(0, 1, 1, "O1", "New", 0)
    assert desk.market.status_of("acct-1", "order", "a") == {
        "seq": 1,
        "epoch": 1,
        "code": 0,
        "order_id": "O1",
        "client_id": "a",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "price8": 100 * UNIT,
        "qty8": 2 * UNIT,
        "filled8": 0,
        "status": "New",
    }
    assert desk.market.status_of("acct-2", "order", "a") is None
    assert desk.market.status_of("acct-1", "nonsense", "a") is None


def test_the_best_price_trades_first_then_the_oldest_and_at_the_makers_price(desk: Desk) -> None:
    desk.place("late-best", "Sell", 1, 99)
    desk.place("first", "Sell", 1, 100)
    desk.place("second", "Sell", 1, 100)
    assert desk.place("taker", "Buy", 3, 101).status == "Filled"
    assert desk.makers() == [("late-best", 99, 1), ("first", 100, 1), ("second", 100, 1)]


def test_what_a_limit_order_does_not_trade_rests(desk: Desk) -> None:
    desk.place("maker", "Sell", 1, 100)
    assert desk.place("taker", "Buy", 3, 100) == Result(0, 2, 1, "O2", "PartiallyFilled", UNIT)
    assert desk.state("maker") == ("Filled", 1)
    assert desk.market.status_of("", "book", "BTCUSDT") == {
        "symbol": "BTCUSDT",
        "seq": 2,
        "bids": [["100", "2"]],
        "asks": [],
    }


def test_the_rest_of_market_and_ioc_orders_is_cancelled(desk: Desk) -> None:
    desk.place("maker", "Sell", 1, 100)
    assert desk.place("ioc", "Buy", 3, 100, "IOC") == Result(0, 2, 1, "O2", "Cancelled", UNIT)
    assert desk.place("market", "Buy", 3, None) == Result(0, 3, 1, "O3", "Cancelled", 0)
    assert desk.market.status_of("", "book", "BTCUSDT:5") == {"symbol": "BTCUSDT", "seq": 3, "bids": [], "asks": []}


def test_a_post_only_order_that_would_trade_is_rejected_without_effect(desk: Desk) -> None:
    desk.place("maker", "Sell", 1, 100)
    assert desk.place("po", "Buy", 1, 100, "PostOnly").code == RetCode.POST_ONLY_WOULD_TRADE
    assert desk.place("po-2", "Buy", 1, 99, "PostOnly").code == RetCode.OK
    assert desk.amend("po-2", price=100).code == RetCode.POST_ONLY_WOULD_TRADE
    assert desk.state("po") == ("Rejected", 0)
    assert desk.state("po-2") == ("New", 0)
    assert desk.makers() == []


def test_cancel_takes_the_order_out_once(desk: Desk) -> None:
    desk.place("a", "Buy", 2, 100)
    assert desk.cancel("a", "x").status == "Cancelled"
    assert desk.cancel("a", "y").code == RetCode.ORDER_NOT_FOUND
    assert desk.cancel("never", "z").code == RetCode.ORDER_NOT_FOUND
    assert desk.place("s", "Sell", 2, 100).status == "New"


def test_nobody_cancels_the_order_of_another(desk: Desk) -> None:
    desk.place("a", "Buy", 2, 100)
    assert desk.cancel("a", account="acct-2").code == RetCode.ORDER_NOT_FOUND
    assert desk.state("a") == ("New", 0)


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ((None, 1), "a"),
        ((None, 3), "b"),
        ((100, 0), "a"),
        ((100, 2), "a"),
    ],
)
def test_an_amend_keeps_its_place_only_for_less_quantity(
    desk: Desk, change: tuple[int | None, int], first: str
) -> None:
    desk.place("a", "Buy", 2, 100)
    desk.place("b", "Buy", 2, 100)
    assert desk.amend("a", *change).code == RetCode.OK
    desk.place("taker", "Sell", 1, 100)
    assert desk.makers()[0][0] == first


def test_an_amended_price_goes_to_the_back_even_when_it_comes_back(desk: Desk) -> None:
    desk.place("a", "Buy", 1, 100)
    desk.place("b", "Buy", 1, 100)
    desk.amend("a", price=99)
    desk.amend("a", price=100)
    desk.place("taker", "Sell", 2, 100)
    assert [maker for maker, _, _ in desk.makers()] == ["b", "a"]


def test_an_amended_price_may_trade_at_once(desk: Desk) -> None:
    desk.place("ask", "Sell", 1, 101)
    desk.place("a", "Buy", 2, 100)
    assert desk.amend("a", price=101) == Result(0, 3, 1, "O2", "PartiallyFilled", UNIT)
    [fill] = desk.market.fills()
    assert (fill.seq, fill.exec_id, fill.taker_op, fill.taker_side) == (3, "3-0", "op-0", "Buy")


def test_an_amend_to_what_is_filled_closes_the_order(desk: Desk) -> None:
    desk.place("a", "Buy", 3, 100)
    desk.place("taker", "Sell", 1, 100)
    assert desk.amend("a", qty=1) == Result(0, 3, 1, "O1", "Cancelled", UNIT)
    assert desk.market.status_of("", "book", "BTCUSDT")["bids"] == []  # type: ignore[index]


def test_repeated_ids_have_no_effect_and_the_first_decision_stays_readable(desk: Desk) -> None:
    desk.place("a", "Buy", 2, 100)
    assert desk.place("a", "Sell", 9, 50) == Result(RetCode.DUPLICATE_ID, 2, 1, "O1", "Rejected", 0)
    desk.cancel("a", "x")
    assert desk.cancel("a", "x").code == RetCode.DUPLICATE_ID
    assert desk.amend("a", qty=1, op_id="x").code == RetCode.DUPLICATE_ID
    request = desk.market.status_of("acct-1", "request", "x")
    assert request is not None
    assert (request["seq"], request["code"], request["status"], request["client_id"]) == (3, 0, "Cancelled", "a")
    assert desk.market.status_of("acct-1", "request", "a") is None
    assert [row.as_dict()["outcome"] for row in desk.market.journal.rows()] == [
        "ok",
        "duplicate",
        "ok",
        "duplicate",
        "duplicate",
    ]


def test_a_rejected_id_is_used_up(desk: Desk) -> None:
    desk.place("maker", "Sell", 1, 100)
    desk.place("po", "Buy", 1, 100, "PostOnly")
    assert desk.place("po", "Buy", 1, 90, "PostOnly").code == RetCode.DUPLICATE_ID
    status = desk.market.status_of("acct-1", "order", "po")
    assert status is not None
    assert status["code"] == RetCode.POST_ONLY_WOULD_TRADE


def test_forgotten_ids_are_executed_again(desk: Desk) -> None:
    desk.place("a", "Buy", 1, 100)
    desk.cancel("a", "x")
    desk.market.forget_ids()
    assert desk.place("a", "Buy", 1, 100).code == RetCode.OK
    assert desk.place("a", "Buy", 1, 100).code == RetCode.DUPLICATE_ID
    assert desk.cancel("a", "x").code == RetCode.OK


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "explode"},
        {"qty8": 0},
        {"qty8": -1},
        {"qty8": MAX8 + 1},
        {"price8": None},
        {"price8": 0},
        {"type": "Stop"},
        {"side": "Both"},
    ],
)
def test_a_senseless_command_takes_a_number_and_has_no_effect(desk: Desk, change: dict[str, object]) -> None:
    command = Command.from_row([1, "place", "a", "a", "BTCUSDT", "Buy", "Limit", "GTC", UNIT, UNIT, "a", None])
    for name, value in change.items():
        setattr(command, name, value)
    result = desk.market.apply(1, command)
    assert (result.code, result.seq, result.status) == (RetCode.BAD_REQUEST, 1, "Rejected")
    assert desk.place("s", "Sell", 1, 1).status == "New"


def test_an_amend_beyond_the_largest_quantity_is_rejected(desk: Desk) -> None:
    desk.place("a", "Buy", 1, 100)
    assert desk.amend("a", qty=MAX8 // UNIT + 1).code == RetCode.BAD_REQUEST
    assert desk.state("a") == ("New", 0)


def test_the_audit_rows_are_those_of_the_contract(desk: Desk) -> None:
    desk.place("a", "Sell", 2, 100)
    desk.place("b", "Buy", 1, None)
    desk.cancel("a", "x")
    rows = [row.as_dict() for row in desk.market.journal.rows()]
    assert rows[1] == {
        "seq": 2,
        "epoch": 1,
        "t_ns": 1,
        "account": "acct-1",
        "op_id": "b",
        "kind": "place",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "type": "Market",
        "tif": "GTC",
        "price": None,
        "qty": "1",
        "client_id": "b",
        "parent": None,
        "code": 0,
        "outcome": "ok",
        "status": "Filled",
        "notional": "100",
    }
    assert (rows[2]["side"], rows[2]["parent"], rows[2]["notional"]) == ("Sell", "a", "0")
    assert [fill.as_dict() for fill in desk.market.fills(2, 2)] == [
        {
            "seq": 2,
            "exec_id": "2-0",
            "symbol": "BTCUSDT",
            "price": "100",
            "qty": "1",
            "taker_op": "b",
            "maker_op": "a",
            "taker_side": "Buy",
        }
    ]
    assert list(desk.market.fills(3)) == []


def test_the_journal_is_whole_across_its_blocks_and_hashes_are_kept_each_500th() -> None:
    desk = Desk()
    for n in range(2 * BLOCK + 3):
        desk.place(f"c{n}", "Buy", 1, 1 + n % 7)
    market = desk.market
    assert list(market.hashes) == [500, 1000]
    assert [row.seq for row in market.journal.rows()] == list(range(1, 2 * BLOCK + 4))
    assert [row.op_id for row in market.journal.rows(BLOCK, BLOCK + 2)] == ["c499", "c500", "c501"]
    assert [row.seq for row in market.journal.rows(2 * BLOCK + 2, 99_999)] == [1002, 1003]
    assert list(market.journal.rows(5, 4)) == []
    assert market.journal.row(BLOCK).client_id == "c499"
    for seq in (0, 1004):
        with pytest.raises(IndexError, match="no command"):
            market.journal.row(seq)


def test_a_reader_of_the_journal_sees_what_was_there_when_it_began() -> None:
    journal = Journal()
    row = b'[1,1,1,"place","a","a","S","Buy","Limit","GTC",1,1,"a",null,0,"O1","New",0,[]]'
    journal.append(row)
    reader = journal.rows()
    next(reader)
    journal.append(row)
    assert list(reader) == []


def test_the_hash_depends_on_every_field_and_on_the_epoch() -> None:
    base = [1, "place", "acct-1", "a", "BTCUSDT", "Buy", "Limit", "GTC", UNIT, UNIT, "a", None]
    other = [2, "cancel", "acct-2", "b", "ETHUSDT", "Sell", "Market", "IOC", 2 * UNIT, 2 * UNIT, "b", "p"]
    hashes = set()
    for n in range(len(base)):
        market = Market()
        market.apply(1, Command.from_row([*base[:n], other[n], *base[n + 1 :]]))
        hashes.add(market.hash)
    for epoch in (1, 2):
        market = Market()
        market.apply(epoch, Command.from_row(base))
        hashes.add(market.hash)
    assert len(hashes) == len(base) + 2


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", UNIT), ("0.00000001", 1), ("50000.5", 5_000_050_000_000), ("007.10", 710_000_000), ("10000000000", MAX8)],
)
def test_decimals_are_exact_both_ways(text: str, value: int) -> None:
    assert parse8(text) == value
    assert parse8(text8(value)) == value


@pytest.mark.parametrize(
    "text", ["", "0", "0.0", "-1", "+1", "1e3", ".5", "5.", "1.123456789", "nan", "10000000000.1", " 1", "1\n", "٣"]
)
def test_what_is_not_a_plain_positive_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"decimal|range"):
        parse8(text)


def test_notional_keeps_sixteen_places() -> None:
    assert text16(1) == "0.0000000000000001"
    assert text16(5 * UNIT * UNIT) == "5"
    assert text16(MAX8 * MAX8) == "100000000000000000000"
