"""Which orders rest, and at what price and quantity: price-time priority over the trace's own orders."""

from __future__ import annotations

from fractions import Fraction

from loadgen.transform.book import resting
from loadgen.transform.rebase import mids
from tests.unit.market_rows import SECOND, amend, cancel, place, traced


def rests(*rows: object, at: float = 100.0) -> list[tuple[str, int, int]]:
    trace = traced(*rows)  # type: ignore[arg-type]
    names, found = trace.table["client_id"].to_pylist(), resting(trace, round(at * SECOND))
    unit = int(trace.grid["BTCUSDT"].lot)  # lots are as large as the quantities allow
    price = int(trace.grid["BTCUSDT"].tick)
    rows_, prices, lots = (column.tolist() for column in found)
    return [(names[r], p * price, q * unit) for r, p, q in zip(rows_, prices, lots, strict=True)]


def test_the_better_price_and_then_the_older_order_is_filled_first() -> None:
    rows = [place(1, "a", "Buy", 99, 2), place(2, "b", "Buy", 100, 2), place(3, "c", "Buy", 100, 2)]
    assert rests(*rows, place(4, "x", "Sell", 99, 3)) == [("a", 99, 2), ("c", 100, 1)]


def test_what_is_left_of_a_limit_order_rests_and_of_others_not() -> None:
    ask = place(1, "ask", "Sell", 101, 1)
    assert rests(ask, place(2, "x", "Buy", 102, 3)) == [("x", 102, 2)]
    assert rests(ask, place(2, "x", "Buy", 102, 3, tif="IOC")) == []
    assert rests(ask, place(2, "x", "Buy", None, 3)) == []
    assert rests(ask, place(2, "x", "Buy", 101, 3, tif="PostOnly")) == [("ask", 101, 1)]


def test_an_amend_to_another_price_or_to_more_goes_to_the_end_of_the_queue() -> None:
    rows = [place(1, "a", "Buy", 99, 4), place(2, "b", "Buy", 99, 4)]
    taker = place(4, "x", "Sell", None, 4)
    assert rests(*rows, amend(3, "a", lots=3), taker) == [("b", 99, 3)]
    assert rests(*rows, amend(3, "a", lots=5), taker) == [("a", 99, 5)]
    assert rests(*rows, amend(3, "a", price=98), taker) == [("a", 98, 4)]
    assert rests(place(1, "ask", "Sell", 101, 1), *rows, amend(3, "a", price=101)) == [("b", 99, 4), ("a", 101, 3)]


def test_what_was_cancelled_or_refused_does_not_rest() -> None:
    bid = place(1, "a", "Buy", 99)
    assert rests(bid, cancel(2, "a")) == []
    assert rests(bid, cancel(2, "a"), at=2) == [("a", 99, 1)]
    assert rests(bid, cancel(2, "a", rec_status="Rejected 110001")) == [("a", 99, 1)]
    assert rests(place(1, "a", "Buy", 99, rec_status="Rejected 110007")) == []


def test_the_recorded_mid_is_the_middle_of_the_book_or_the_median_price() -> None:
    both = traced(place(1, "a", "Buy", 98), place(1, "b", "Sell", 101), place(20, "c", "Buy", 100))
    assert mids(both, 10 * SECOND) == {"BTCUSDT": Fraction(199, 2)}
    alone = traced(place(1, "a", "Buy", 98), place(2, "b", "Buy", 97), place(3, "c", "Buy", 93))
    assert mids(alone, 10 * SECOND) == {"BTCUSDT": 97}
    assert mids(traced(place(1, "x", "Buy", None)), 10 * SECOND) == {}
