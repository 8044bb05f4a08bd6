"""Guards: they trip on a breach, on silence and on their own failure, and not inside the announced outage."""

from __future__ import annotations

from typing import Any

import pytest

from chaoslib_ext.supervisor.guards import Facts, Guards, self_test
from drills.clock import NS
from drills.plan import Plan
from probes.live import LiveView
from probes.slo import known
from tests.unit.runs import plan_with
from tests.unit.test_probes_live import beats

BURN = {"slo": "order-place", "except": "matching-engine", "burn": 14.4}


def facts(rates: list[tuple[int, int]], **more: Any) -> tuple[Facts, int]:  # noqa: ANN401 - fields of Facts
    live = LiveView({"place": 500})
    live.add(beats(rates))
    last = live.last
    assert last is not None
    return Facts(started_ns=0, live=live, **more), last.t_ns


def guards(plan: Plan) -> Guards:
    return Guards(plan, known())


HEALTHY = [(100, 100)] * 80
BROKEN = HEALTHY + [(100, 0)] * 60


def test_healthy_run_trips_nothing() -> None:
    fact, now = facts(HEALTHY)
    assert guards(plan_with([BURN, {"longest": "5m"}, {"invariant": "single-writer"}])).check(fact, now) is None


def test_burning_budget_trips_and_names_the_numbers() -> None:
    fact, now = facts(BROKEN)
    trip = guards(plan_with([BURN])).check(fact, now)
    assert trip is not None
    assert trip.guard == "slo order-place"
    assert "0.00%" in trip.reason


def test_the_announced_outage_is_allowed_only_for_what_the_drill_disturbs() -> None:
    fact, now = facts(BROKEN, envelope=True)
    assert guards(plan_with([BURN], services=("matching-engine",))).check(fact, now) is None
    assert guards(plan_with([BURN], services=("gateway",))).check(fact, now) is not None
    everywhere = {"slo": "order-place", "burn": 14.4}
    assert guards(plan_with([everywhere], services=("matching-engine",))).check(fact, now) is not None


@pytest.mark.parametrize(
    ("more", "guard"),
    [
        ({"load_ended": "killed by signal 9 (SIGKILL)"}, "load"),
        ({"sampler_ended": "killed by signal 9 (SIGKILL)"}, "sampler"),
        ({"sampled_ns": 1}, "sampler"),
    ],
)
def test_a_missing_stream_trips(more: dict[str, Any], guard: str) -> None:
    fact, now = facts(HEALTHY, **more)
    trip = guards(plan_with([])).check(fact, now)
    assert trip is not None
    assert trip.guard == guard


def test_silence_of_the_load_trips_after_two_seconds() -> None:
    fact, now = facts(HEALTHY)
    assert guards(plan_with([])).check(fact, now + int(1.9 * NS)) is None
    assert guards(plan_with([])).check(fact, now + int(2.1 * NS)) is not None


def test_nothing_is_missed_once_the_load_was_stopped() -> None:
    fact, now = facts(BROKEN, load_ended="ended with 0", load_stopped=True)
    assert guards(plan_with([BURN])).check(fact, now + 60 * NS) is None


def test_longest_and_invariant() -> None:
    fact, now = facts(HEALTHY, writers="engine-0 and engine-1 claim epoch 2")
    assert guards(plan_with([{"longest": "7s"}])).check(fact, now) is not None
    trip = guards(plan_with([{"invariant": "single-writer"}])).check(fact, now)
    assert trip is not None
    assert "claim epoch 2" in trip.reason


def test_self_test_takes_the_real_way() -> None:
    stopped_ms = self_test(plan_with([]), known())
    assert stopped_ms is not None
    assert stopped_ms < 1000
