"""Each step of a transform on a trace that can be checked by eye."""

from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
import pytest

from drills.errors import DefinitionError
from loadgen import transform
from loadgen.trace import SCHEMA, first_problem, of
from tests.unit.market_rows import amend, cancel, changed, place, shape, traced

BOOK = (
    place(1, "bid", "Buy", 99, 5),
    place(1.5, "ask", "Sell", 101, 5),
    place(2, "gone", "Buy", 98),
    cancel(3, "gone"),
    amend(4, "bid", 97, 4),
    place(5, "taker", "Sell", None, 1),
    cancel(6, "bid"),
    cancel(7, "ask"),
)


def test_a_slice_starts_at_zero_and_leaves_out_and_counts_orphans() -> None:
    made = changed(traced(*BOOK), {"slice": {"from": "4.5s", "to": "6.5s"}})
    assert shape(made) == [(0.5, "place", "taker")]
    assert made.duration_ns == 2_000_000_000
    assert made.provenance["transformed"] == [{"slice": {"from": "4.5s", "to": "6.5s"}, "left_out": 1, "seeded": 0}]
    assert made.provenance["from"] == "test"


def test_seeded_orphans_place_what_rested_as_it_rested() -> None:
    made = changed(traced(*BOOK), {"slice": {"from": "4.5s", "to": "6.5s", "orphans": "seed"}})
    assert shape(made) == [(0.0, "place", "bid"), (0.501, "place", "taker"), (1.501, "cancel", "bid")]
    seed = made.table.to_pylist()[0]
    assert (seed["price_ticks"], seed["qty_lots"], seed["side"]) == (97, 4, "Buy")
    assert first_problem(made) is None


def test_a_filled_order_is_not_seeded() -> None:
    rows = (
        place(1, "bid", "Buy", 99, 2),
        place(2, "taker", "Sell", None, 2),
        cancel(4, "bid"),
        place(4, "x", "Buy", 1),
    )
    made = changed(traced(*rows), {"slice": {"from": "3s", "orphans": "seed"}})
    assert [name for _, _, name in shape(made)] == ["x"]
    assert made.provenance["transformed"][0]["left_out"] == 1


def test_seed_places_everything_that_rested_at_its_pace() -> None:
    steps = {"slice": {"from": "4.5s", "to": "6.5s"}}, {"seed": {"orders": True, "pace": 4}}
    made = changed(traced(*BOOK), *steps)
    assert shape(made) == [
        (0.0, "place", "ask"),  # an amend to another price has put the bid behind it
        (0.25, "place", "bid"),
        (1.0, "place", "taker"),
        (2.0, "cancel", "bid"),
    ]
    assert made.duration_ns == 2_500_000_000
    assert [next(iter(note)) for note in made.provenance["transformed"]] == ["slice", "seed"]


def test_balances_stand_in_the_provenance_and_a_star_means_every_other_account() -> None:
    rows = (place(1, "a", "Buy", 9), place(2, "b", "Buy", 9, session=1, account="acct-1"))
    steps = {"seed": {"balances": {"*": {"USDT": "100000"}, "acct-1": {"USDT": "0.5", "BTC": 2}}}}
    found = transform.balances(changed(traced(*rows), steps))
    assert {who: {asset: str(n) for asset, n in has.items()} for who, has in found.items()} == {
        "acct-0": {"USDT": "100000"},
        "acct-1": {"USDT": "0.5", "BTC": "2"},
    }
    assert transform.balances(traced(*rows)) == {}


def test_what_had_to_be_answered_first_is_named_by_its_new_row_or_not_at_all() -> None:
    trace = traced(*BOOK)
    table = trace.table.set_column(0, SCHEMA.field("op_id"), pa.array([f"op-{row}" for row in range(trace.rows)]))
    deps = pa.array([None, None, "op-1", None, None, None, "op-3", "op-6", None])
    table = table.set_column(SCHEMA.get_field_index("dep"), SCHEMA.field("dep"), deps)
    named = of("small", table, trace.grid, {}, trace.duration_ns)
    made = changed(named, {"slice": {"from": "1.9s", "to": "6.5s"}})
    assert shape(made)[2] == (3.1, "place", "taker")
    assert made.table["dep"].to_pylist() == [None, None, "0"]


def test_warp_plays_a_part_faster_and_moves_what_follows() -> None:
    made = changed(traced(*BOOK, end=8), {"warp": [{"from": "2s", "to": "4s", "speed": 4}]})
    assert [at for at, _, _ in shape(made)] == [1, 1.5, 2, 2.25, 2.5, 3.5, 4.5, 5.5]
    assert made.duration_ns == 6_500_000_000


def test_what_is_last_stays_within_the_trace_when_it_is_rounded() -> None:
    trace = traced(place(0, "a", "Buy", 9, t_ns=999))
    trace.duration_ns = 1000
    made = changed(trace, {"warp": [{"from": "0s", "to": "0.000001s", "speed": 7}]})
    assert (made.ints("t_ns").tolist(), made.duration_ns) == ([0, 142], 143)


def test_warp_moves_a_burst_and_keeps_the_order_of_each_chain() -> None:
    made = changed(traced(*BOOK, end=8), {"warp": [{"from": "1.2s", "to": "2.5s", "at": "20s"}]})
    assert shape(made) == [
        (1.0, "place", "bid"),
        (4.0, "amend", "bid"),
        (5.0, "place", "taker"),
        (6.0, "cancel", "bid"),
        (20.3, "place", "ask"),
        (20.3, "cancel", "ask"),  # not before its place
        (20.8, "place", "gone"),
        (20.8, "cancel", "gone"),
    ]
    assert made.duration_ns == 21_300_000_000
    assert first_problem(made) is None


def test_warp_copies_a_burst_with_orders_of_its_own() -> None:
    made = changed(traced(*BOOK, end=8), {"warp": [{"from": "1.8s", "to": "5s", "at": "7.5s", "copy": True}]})
    own = [row for row in shape(made) if row[2].endswith("-x1.1")]
    assert own == [(7.7, "place", "gone-x1.1"), (8.7, "cancel", "gone-x1.1")]  # the amended bid is not of the burst
    assert len(shape(made)) == len(BOOK) + 2
    assert made.provenance["transformed"][0]["copied"] == 2
    assert first_problem(made) is None


def test_rebase_moves_the_recorded_mid_to_the_one_given() -> None:
    made = changed(traced(*BOOK), {"rebase": {"mid": {"BTCUSDT": "1000"}, "tick": {"BTCUSDT": "0.5"}}})
    assert made.provenance["transformed"][0]["moved"] == {"BTCUSDT": ["100", "1000"]}
    assert str(made.grid["BTCUSDT"].tick) == "0.5"
    prices = [row["price_ticks"] for row in made.table.to_pylist() if row["price_ticks"] is not None]
    assert prices == [1980, 2020, 1960, 1940]  # 990, 1010, 980, 970


def test_rebase_puts_quantities_on_the_lot_and_never_below_one() -> None:
    made = changed(traced(*BOOK), {"rebase": {"lot": {"BTCUSDT": "4"}}})
    lots = [row["qty_lots"] for row in made.table.to_pylist() if row["qty_lots"] is not None]
    assert lots == [1, 1, 1, 1, 1]
    assert str(made.grid["BTCUSDT"].lot) == "4"


def test_rebase_to_a_coarser_tick_lets_nothing_cross() -> None:
    rows = (place(1, "bid", "Buy", 104), place(2, "ask", "Sell", 106))
    made = changed(traced(*rows), {"rebase": {"tick": {"BTCUSDT": "10"}}})
    assert [row["price_ticks"] for row in made.table.to_pylist()[1:]] == [10, 11]


def test_the_rate_surge_multiplies_its_window_with_accounts_and_orders_of_its_own() -> None:
    trace = traced(*BOOK, end=8)
    made = changed(trace, {"surge": {"shape": "rate", "factor": 3, "at": "2s", "for": "3s", "jitter": "0s"}})
    inside = [name for at, _, name in shape(made) if 2 <= at < 5]
    assert len(inside) == 3 * 3
    assert made.sessions == 3
    assert set(made.codes("account")[1]) == {"acct-0", "acct-0-x1.1", "acct-0-x1.2"}
    assert [row for row in shape(made) if "-x" not in row[2]] == shape(trace)
    assert first_problem(made) is None
    note = made.provenance["transformed"][0]
    assert (note["added"], note["added"] + note["around"]) == (6, made.rows - trace.rows)


def test_the_cancel_storm_cancels_what_rests_and_what_came_later_for_it_is_left_out() -> None:
    storm = {"surge": {"shape": "cancel-storm", "at": "3.5s", "for": "0.2s", "share": "100%"}}
    made = changed(traced(*BOOK, end=8), storm)
    cancels = [(at, name) for at, op, name in shape(made) if op == "cancel"]
    assert sorted(name for at, name in cancels if 3.5 <= at < 3.7) == ["ask", "bid"]
    assert len(shape(made)) == len(BOOK) + 2 - 3
    assert made.provenance["transformed"][0] | {"added": 2, "left_out": 3} == made.provenance["transformed"][0]


def test_the_liquidation_cascade_comes_in_waves_that_grow_and_hurry() -> None:
    steps = {"shape": "liquidation-cascade", "at": "1s", "for": "6s", "symbol": "BTCUSDT", "side": "Sell"}
    made = changed(traced(*BOOK, end=8), {"surge": {**steps, "orders": 1000, "growth": 2, "waves": 4, "accounts": 7}})
    rows = [row for row in made.table.to_pylist() if row["account"].startswith("liquidated")]
    assert len(rows) == 1000
    assert {(r["op"], r["side"], r["type"], r["tif"], r["price_ticks"]) for r in rows} == {
        ("place", "Sell", "Market", "IOC", None)
    }
    assert len({row["session"] for row in rows}) == 7
    # waves of 1, 2, 4, 8 parts; 8, 4, 2, 1 parts of the time
    starts = [1 + 6 * part / 15 for part in (0, 8, 12, 14, 15)]
    counts = [sum(a <= row["t_ns"] / 1e9 < b for row in rows) for a, b in pairwise(starts)]
    assert counts == pytest.approx([67, 133, 267, 533], abs=1)
    assert first_problem(made) is None


def test_reconnects_are_noted_and_move_with_later_steps() -> None:
    storm = {"surge": {"shape": "reconnect-storm", "at": "5s", "share": "30%"}}
    trace = traced(*BOOK, end=8)
    made = changed(trace, storm)
    assert transform.reconnects(made) == [(5_000_000_000, 0.3)]
    assert made.table.equals(trace.table)
    bent = changed(made, {"slice": {"from": "1s", "to": "7s"}}, {"warp": [{"from": "0s", "to": "4s", "speed": 2}]})
    assert transform.reconnects(bent) == [(2_000_000_000, 0.3)]
    assert transform.reconnects(changed(made, {"slice": {"to": "4s"}})) == []


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            {"slice": {"from": "1s", "to": "9s"}},
            "transform[0].slice: to 9s is after the end of the trace; it ends at 8s",
        ),
        ({"slice": {"from": "8s"}}, "transform[0].slice: from 8s is not before the end of the trace, 8s"),
        ({"slice": {"from": "7.5s"}}, "transform[0].slice: leaves no operation; take a wider window"),
        ({"warp": [{"from": "1s", "to": "9s", "speed": 2}]}, "transform[0].warp: to 9s is after the end of the trace"),
        ({"warp": [{"from": "1s", "to": "2s", "at": "999999999d"}]}, "the trace becomes longer than 100 days"),
        ({"rebase": {"mid": {"BTCUSD": "5"}}}, "transform[0].rebase: mid: no symbol BTCUSD in the trace"),
        ({"rebase": {"tick": {"BTCUSDT": "1000"}}}, "BTCUSDT: a price becomes below one tick; give a finer tick"),
        ({"seed": {"balances": {"acct-9": {"A": "1"}}}}, "transform[0].seed: balances: no account acct-9 in the trace"),
        (
            {"surge": {"shape": "rate", "factor": 2, "at": "7s", "for": "2s"}},
            "transform[0].surge: 7s to 9s is not within the trace; it ends at 8s",
        ),
        (
            {"surge": {"shape": "cancel-storm", "at": "0.5s", "for": "1s", "share": "5%"}},
            "transform[0].surge: no order rests at the start of the window; take a later at",
        ),
        (
            {
                "surge": {
                    "shape": "liquidation-cascade",
                    "at": "1s",
                    "for": "1s",
                    "symbol": "X",
                    "side": "Buy",
                    "orders": 1,
                }
            },
            "transform[0].surge: no symbol X in the trace; there is only BTCUSDT",
        ),
        (
            {"surge": {"shape": "reconnect-storm", "at": "8s", "share": "5%"}},
            "transform[0].surge: at 8s is not within the trace; it ends at 8s",
        ),
    ],
)
def test_a_step_that_does_not_fit_the_trace_says_so_in_one_line(step: dict[str, object], said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        changed(traced(*BOOK, end=8), step)
    assert str(caught.value).startswith("small: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
