"""Whatever the trace and the steps: times in order, links sound, counts exact, prices on the grid."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drills.errors import DefinitionError
from loadgen.trace import Trace, first_problem
from tests.unit.market_rows import changed, traces

CALM = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
"""No time limit for one example: other work may share the machine."""
TIMES = st.integers(0, 40).map(lambda tenths: f"{tenths * 100}ms")
LENGTHS = st.integers(3, 30).map(lambda tenths: f"{tenths * 100}ms")
SEEDS = st.integers(0, 3)


def span(low: int, length: int) -> dict[str, str]:
    return {"from": f"{low * 100}ms", "to": f"{(low + length) * 100}ms"}


SPANS = st.builds(span, st.integers(0, 30), st.integers(5, 30))
SLICES = st.builds(
    lambda at, orphans: [{"slice": {**at, "orphans": orphans}}], SPANS, st.sampled_from(["drop", "seed"])
)
SEEDED = st.builds(lambda at: [{"slice": at}, {"seed": {"orders": True, "pace": 50}}], SPANS)
PIECES = st.one_of(
    st.builds(lambda at, speed: {**at, "speed": speed}, SPANS, st.sampled_from([0.5, 3, 7.0])),
    st.builds(lambda at, to, copy: {**at, "at": to, "copy": copy}, SPANS, TIMES, st.booleans()),
)
WARPS = PIECES.map(lambda piece: [{"warp": [piece]}])
MIDS = st.sampled_from(["3", "97.25", "101", "61000.5"])
REBASES = st.builds(
    lambda mid, tick: [{"rebase": {"mid": {"BTCUSDT": mid}, "tick": {"BTCUSDT": tick}}}],
    MIDS,
    st.sampled_from(["0.001", "0.1", "1"]),
)
SURGES = st.one_of(
    st.builds(
        lambda factor, at, length, seed: {"shape": "rate", "factor": factor, "at": at, "for": length, "seed": seed},
        st.integers(2, 5), TIMES, LENGTHS, SEEDS,
    ),
    st.builds(
        lambda at, length, seed: {"shape": "cancel-storm", "share": "60%", "at": at, "for": length, "seed": seed},
        TIMES, LENGTHS, SEEDS,
    ),
    st.builds(
        lambda at, length, seed: {
            "shape": "liquidation-cascade", "symbol": "BTCUSDT", "side": "Sell", "orders": 9, "at": at, "for": length,
            "seed": seed,
        },
        TIMES, LENGTHS, SEEDS,
    ),
    st.builds(lambda at: {"shape": "reconnect-storm", "share": "5%", "at": at}, TIMES),
).map(lambda surge: [{"surge": surge}])  # fmt: skip
STEPS = st.lists(st.one_of(SLICES, SEEDED, WARPS, REBASES, SURGES), min_size=1, max_size=4)


def attempted(trace: Trace, steps: list[dict[str, Any]]) -> Trace | None:
    """The trace behind the steps; None where they do not fit it."""
    try:
        return changed(trace, *steps)
    except DefinitionError:
        return None


@CALM
@given(traces(), STEPS)
def test_any_steps_leave_a_sound_trace_and_the_old_one_as_it_was(
    trace: Trace, lists: list[list[dict[str, Any]]]
) -> None:
    steps = [step for steps in lists for step in steps]
    before, told = trace.table, dict(trace.provenance)
    made = attempted(trace, steps)
    assert trace.table.equals(before)
    assert trace.provenance == told
    if made is None:
        return
    assert first_problem(made) is None
    assert made.table["op_id"].to_pylist() == [str(row) for row in range(made.rows)]
    assert len(set(made.ints("session").tolist())) == made.sessions
    assert len(made.provenance["transformed"]) == len(steps)
    again = changed(trace, *steps)
    assert again.table.equals(made.table)
    assert again.provenance == made.provenance


@CALM
@given(traces(), SPANS)
def test_a_slice_and_what_it_left_out_are_what_was_within(trace: Trace, at: dict[str, str]) -> None:
    made = attempted(trace, [{"slice": at}])
    if made is not None:
        low, high = (float(at[key][:-2]) * 1e6 for key in ("from", "to"))
        within = int(((trace.ints("t_ns") >= low) & (trace.ints("t_ns") < high)).sum())
        assert made.rows + made.provenance["transformed"][0]["left_out"] == within


@CALM
@given(traces(), SPANS)
def test_seeding_leaves_out_no_more_and_counts_what_it_adds(trace: Trace, at: dict[str, str]) -> None:
    plain = attempted(trace, [{"slice": at}])
    seeded = attempted(trace, [{"slice": at}, {"seed": {"orders": True}}])
    if plain is not None and seeded is not None:
        note = seeded.provenance["transformed"][1]
        assert note["left_out"] <= plain.provenance["transformed"][0]["left_out"]
        assert (
            seeded.rows + note["left_out"] - note["seeded"]
            == plain.rows + plain.provenance["transformed"][0]["left_out"]
        )


def sign(value: Fraction | int) -> int:
    return (value > 0) - (value < 0)


@CALM
@given(traces(), MIDS, st.sampled_from(["0.001", "0.1", "1", "50"]), st.sampled_from(["0.5", "3"]))
def test_a_rebase_keeps_the_sign_of_every_spread_and_the_grid(trace: Trace, mid: str, tick: str, lot: str) -> None:
    symbol = trace.table["symbol"].to_pylist()
    prices = trace.ints("price_ticks").tolist()
    own = [row for row, name in enumerate(symbol) if name == "BTCUSDT"]
    made = attempted(trace, [{"rebase": {"mid": {"BTCUSDT": mid}, "tick": {"BTCUSDT": tick}, "lot": {"BTCUSDT": lot}}}])
    if made is None:
        return
    assert (f"{made.grid['BTCUSDT'].tick:f}", f"{made.grid['BTCUSDT'].lot:f}") == (tick, lot)
    old, new = trace.table.to_pylist(), made.table.to_pylist()
    side = [old[row["parent_row"] if row["parent_row"] is not None else n]["side"] for n, row in enumerate(old)]
    assert all((row["qty_lots"] is None) or row["qty_lots"] >= 1 for row in new)
    here, there = (Fraction(text) for text in made.provenance["transformed"][0]["moved"]["BTCUSDT"])
    finer = there / here * Fraction(trace.grid["BTCUSDT"].tick) / Fraction(tick) >= 1
    for buy in own:
        for sell in own:
            if side[buy] == "Buy" and side[sell] == "Sell" and prices[buy] > 0 and prices[sell] > 0:
                was, now = prices[buy] - prices[sell], new[buy]["price_ticks"] - new[sell]["price_ticks"]
                assert sign(now) == sign(was) if finer else (now < 0 or was >= 0)


@CALM
@given(traces(), st.integers(2, 6), TIMES, LENGTHS, SEEDS)
def test_a_rate_surge_multiplies_exactly_and_touches_nothing_else(
    trace: Trace, factor: int, at: str, length: str, seed: int
) -> None:
    surge = {"shape": "rate", "factor": factor, "at": at, "for": length, "seed": seed}
    made = attempted(trace, [{"surge": surge}])
    if made is None:
        return
    low = float(at[:-2]) * 1e6
    high = low + float(length[:-2]) * 1e6
    before, after = (int(((t.ints("t_ns") >= low) & (t.ints("t_ns") < high)).sum()) for t in (trace, made))
    if low >= 1e9:
        assert after == factor * before
    else:
        assert after >= factor * before  # no time before the window for what must be placed before
    note = made.provenance["transformed"][0]
    assert made.rows == trace.rows + note["added"] + note["around"]
    old = [row["account"] in trace.codes("account")[1] for row in made.table.to_pylist()]
    kept = [row for row, ours in zip(made.table.to_pylist(), old, strict=True) if ours]
    names = ("t_ns", "account", "op", "client_id", "parent", "price_ticks")
    assert [[row[n] for n in names] for row in kept] == [[row[n] for n in names] for row in trace.table.to_pylist()]


@CALM
@given(traces(), st.lists(PIECES, min_size=1, max_size=3))
def test_a_warp_keeps_every_row_and_copies_only_whole_orders(trace: Trace, pieces: list[dict[str, Any]]) -> None:
    made = attempted(trace, [{"warp": pieces}])
    if made is not None:
        assert made.rows == trace.rows + made.provenance["transformed"][0]["copied"]
        named = [name for name in made.table["client_id"].to_pylist() if name is not None]
        assert len(named) == len(set(named))
