"""Properties of the market over random command flows, one of them against a naive model written differently."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.exchange.codes import RetCode
from sandbox.exchange.commands import Command
from sandbox.exchange.market import Market

ACCOUNTS, SYMBOLS = ("acct-1", "acct-2"), ("AAAA", "BBBB")
IDS = st.integers(0, 25).map(str)


@st.composite
def commands(draw: st.DrawFn) -> Command:
    """A command out of a small world, so that trades, repetitions and misses are common."""
    kind = draw(st.sampled_from(("place", "place", "place", "cancel", "amend")))
    account, symbol = draw(st.sampled_from(ACCOUNTS)), draw(st.sampled_from(SYMBOLS))
    side, price8, qty8 = draw(st.sampled_from(("Buy", "Sell"))), draw(st.integers(1, 6)), draw(st.integers(1, 5))
    if kind == "place":
        ident, tif = f"c{draw(IDS)}", draw(st.sampled_from(("GTC", "GTC", "IOC", "PostOnly")))
        kind_of = draw(st.sampled_from(("Limit", "Limit", "Limit", "Market")))
        row = [0, kind, account, ident, symbol, side, kind_of, tif, price8, qty8, ident, None]
    else:
        ident, parent = f"r{draw(IDS)}", f"c{draw(IDS)}"
        price = draw(st.none() | st.just(price8)) if kind == "amend" else None
        qty = draw(st.sampled_from((0, qty8))) if kind == "amend" else 0
        row = [0, kind, account, ident, symbol, side, "Limit", "GTC", price, qty, "", parent]
    return Command.from_row(row)


FLOWS = st.lists(commands(), max_size=60)


@dataclass
class Resting:
    """An order of the naive model; `rank` is its place among all arrivals."""

    account: str
    ident: str
    symbol: str
    side: str
    price: int
    qty: int
    filled: int
    rank: int
    post_only: bool


class NaiveMarket:
    """All resting orders in one heap of a list, sorted anew for each trade; slow and plain."""

    def __init__(self) -> None:
        self.resting: list[Resting] = []
        self.used: set[tuple[str, str, str]] = set()
        self.trades: list[tuple[int, str, str, int, int]] = []
        self.codes: list[int] = []

    def _opposite(self, order: Resting, market: bool) -> list[Resting]:
        best_first = 1 if order.side == "Buy" else -1
        return sorted(
            (
                other
                for other in self.resting
                if other.symbol == order.symbol
                and other.side != order.side
                and (market or (order.price - other.price) * best_first >= 0)
            ),
            key=lambda other: (other.price * best_first, other.rank),
        )

    def _trade(self, order: Resting, op: str, market: bool) -> None:
        for maker in self._opposite(order, market):
            size = min(order.qty - order.filled, maker.qty - maker.filled)
            if size:
                order.filled += size
                maker.filled += size
                self.trades.append((len(self.codes) + 1, op, maker.ident, maker.price, size))
        self.resting = [other for other in self.resting if other.filled < other.qty]

    def apply(self, cmd: Command) -> None:
        """Carry out one command and note its code."""
        ident = ("place" if cmd.kind == "place" else "request", cmd.account, cmd.op_id)
        if ident in self.used:
            self.codes.append(RetCode.DUPLICATE_ID)
            return
        self.used.add(ident)
        self.codes.append(self._place(cmd) if cmd.kind == "place" else self._change(cmd))

    def _place(self, cmd: Command) -> int:
        market = cmd.type == "Market"
        order = Resting(
            cmd.account, cmd.op_id, cmd.symbol, cmd.side, cmd.price8 or 0, cmd.qty8, 0, len(self.codes), False
        )
        order.post_only = cmd.tif == "PostOnly" and not market
        if order.post_only and self._opposite(order, market):
            return RetCode.POST_ONLY_WOULD_TRADE
        self._trade(order, cmd.op_id, market)
        if order.filled < order.qty and not market and cmd.tif != "IOC":
            self.resting.append(order)
        return RetCode.OK

    def _change(self, cmd: Command) -> int:
        found = [o for o in self.resting if (o.account, o.ident) == (cmd.account, cmd.parent)]
        if not found:
            return RetCode.ORDER_NOT_FOUND
        order = found[0]
        if cmd.kind == "amend":
            price, qty = cmd.price8 or order.price, cmd.qty8 or order.qty
            if price == order.price and order.filled < qty <= order.qty:
                order.qty = qty
                return RetCode.OK
            wanted = Resting(
                order.account, order.ident, order.symbol, order.side, price, qty, order.filled, len(self.codes), False
            )
            wanted.post_only = order.post_only
            if qty > order.filled:
                if order.post_only and self._opposite(wanted, False):
                    return RetCode.POST_ONLY_WOULD_TRADE
                self.resting.remove(order)
                self._trade(wanted, cmd.op_id, False)
                if wanted.filled < wanted.qty:
                    self.resting.append(wanted)
                return RetCode.OK
        self.resting.remove(order)
        return RetCode.OK

    def depth(self, symbol: str, side: str) -> list[tuple[int, int]]:
        """(price, open quantity), best first."""
        levels: Counter[int] = Counter()
        for order in self.resting:
            if (order.symbol, order.side) == (symbol, side):
                levels[order.price] += order.qty - order.filled
        return sorted(levels.items(), reverse=side == "Buy")


def run(flow: list[Command]) -> Market:
    """A market after `flow`, its epoch rising every tenth command."""
    market = Market()
    for n, cmd in enumerate(flow):
        market.apply(1 + n // 10, cmd)
    return market


@given(FLOWS)
@settings(max_examples=300, deadline=None)
def test_it_trades_exactly_as_the_naive_model_does(flow: list[Command]) -> None:
    market, naive = run(flow), NaiveMarket()
    for cmd in flow:
        naive.apply(cmd)
    assert [row.code for row in market.journal.rows()] == naive.codes
    assert [(f.seq, f.taker_op, f.maker_op, f.price8, f.qty8) for f in market.fills()] == naive.trades
    for symbol in SYMBOLS:
        book = market.book(symbol)
        bids, asks = ([], []) if book is None else (book.bids.depth(99), book.asks.depth(99))
        assert (bids, asks) == (naive.depth(symbol, "Buy"), naive.depth(symbol, "Sell"))


@given(FLOWS)
@settings(max_examples=150, deadline=None)
def test_quantity_is_conserved_on_both_legs(flow: list[Command]) -> None:
    market = run(flow)
    placed = [row for row in market.journal.rows() if row.kind == "place" and row.code == RetCode.OK]
    orders = [market.status_of(row.account, "order", row.client_id) for row in placed]
    assert all(order is not None and 0 <= order["filled8"] <= order["qty8"] for order in orders)
    traded = sum(fill.qty8 for fill in market.fills())
    assert sum(order["filled8"] for order in orders if order is not None) == 2 * traded


@given(FLOWS)
@settings(max_examples=150, deadline=None)
def test_the_book_is_never_crossed_and_numbers_have_no_hole(flow: list[Command]) -> None:
    market = Market()
    for n, cmd in enumerate(flow, 1):
        assert market.apply(1, cmd).seq == n
        book = market.book(cmd.symbol)
        if book is not None and book.bids.best is not None and book.asks.best is not None:
            assert book.bids.best.price8 < book.asks.best.price8


@given(FLOWS)
@settings(max_examples=150, deadline=None)
def test_the_journal_replays_to_the_same_hash(flow: list[Command]) -> None:
    market, again = run(flow), Market()
    for row in market.journal.rows():
        fields = [getattr(row, name) for name in Command.__slots__]
        again.apply(row.epoch, Command.from_row(fields))
    assert (again.hash, again.seq) == (market.hash, market.seq)
    assert list(again.fills()) == list(market.fills())


@given(FLOWS)
@settings(max_examples=150, deadline=None)
def test_repeating_a_whole_flow_changes_nothing(flow: list[Command]) -> None:
    market = run(flow)
    before = _picture(market)
    for cmd in flow:
        assert market.apply(9, cmd).code == RetCode.DUPLICATE_ID
    assert _picture(market) == before


def _picture(market: Market) -> list[object]:
    depths = [book and (book.bids.depth(99), book.asks.depth(99)) for book in map(market.book, SYMBOLS)]
    states = [market.status_of(account, "order", f"c{n}") for account in ACCOUNTS for n in range(26)]
    return [depths, states, list(market.fills())]


def test_the_naive_model_notices_a_broken_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge is judged: with priority by size instead of time the models differ."""
    monkeypatch.setattr(NaiveMarket, "_opposite", lambda self, order, market: sorted(self.resting, key=lambda o: o.qty))
    place = [0, "place", "acct-1", "c1", "AAAA", "Sell", "Limit", "GTC", 1, 5, "c1", None]
    flow = [Command.from_row(place)]
    flow.append(Command.from_row([*place[:3], "c2", *place[4:9], 1, "c2", None]))
    flow.append(Command.from_row([0, "place", "acct-2", "c3", "AAAA", "Buy", "Limit", "GTC", 1, 1, "c3", None]))
    naive = NaiveMarket()
    for cmd in flow:
        naive.apply(cmd)
    assert [fill.maker_op for fill in run(flow).fills()] == ["c1"]
    assert [maker for _, _, maker, _, _ in naive.trades] != ["c1"]
