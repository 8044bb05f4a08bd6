"""The generated flow: the same for the same seed, mixed, and gone from the books at its end."""

from __future__ import annotations

from collections import Counter

import numpy as np

from loadgen import synth
from loadgen.trace import first_problem


def test_the_same_arguments_give_the_same_trace() -> None:
    one, other, third = (synth.generate(5, 600, seed) for seed in (7, 7, 8))
    assert one.table.equals(other.table)
    assert not one.table.equals(third.table)
    assert first_problem(one) is None


def test_every_kind_of_order_is_there_at_the_rate_asked_for() -> None:
    made = synth.generate(10, 1200, 1)
    kinds = Counter(zip(*(made.table[name].to_pylist() for name in ("op", "type", "tif")), strict=True))
    expected = {("cancel", None, None), ("amend", None, None), ("place", "Market", "IOC")}
    expected |= {("place", "Limit", tif) for tif in ("GTC", "PostOnly", "IOC")}
    assert set(kinds) == expected
    assert min(kinds.values()) > made.table.num_rows * 0.01
    assert abs(made.rate - 1200) < 60
    assert made.sessions == synth.ACCOUNTS


def test_arrivals_come_in_clusters() -> None:
    gaps = np.diff(synth.generate(10, 1200, 1).table["t_ns"].to_numpy())
    # of a Poisson flow the deviation of the gaps equals their mean
    assert gaps.std() > 1.5 * gaps.mean()


def test_no_quote_is_left_for_the_next_repetition() -> None:
    rows = synth.generate(5, 600, 3).table.to_pylist()
    cancelled = {row["parent"] for row in rows if row["op"] == "cancel"}
    quoted = {row["parent"] for row in rows if row["op"] == "amend"}
    assert quoted <= cancelled
