"""Properties of a schedule, for any trace, speed, amplification and length."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drills.errors import DefinitionError
from loadgen import schedule
from loadgen.builder import Row, build
from loadgen.trace import Symbol, Trace, of


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    rows: list[Row] = []
    orders: list[Row] = []
    t_ns = 0
    for number in range(draw(st.integers(1, 40))):
        t_ns += 1_000_000 * draw(st.integers(0, 50))
        follow: bool = draw(st.booleans())
        if orders and follow:
            order = draw(st.sampled_from(orders))
            op = draw(st.sampled_from(["cancel", "amend"]))
            qty8 = 100 if op == "amend" else None
            rows.append(Row(t_ns, order.session, "a", op, "BTCUSDT", parent=order.client_id, qty8=qty8))
        else:
            session = draw(st.integers(0, 3))
            order = Row(t_ns, session, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 500, 300, f"c{number}")
            orders.append(order)
            rows.append(order)
    return build("any", rows, {})


@st.composite
def schedules(draw: st.DrawFn) -> schedule.Schedule:
    return schedule.build(
        draw(traces()),
        duration_s=draw(st.floats(0.001, 3)),
        speed=draw(st.sampled_from([0.5, 1.0, 3.0])),
        amplify=draw(st.integers(1, 4)),
        sessions=draw(st.sampled_from([None, 1, 2])),
        seed=draw(st.integers(0, 9)),
        jitter_ns=draw(st.sampled_from([0, 1, 30_000_000, 10**12])),
    )


@settings(max_examples=150, deadline=None)
@given(schedules())
def test_every_cancel_follows_an_order_of_its_own_repetition_and_clone(made: schedule.Schedule) -> None:
    client_id, parent = (made.trace.table[name].to_pylist() for name in ("client_id", "parent"))
    assert (np.diff(made.offset_ns) >= 0).all()
    for n, (row, named, prior) in enumerate(zip(made.row, made.parent, made.prior, strict=True)):
        if parent[row] is None:
            assert (named, prior) == (-1, -1)
        else:
            assert named <= prior < n
            assert client_id[made.row[named]] == parent[row]
            assert made.session[named] == made.session[n]
            # no other repetition or clone has this order: places are as many as their orders' names
            assert prior == named or made.parent[prior] == named


@settings(max_examples=100, deadline=None)
@given(traces(), st.integers(1, 4), st.integers(0, 200_000_000), st.integers(1, 5), st.integers(0, 9))
def test_shards_are_the_whole(recorded: Trace, amplify: int, jitter_ns: int, count: int, seed: int) -> None:
    terms = {"duration_s": 1.0, "amplify": amplify, "jitter_ns": jitter_ns, "seed": seed}
    whole = schedule.build(recorded, **terms)  # type: ignore[arg-type]
    found: list[tuple[int, ...]] = []
    for number in range(count):
        shard = schedule.build(recorded, **terms, shard=(number, count))  # type: ignore[arg-type]
        assert (shard.sessions, shard.shard) == (whole.sessions, (number, count))
        assert (shard.session % count == number).all()
        found += entries(shard)
    assert sorted(found) == sorted(entries(whole))


def entries(made: schedule.Schedule) -> list[tuple[int, ...]]:
    """Offset, row and session of each operation, and of the two that it hangs on."""
    own = np.stack([made.offset_ns, made.row, made.session])
    named = [np.where(link < 0, -1, own[:, link]) for link in (made.parent, made.prior)]
    return [tuple(entry) for entry in np.concatenate([own, *named]).T.tolist()]


@settings(max_examples=100, deadline=None)
@given(traces(), st.integers(0, 200_000_000), st.integers(0, 9))
def test_jitter_leaves_the_first_clone_alone(recorded: Trace, jitter_ns: int, seed: int) -> None:
    first, again = (
        [
            entry
            for entry in entries(schedule.build(recorded, duration_s=0.5, amplify=3, seed=seed, jitter_ns=ns))
            if entry[2] < recorded.sessions
        ]
        for ns in (0, jitter_ns)
    )
    assert first == again


@pytest.mark.parametrize("jitter_ns", [1, 900_000, 40_000_000, 10**12])
def test_jitter_never_overtakes_within_a_session(jitter_ns: int) -> None:
    made = schedule.build(trace_of(400, 1_000_000), duration_s=0.4, amplify=4, jitter_ns=jitter_ns)
    assert (np.diff(made.offset_ns) >= 0).all()
    for session in range(made.sessions):
        # a clone plays the end of one repetition and the beginning of the next
        assert (np.diff(made.row[made.session == session]) < 0).sum() <= 1


def test_jitter_is_spread_evenly_where_there_is_room() -> None:
    made = schedule.build(trace_of(2000), duration_s=20, amplify=2, jitter_ns=5_000_000, seed=3)
    phase = int(np.random.default_rng(3).integers(0, made.trace.duration_ns, 1)[0])
    clone = made.session >= 2
    late = (made.offset_ns[clone] - made.row[clone].astype(np.int64) * 10_000_000 - phase) % made.trace.duration_ns
    assert 0 <= late.min() < 100_000
    assert 4_900_000 < late.max() <= 5_000_000
    assert abs(late.mean() - 2_500_000) < 150_000


def test_ids_have_one_width_in_every_shard() -> None:
    assert schedule.op_id("run", schedule.op_number(0, 7)) == "run-0000000007"
    assert schedule.op_id("run", schedule.op_number(12, 49_999_999)) == "run-1249999999"


@settings(max_examples=150, deadline=None)
@given(schedules())
def test_a_place_of_the_trace_is_one_order_in_each_repetition_and_clone(made: schedule.Schedule) -> None:
    keys = list(zip(made.row.tolist(), made.session.tolist(), made.offset_ns.tolist(), strict=True))
    assert len(keys) == len(set(keys))


@given(traces(), st.sampled_from([0.5, 1.0, 4.0]))
def test_a_repetition_is_the_trace_again_one_period_later(recorded: Trace, speed: float) -> None:
    period = max(1, round(recorded.duration_ns / speed))
    made = schedule.build(recorded, duration_s=3 * period / 1e9, speed=speed)
    count = recorded.table.num_rows
    assert len(made) == 3 * count
    first = (recorded.table["t_ns"].to_numpy() / speed).astype(np.int64)
    for repetition in range(3):
        part = slice(repetition * count, (repetition + 1) * count)
        assert made.offset_ns[part].tolist() == (first + repetition * period).tolist()
        assert made.row[part].tolist() == list(range(count))


def trace_of(count: int, gap_ns: int = 10_000_000) -> Trace:
    rows = [
        Row(n * gap_ns, n % 2, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 500, 300, f"c{n}") for n in range(count)
    ]
    return build("even", rows, {})


def test_clones_are_whole_sessions_with_accounts_and_a_phase_of_their_own() -> None:
    made = schedule.build(trace_of(100), duration_s=1, amplify=3, seed=4)
    assert made.sessions == 6
    assert len(made) == 300
    assert np.bincount(made.session).tolist() == [50] * 6
    assert [made.account(n) for n in range(2)] == ["acct-0", "acct-1"]
    starts = [made.row[made.session // 2 == clone][0] for clone in range(3)]
    assert starts[0] == 0
    assert len(set(starts)) == 3
    again = schedule.build(trace_of(100), duration_s=1, amplify=3, seed=4)
    assert (again.offset_ns == made.offset_ns).all()


def test_folding_deals_the_trace_to_fewer_sessions() -> None:
    made = schedule.build(trace_of(10), duration_s=0.1, sessions=1)
    assert made.sessions == 1
    assert set(made.session.tolist()) == {0}


def test_a_schedule_beyond_all_measure_is_refused() -> None:
    with pytest.raises(DefinitionError, match="more than 50000000 operations"):
        schedule.build(trace_of(100, 10), duration_s=3600, amplify=20)


def test_the_schedule_on_disk(tmp_path: Path) -> None:
    rows = [
        Row(0, 0, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 10_050_000_000, 150_000_000, "x"),
        Row(10, 1, "b", "place", "BTCUSDT", "Buy", "Market", "IOC", None, 150_000_000, "y"),
        Row(20, 0, "a", "cancel", "BTCUSDT", parent="x"),
    ]
    made = schedule.build(build("t", rows, {}), duration_s=30 / 1e9)
    schedule.write(made, tmp_path / "s.arrow", "run", 1_000)
    table = pa.ipc.open_file(tmp_path / "s.arrow").read_all()
    assert table.to_pydict() == {
        "kind": ["place", "place", "cancel"],
        "session": ["acct-0", "acct-1", "acct-0"],
        "key": ["BTCUSDT"] * 3,
        "notional": [Decimal("150.75000000"), None, None],
        "intended_ns": [1000, 1010, 1020],
    }
    assert table.schema.metadata == {b"run_id": b"run", b"start_ns": b"1000", b"shard": b"0", b"shards": b"1"}


def test_a_shard_without_sessions_is_an_empty_file(tmp_path: Path) -> None:
    made = schedule.build(trace_of(10), duration_s=0.1, shard=(4, 5))
    assert (len(made), made.sessions) == (0, 2)
    schedule.write(made, tmp_path / "s.arrow", "run", 1_000)
    table = pa.ipc.open_file(tmp_path / "s.arrow").read_all()
    assert table.num_rows == 0
    assert table.schema.metadata[b"shard"] == b"4"


def test_a_schedule_that_would_be_empty_is_refused() -> None:
    rows = [Row(0, 0, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 500, 300, "x")]
    made = build("t", rows, {})
    late = of("late", made.table.set_column(1, "t_ns", [[5_000_000]]), made.grid, {}, 10_000_000)
    with pytest.raises(DefinitionError, match=r"late: no operation within 0\.001 s; raise duration or speed"):
        schedule.build(late, duration_s=0.001)


def priced(price8: int, qty8: int, tick: str, lot: str) -> Trace:
    rows = [Row(0, 0, "a", "place", "XUSDT", "Buy", "Limit", "GTC", price8, qty8, "x")]
    made = build("t", rows, {})
    table = made.table.set_column(made.table.schema.get_field_index("price_ticks"), "price_ticks", [[price8]])
    table = table.set_column(table.schema.get_field_index("qty_lots"), "qty_lots", [[qty8]])
    return of("t", table, {"XUSDT": Symbol(Decimal(tick), Decimal(lot))}, {}, 1)


def test_money_is_exact_beyond_64_bits() -> None:
    rows = [Row(0, 0, "a", "place", "XUSDT", "Buy", "Limit", "GTC", 9 * 10**18, 9 * 10**18 - 1, "x")]
    exact = schedule.notionals(build("t", rows, {}))[0].as_py()
    assert exact == Decimal("8099999999999999999100.00000000")


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 2**63 - 1) | st.integers(1, 10**6),
    st.integers(1, 2**63 - 1) | st.integers(1, 10**6),
    st.sampled_from(["1", "0.1", "0.00000001", "0.0025", "100", "1e-11", "3e-9"]),
    st.sampled_from(["1", "0.001", "0.00000001", "0.5", "1000", "1e-10"]),
)
def test_money_is_that_of_decimals(price: int, qty: int, tick: str, lot: str) -> None:
    with localcontext(prec=120):
        exact = (price * Decimal(tick)) * (qty * Decimal(lot))
        rounded = exact.quantize(Decimal("0.00000001"), ROUND_HALF_EVEN)
    made = priced(price, qty, tick, lot)
    if rounded >= Decimal(10) ** 30:
        with pytest.raises(DefinitionError, match="beyond 38 digits"):
            schedule.notionals(made)
    else:
        found = schedule.notionals(made)
        found.validate(full=True)
        assert found.to_pylist() == [rounded]
