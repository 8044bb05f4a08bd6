"""Percentiles out of buckets are those of the durations themselves, to within 0.4 %."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from loadgen.engine.histogram import Histogram
from loadgen.venues.wire import Ints

QS = (0.1, 1, 10, 50, 90, 95, 99, 99.9, 99.99, 100)
ROUNDED_MS = 0.000_5  # a percentile has three decimals

durations = arrays.arrays(
    np.int64, st.integers(1, 400), elements=st.integers(1_000, 10**10) | st.integers(1_000, 2**41 * 1000)
)


def filled(*parts: Ints) -> Histogram:
    made = Histogram()
    for part in parts:
        made.add(part)
    return made


def exact_ms(values: Ints, q: float) -> tuple[float, float]:
    """The durations at a rank and the ones beside it: q / 100 * count may fall a hair above a whole number."""
    ordered = np.sort(values)
    rank = q / 100 * len(values)
    ranks = np.clip([np.ceil(rank - 1e-6), np.ceil(rank + 1e-6)], 1, len(values)).astype(int) - 1
    return ordered[ranks[0]] / 1e6, ordered[ranks[1]] / 1e6


def close(found: float | None, values: Ints, q: float) -> bool:
    low, high = exact_ms(values, q)
    return found is not None and low * 0.996 - ROUNDED_MS <= found <= high * 1.004 + ROUNDED_MS


@settings(max_examples=300, deadline=None)
@given(durations)
def test_percentiles_are_within_four_thousandths(values: Ints) -> None:
    made = filled(values)
    assert all(close(made.percentile_ms(q), values, q) for q in QS)
    assert len(made) == len(values)
    assert made.max_ns == values.max()
    assert made.percentile_ms(100) <= values.max() / 1e6 + ROUNDED_MS  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", ["lognormal", "uniform", "two humps"])
def test_percentiles_of_many_are_those_of_numpy(shape: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = {
        "lognormal": rng.lognormal(1, 1.5, 50_000) * 1e6,
        "uniform": rng.uniform(1e4, 3e9, 50_000),
        "two humps": np.concatenate([rng.normal(2e6, 1e5, 45_000), rng.normal(9e8, 1e7, 5_000)]),
    }
    values = np.maximum(drawn[shape], 1000).astype(np.int64)
    made = filled(*np.array_split(values, 7))
    for q in (50, 90, 99, 99.9):
        exact = np.percentile(values, q, method="inverted_cdf") / 1e6
        assert made.percentile_ms(q) == pytest.approx(exact, rel=0.004, abs=ROUNDED_MS)


@settings(max_examples=100, deadline=None)
@given(st.lists(durations, min_size=1, max_size=4))
def test_merged_is_counted_together_and_in_any_order(parts: list[Ints]) -> None:
    merged = Histogram()
    for part in reversed(parts):
        merged.merge(filled(part))
    whole = filled(np.concatenate(parts))
    assert merged.summary() == whole.summary() == filled(*parts).summary()


@settings(max_examples=100, deadline=None)
@given(durations)
def test_the_buckets_of_a_summary_hold_everything(values: Ints) -> None:
    summary = filled(values).summary()
    bounds = [bound for bound, _ in summary["buckets_us"]]
    assert sum(count for _, count in summary["buckets_us"]) == summary["count"] == len(values)
    assert bounds == sorted(set(bounds)), "no bound stands twice"
    cumulated = np.cumsum([count for _, count in summary["buckets_us"]])
    for bound, below in zip(bounds, cumulated.tolist(), strict=True):
        assert (values < bound * 1000 * (1 - 1e-4)).sum() <= below <= (values <= bound * 1000 * (1 + 1e-4)).sum()
    assert summary["max_ms"] == pytest.approx(values.max() / 1e6, abs=ROUNDED_MS)


def test_an_empty_one_knows_nothing() -> None:
    made = filled(np.empty(0, np.int64))
    assert len(made) == 0
    assert made.percentile_ms(50) is None
    assert made.summary() == {
        "count": 0,
        "p50_ms": None,
        "p90_ms": None,
        "p99_ms": None,
        "p99.9_ms": None,
        "max_ms": 0.0,
        "buckets_us": [],
    }


def test_cleared_is_empty_and_can_be_filled_again() -> None:
    made = filled(np.array([5_000_000, 7_000_000_000]))
    made.clear()
    assert made.summary() == Histogram().summary()
    made.add(np.array([3_000_000]))
    assert made.percentile_ms(99) == pytest.approx(3, rel=0.004)
    assert made.max_ns == 3_000_000


def test_what_is_shorter_than_a_microsecond_counts_as_one_and_what_is_endless_is_kept() -> None:
    made = filled(np.array([-5_000, 0, 1, 999, 1_000]))
    assert made.percentile_ms(50) == 0.001
    assert len(made) == 5
    made = filled(np.array([2**62]))
    assert len(made) == 1
    assert made.max_ns == 2**62
