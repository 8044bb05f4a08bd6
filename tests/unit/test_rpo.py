"""The RPO tuple: bound, power, notional and window."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drills.history import history, journal
from drills.rpo import (
    POWER,
    acknowledged_rate,
    amplify_for,
    bound_s,
    lost_window,
    make_rpo,
    notional_of,
    power,
    repeats_for,
)
from probes.checkers import Case, run_all
from tests.runs import MS, NS, RUN_ID
from tests.tables import command, commands_table, operation, witness_table


@pytest.mark.parametrize(
    ("rate", "window", "expected"),
    [(1000, 0.010, 0.99995), (1000, 0.005, 0.993), (100, 0.005, 0.39), (10, 0.020, 0.18), (0, 1, 0)],
)
def test_power_of_the_documentation(rate: float, window: float, expected: float) -> None:
    assert power(rate, window) == pytest.approx(expected, abs=0.005)


def test_bound() -> None:
    assert bound_s(1204) == pytest.approx(0.00249, abs=1e-5)
    assert bound_s(0) is None


def test_what_would_prove_it() -> None:
    # 41 acknowledged a second, 10 ms: a chance of 34 %
    assert power(41, 0.01) == pytest.approx(0.336, abs=0.001)
    assert amplify_for(41, 0.01) == pytest.approx(11.2, abs=0.05)
    assert repeats_for(power(41, 0.01)) == 12
    assert amplify_for(0, 0.01) is None
    assert repeats_for(0) is None


@given(st.floats(0.1, 1e5), st.floats(1e-4, 1))
def test_following_the_advice_is_enough(rate: float, window: float) -> None:
    factor, repeats = amplify_for(rate, window), repeats_for(power(rate, window))
    assert factor is not None
    assert repeats is not None
    assert power(rate * max(1.0, factor), window) >= POWER - 1e-9
    assert 1 - (1 - power(rate, window)) ** repeats >= POWER - 1e-9


def test_rate_counts_answers_of_the_last_second() -> None:
    h = history(witness_table([operation(n, n * 100 * MS) for n in range(30)]))
    assert acknowledged_rate(h, 2 * NS) == 10


def test_notional_is_exact_beyond_64_bits() -> None:
    big = Decimal("99999999999999999999.12345678")
    h = history(witness_table([operation(n, n, notional=big) for n in range(3)] + [operation(3, 3, notional=None)]))
    assert notional_of(h, np.ones(4, bool)) == Decimal("299999999999999999997.37037034")


def tuple_of(lost: int, *, window: float | None = 0.01, fault: bool = True) -> tuple[object, ...]:
    rows = [operation(n, n * MS) for n in range(2000)]
    commands = [command(row["op_id"], row["server_seq"]) for row in rows]
    h = history(witness_table(rows))
    kept = commands[: len(commands) - lost]
    low = 2001 * MS
    span = (low, low + 3 * MS) if fault else None
    rpo = make_rpo(h, run_all(Case(h, journal(commands_table(kept), h, RUN_ID), span)), span, window, 0)
    return rpo.counts["lost"], rpo.lost_notional, rpo.lost_window_s, rpo.bound_s, rpo.power, rpo.reasons


def test_a_zero_prints_bound_and_power() -> None:
    lost, notional, window, bound, chance, reasons = tuple_of(0)
    assert (lost, notional, window) == (0, Decimal(0), None)
    assert bound == pytest.approx(math.log(20) / 999, rel=0.01)
    assert chance == pytest.approx(0.99995, abs=1e-4)
    assert isinstance(reasons, dict)
    assert reasons["lost_window_s"] == "nothing was lost"
    assert "drop copy" in reasons["lost_observed"]


def test_a_loss_prints_notional_and_seconds() -> None:
    lost, notional, window, bound, chance, _ = tuple_of(5)
    assert (lost, notional, bound, chance) == (5, Decimal(500), None, None)
    # the oldest lost one was answered at 1996 ms; the fault was in effect at 2004 ms
    assert window == pytest.approx(0.008)


def test_absent_is_null_with_a_reason() -> None:
    assert tuple_of(0, window=None)[4] is None
    *_, bound, chance, reasons = tuple_of(0, fault=False)
    assert (bound, chance) == (None, None)
    assert isinstance(reasons, dict)
    assert reasons["bound_s"] == reasons["power"] == "no fault was in effect"


def test_acknowledged_after_the_fault_counts_below_zero() -> None:
    h = history(witness_table([operation(0, 10 * MS)]))
    assert lost_window(h, np.array([True]), 5 * MS) == pytest.approx(-0.006)
