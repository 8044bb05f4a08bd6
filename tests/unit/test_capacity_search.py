"""The search against a made-up venue whose capacity is known: what it finds, and what it says where it cannot."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from drills.errors import ComponentError
from loadgen.capacity.answer import Question, conclude
from loadgen.capacity.drive import Walk, drive
from loadgen.capacity.search import NEAR, Terms, rounded, search
from loadgen.capacity.step import Outcome, Step
from tests.unit.capacity_venue import SLO, MadeUp, searched

TRIALS = 60


@pytest.mark.parametrize("noise", [0.005, 0.03, 0.06])
def test_the_interval_covers_the_true_knee(noise: float) -> None:
    covered = told = 0
    for seed in range(TRIALS):
        random = np.random.default_rng(seed)
        venue = MadeUp(float(random.uniform(2000, 9000)), noise, random=random)
        knee = searched(venue).knee
        if knee is not None:
            told += 1
            covered += knee.low <= venue.knee <= knee.high
            assert knee.low <= knee.rate <= knee.high
            assert knee.rate <= knee.held
    assert told >= 0.95 * TRIALS
    assert covered >= 0.9 * TRIALS


def test_a_venue_without_noise_is_found_within_a_stride() -> None:
    venue = MadeUp(5000, 0.0)
    answer = searched(venue)
    assert answer.kind == "knee"
    assert answer.conclusive
    assert answer.knee is not None
    assert venue.knee / NEAR <= answer.knee.rate <= venue.knee
    assert answer.knee.held <= venue.knee < answer.knee.broke


def test_one_bad_step_far_below_the_knee_is_asked_for_again() -> None:
    venue = MadeUp(5000, 0.01)

    def stumbling(number: int, rate: float) -> Step:
        if number != 2:
            return venue.step(number, rate)
        tired = MadeUp(rate + 1)
        return tired.step(number, rate)

    walk = Walk()
    drive(walk, Terms(200, 1e6), 1e4, stumbling, clock=lambda: venue.clock_s)
    assert walk.steps[1].outcome is Outcome.BROKE
    assert walk.steps[2].target == walk.steps[1].target
    knee = conclude(Question(SLO, 1000, 1e6), walk.steps, walk.ended).knee
    assert knee is not None
    assert knee.low <= venue.knee <= knee.high


def test_a_generator_that_gives_out_first_is_inconclusive() -> None:
    answer = searched(MadeUp(50_000, late_from=3000))
    assert (answer.kind, answer.conclusive, answer.knee) == ("generator", False, None)
    assert answer.late_at is not None
    assert 3000 <= answer.late_at <= 3000 * NEAR
    assert answer.bound is not None
    assert 3000 / NEAR <= answer.bound < 3000
    assert "--workers 2" in answer.why


def test_a_knee_below_the_generators_end_is_still_found() -> None:
    venue = MadeUp(2700, 0.005, late_from=3200)
    answer = searched(venue)
    assert answer.kind == "knee"
    assert answer.knee is not None
    assert answer.knee.low <= venue.knee <= answer.knee.high


def test_a_venue_that_never_breaks_holds_at_least_the_highest_rate() -> None:
    answer = searched(MadeUp(50_000), top=3000)
    assert (answer.kind, answer.conclusive, answer.knee, answer.bound) == ("at-least", True, None, 3000)
    assert "never broken up to --to 3,000" in answer.why


def test_a_venue_that_breaks_at_the_first_step_says_so() -> None:
    answer = searched(MadeUp(1000), start=2000)
    assert (answer.kind, answer.conclusive, answer.knee, answer.bound) == ("below", False, None, None)
    assert "broke at the first step, 2,000 op/s" in answer.why
    assert "--from" in answer.why


def test_the_budget_ends_it_and_says_so() -> None:
    venue = MadeUp(50_000)
    walk = Walk()
    drive(walk, Terms(10, 1e6), 45, venue.step, clock=lambda: venue.clock_s)
    assert walk.ended == "budget"
    assert venue.clock_s <= 45
    answer = conclude(Question(SLO, 1000, 1e6), walk.steps, walk.ended)
    assert (answer.kind, answer.conclusive) == ("budget", False)
    assert "--budget" in answer.why


def test_what_was_known_stays_when_a_step_fails() -> None:
    venue = MadeUp(50_000)

    def failing(number: int, rate: float) -> Step:
        if number == 3:
            raise ComponentError("load", "gone")
        return venue.step(number, rate)

    walk = Walk()
    with pytest.raises(ComponentError):
        drive(walk, Terms(100, 1e6), 1e4, failing)
    answer = conclude(Question(SLO, 1000, 1e6), walk.steps, "failed: load: gone")
    assert (answer.kind, answer.why, answer.bound) == ("failed", "load: gone", 200)
    assert conclude(Question(SLO, 1000, 1e6), [], "interrupted").kind == "nothing"


def rates(terms: Terms, says: Callable[[float], Outcome]) -> list[float]:
    found = []
    asking = search(terms)
    rate = next(asking)
    while True:
        found.append(rate)
        try:
            rate = asking.send(says(rate))
        except StopIteration:
            return found


def test_the_order_of_the_rates() -> None:
    found = rates(Terms(100, 1e6, 3), lambda rate: Outcome.HELD if rate <= 290 else Outcome.BROKE)
    assert found[:4] == [100, 200, 400, 400]
    assert found[4] == rounded(math.sqrt(200 * 400))
    near = found[-3:]
    assert all(290 / NEAR**2 <= rate <= 290 * NEAR**2 for rate in near)
    assert max(found) == 400


def test_no_rate_is_beyond_the_highest() -> None:
    assert rates(Terms(300, 1000, 6), lambda rate: Outcome.HELD) == [300, 600, 1000]
    assert max(rates(Terms(300, 1000, 30), lambda rate: Outcome.HELD if rate < 990 else Outcome.BROKE)) == 1000


def test_a_search_that_encloses_no_knee_goes_on() -> None:
    for seed in range(20):
        answer = searched(MadeUp(5000, 0.06, random=np.random.default_rng(seed)), repeat=0)
        assert answer.kind == "knee"
