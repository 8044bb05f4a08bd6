"""The sustained rule against a second implementation that follows the definition word by word."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drills.history import NEVER, History, history
from drills.rto import (
    Rejects,
    Rules,
    availability,
    baseline_rejects,
    downtime,
    flaps,
    good,
    in_time,
    recovery,
    window_for,
)
from tests.runs import MS, NS
from tests.tables import operation, witness_table

RULES = Rules(sustain_s=1.0, theta=0.9, limits_ms={"place": 500, "cancel": 250})


def steady(until_ms: int, step_ms: int = 10, **fields: str) -> list[dict[str, Any]]:
    return [operation(n, t * MS, **fields) for n, t in enumerate(range(0, until_ms, step_ms))]


def test_t5_is_the_first_good_answer_of_the_first_window_that_stays_good() -> None:
    rows = steady(6000)
    for row in rows:
        if 1000 * MS <= row["intended_ns"] < 3000 * MS:
            row |= {"outcome": "unknown", "answered_ns": None, "error": "timeout"}
    found = recovery(history(witness_table(rows)), ["place"], (1000 * MS, 1002 * MS), RULES, {})
    assert found.t4_ns == found.t5_ns == 3001 * MS
    assert found.window_ns == (2900 * MS, 3900 * MS), "theta 90 % lets ten bad operations into the window"
    assert found.error_s(0.002) == pytest.approx(0.001 + 0.010 + 0.002)


def test_a_relapse_moves_t5_but_not_t4() -> None:
    rows = steady(8000)
    for row in rows:
        t = row["intended_ns"] // MS
        if 1000 <= t < 2000 or 2500 <= t < 3000:
            row |= {"outcome": "unknown", "answered_ns": None}
    h = history(witness_table(rows))
    found = recovery(h, ["place"], (1000 * MS, 1001 * MS), RULES, {})
    assert found.t4_ns == 2001 * MS
    assert found.t5_ns == 3001 * MS
    assert flaps(h, ["place"], good(h, RULES, {}), found.t4_ns, 0.9) == 0, "buckets of 1 s: 2.0-3.0 is bad at once"


def test_flaps_count_every_fall() -> None:
    rows = steady(10_000)
    for row in rows:
        if (row["intended_ns"] // NS) in (3, 5, 6):
            row |= {"outcome": "unknown", "answered_ns": None}
    h = history(witness_table(rows))
    assert flaps(h, ["place"], good(h, RULES, {}), 1 * NS, 0.9) == 2
    assert flaps(h, ["place"], good(h, RULES, {}), None, 0.9) is None


def test_never_reached_is_absent_with_a_reason() -> None:
    rows = steady(4000)
    for row in rows[100:]:
        row |= {"outcome": "unknown", "answered_ns": None}
    found = recovery(history(witness_table(rows)), ["place"], (1000 * MS, 1001 * MS), RULES, {})
    assert (found.t4_ns, found.t5_ns, found.error_s(0.0)) == (None, None, None)
    assert "not good for 1 s in a row within the 3.0 s observed" in (found.reason or "")


def test_a_flow_without_operations_is_never_good() -> None:
    found = recovery(history(witness_table(steady(4000))), ["place", "cancel"], (0, 0), RULES, {})
    assert found.t5_ns is None
    assert found.reason == "the traffic holds no cancel"


def test_unsent_operations_are_bad_and_a_schedule_not_offered_proves_nothing() -> None:
    lenient = Rules(sustain_s=1.0, theta=0.5)
    rows = steady(6000)
    for row in rows[::10]:
        row |= {"sent_ns": None, "answered_ns": None, "outcome": "unknown", "error": "unsent"}
    h = history(witness_table(rows))
    assert not in_time(h, lenient)[0]
    assert recovery(h, ["place"], (0, 0), lenient, {}).t5_ns is None, "10 % unsent, however good the rest is"


def test_a_broken_invariant_inside_the_window_moves_t5() -> None:
    h = history(witness_table(steady(6000)))
    assert recovery(h, ["place"], (NS, NS), RULES, {}).t5_ns == NS + MS
    moved = recovery(h, ["place"], (NS, NS), RULES, {}, broken_ns=[1500 * MS])
    assert moved.t5_ns is not None
    assert moved.t5_ns > 1500 * MS


def test_rejects_are_correct_only_within_one_point_of_their_baseline() -> None:
    rows = steady(8000, kind="cancel")
    for n, row in enumerate(rows):
        if n % 50 == 0 or (n >= 400 and n % 10 == 0):
            row |= {"outcome": "reject", "error": "110001"}
    h = history(witness_table(rows))
    shares = baseline_rejects(h, 3 * NS)
    assert shares["cancel"].share == pytest.approx(0.02)
    mask = good(h, RULES, shares)
    assert mask[:200].all(), "2 % of rejects is the baseline"
    few = history(
        witness_table(
            [operation(n, n * 100 * MS, kind="cancel") for n in range(9)]
            + [operation(9, NS, kind="cancel", outcome="reject", error="110001")]
        )
    )
    assert good(few, RULES, {"cancel": Rejects(2, 100)}).all(), "one of ten is within the error of a sample of ten"
    assert not good(few, RULES, {"cancel": Rejects(0, 0)}).all(), "without a baseline, one point is all there is"
    assert not mask[rows[450]["intended_ns"] // MS // 10], "10 % is not"


def test_platform_codes_are_not_business_rejects() -> None:
    rows = [operation(0, 0, outcome="reject", error="10016"), operation(1, MS, outcome="reject", error="110301")]
    assert history(witness_table(rows)).business.tolist() == [False, True]


def test_downtime_weighs_the_bad_share_and_keeps_silence_apart() -> None:
    rows = [r for r in steady(2000) if not 1500 * MS <= r["intended_ns"] < 1700 * MS]
    for row in rows[100:120:2]:
        row |= {"outcome": "unknown", "answered_ns": None}
    h = history(witness_table(rows))
    down = downtime(h, "place", good(h, RULES, {}), NS)
    assert down is not None
    assert down.seconds == pytest.approx(0.1), "half of the operations of 0.2 s"
    assert down.no_data_s == pytest.approx(0.2)
    assert downtime(h, "cancel", good(h, RULES, {}), NS) is None
    assert availability(h, "place", good(h, RULES, {}), (NS, NS + 200 * MS)) == pytest.approx(0.5)


def test_window_defaults() -> None:
    assert window_for("embedded", 2000) == 10
    assert window_for("staging", 2000) == 60
    assert window_for("embedded", 5000) == 15


# -- a second implementation, by the words of the definition --------------------------------------------------------


def naive_t5(h: History, flows: list[str], t0: int, rules: Rules, shares: dict[str, Rejects]) -> int | None:
    n, w = len(h), rules.sustain_ns
    for a in range(n):
        if h.kinds[h.kind[a]] not in flows or h.intended[a] < t0 or h.intended[a] + w > h.intended[n - 1]:
            continue
        inside = [o for o in range(n) if h.intended[a] <= h.intended[o] < h.intended[a] + w]
        if sum(h.sent[o] != NEVER for o in inside) < 0.95 * len(inside) - 1e-9:
            continue
        answers = [naive_first_good(h, flow, inside, rules, shares.get(flow, Rejects())) for flow in flows]
        if all(answer is not None for answer in answers):
            return max(answer for answer in answers if answer is not None)
    return None


def naive_first_good(h: History, flow: str, inside: list[int], rules: Rules, base: Rejects) -> int | None:
    mine = [o for o in inside if h.kinds[h.kind[o]] == flow]
    rejects = sum(bool(h.business[o]) for o in mine)
    decided = rejects + sum(bool(h.ok[o]) for o in mine)
    allowed = rejects - base.share * decided <= 0.01 * decided + 1e-9
    if base.decided and decided:
        p = (rejects + base.rejects) / (decided + base.decided)
        sigma = math.sqrt(p * (1 - p) * (1 / decided + 1 / base.decided))
        allowed = allowed or rejects / decided - base.share <= 3 * sigma + 1e-12
    correct = [o for o in mine if h.ok[o] or (h.business[o] and allowed)]
    fine = [
        o for o in correct
        if h.sent[o] != NEVER and h.answered[o] != NEVER and h.answered[o] - h.intended[o] <= rules.limit_ns(flow)
    ]  # fmt: skip
    if not mine or len(fine) < rules.theta * len(mine) - 1e-9:
        return None
    return min(int(h.answered[o]) for o in fine)


@st.composite
def histories(draw: st.DrawFn) -> History:
    count = draw(st.integers(2, 60))
    gaps = draw(st.lists(st.integers(0, 120), min_size=count, max_size=count))
    tau = np.cumsum(gaps) * MS
    rows = []
    for n in range(count):
        fate = draw(st.sampled_from(["ok", "ok", "ok", "ok", "late", "reject", "platform", "unknown", "unsent"]))
        row = operation(n, int(tau[n]), kind=draw(st.sampled_from(["place", "cancel"])))
        row["answered_ns"] = row["sent_ns"] + draw(st.integers(0, 200)) * MS
        if fate == "late":
            row["answered_ns"] += 600 * MS
        elif fate in ("reject", "platform"):
            row |= {"outcome": "reject", "error": "110001" if fate == "reject" else "10016"}
        elif fate == "unknown":
            row |= {"outcome": "unknown", "answered_ns": None, "error": "timeout"}
        elif fate == "unsent":
            row |= {"outcome": "unknown", "answered_ns": None, "sent_ns": None, "error": "unsent"}
        rows.append(row)
    return history(witness_table(rows))


@given(histories(), st.integers(0, 2000), st.sampled_from([0.5, 0.8, 0.999]), st.sampled_from([0.2, 0.5, 1.0]))
@settings(max_examples=150, deadline=None)
def test_equals_the_naive_implementation(h: History, t0_ms: int, theta: float, sustain_s: float) -> None:
    rules = Rules(sustain_s=sustain_s, theta=theta, limits_ms={"place": 500, "cancel": 250})
    shares = baseline_rejects(h, t0_ms * MS)
    for flows in (["place"], ["cancel"], ["place", "cancel"]):
        found = recovery(h, flows, (t0_ms * MS, t0_ms * MS + MS), rules, shares)
        assert found.t5_ns == naive_t5(h, flows, t0_ms * MS, rules, shares)
        if found.t5_ns is not None:
            assert found.window_ns is not None
            assert found.window_ns[0] >= t0_ms * MS
            assert (found.gap_s or 0) >= 0
