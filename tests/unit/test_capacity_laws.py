"""Demands, scaling, what gave way first, and the headroom, on figures that are known."""

import math

import numpy as np
import pytest

from loadgen.capacity.answer import Question, conclude, gave_way
from loadgen.capacity.laws import demands, line, nonnegative, scaling
from loadgen.capacity.step import Outcome, Seen, Step
from loadgen.capacity.usage import Part, Usage
from tests.unit.capacity_venue import SLO, MadeUp, searched


def step(rate: float, parts: dict[str, Part], *, held: bool = True, machine: float = 1.0, **seen: float) -> Step:
    figures = {"offered": rate, "answered": rate, "sent": 1.0, "good": 1.0, "service_ms": 1.0, "lag_p99_ms": 0.2} | seen
    outcome = Outcome.HELD if held else Outcome.BROKE
    why = "" if held else "p99 25.0 ms > 20 ms"
    made = Seen(quantiles_ms={"p50": 1.0, "p99": 2.0 if held else 25.0}, **figures)
    return Step(1, rate, made, outcome, why, usage=Usage(parts, 0.3, machine, 4))


def alone(cores: float) -> Part:
    return Part(cores, cores, 50.0)


def spread(cores: float) -> Part:
    return Part(cores, cores / 4, 50.0)


def test_the_utilisation_law_gives_demand_idle_and_saturation() -> None:
    steps = [step(rate, {"engine": alone(0.1 + rate * 2e-4)}) for rate in (500.0, 1000.0, 2000.0, 3000.0)]
    (engine,) = demands(steps)
    assert engine.cpu_ms == pytest.approx(0.2)
    assert engine.idle == pytest.approx(0.1)
    assert engine.r2 == pytest.approx(1)
    assert engine.saturates_at == pytest.approx(4500)
    assert engine.most == pytest.approx(0.7)
    assert (engine.ceiling, engine.most_at) == (1.0, 3000)


def test_a_component_of_many_threads_may_use_every_core() -> None:
    steps = [step(rate, {"bus": spread(rate * 2e-4), "engine": alone(rate * 1e-4)}) for rate in (500.0, 1000.0, 2000.0)]
    engine, bus = demands(steps)
    assert (engine.name, bus.name, engine.ceiling, bus.ceiling) == ("engine", "bus", 1.0, 4.0)
    assert engine.saturates_at == pytest.approx(10_000)
    assert bus.saturates_at == pytest.approx(20_000)


def test_too_few_steps_or_too_little_cpu_give_no_saturation() -> None:
    assert demands([step(500, {"engine": alone(0.5)})]) == []
    (idle,) = demands([step(rate, {"idle": alone(0.001)}) for rate in (500.0, 1000.0)])
    assert idle.saturates_at is None


def test_least_squares_without_negative_coefficients() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0])
    (intercept, slope), r2 = line(x, 3 * x - 1)
    assert intercept == 0
    assert 2 < slope < 3
    assert r2 > 0.9
    assert nonnegative(np.stack([x, x * x], axis=1), -x).tolist() == [0, 0]


def test_the_universal_scalability_law_is_found_again() -> None:
    rate_1, sigma, kappa = 900.0, 0.02, 0.0005
    steps = []
    for inside in (1.0, 2.0, 5.0, 10.0, 20.0, 40.0):
        served = rate_1 * inside / (1 + sigma * (inside - 1) + kappa * inside * (inside - 1))
        steps.append(step(served, {}, service_ms=inside / served * 1e3))
    found = scaling(steps)
    assert found is not None
    assert (found.rate_1, found.contention, found.coherency) == pytest.approx((rate_1, sigma, kappa), rel=1e-6)
    assert found.r2 == pytest.approx(1)
    assert found.peak_at == pytest.approx(math.sqrt((1 - sigma) / kappa))
    assert found.extrapolated
    assert scaling(steps[:3]) is None


def test_a_component_at_its_ceiling_gave_way() -> None:
    steps = [step(rate, {"engine": alone(rate * 3e-4), "gateway": alone(rate * 1e-4)}) for rate in (1000.0, 2000.0)]
    steps.append(step(3300, {"engine": alone(0.97), "gateway": alone(0.33)}, held=False))
    found = gave_way(steps, demands(steps))
    assert (found.what, found.name) == ("component", "engine")
    assert "0.97 cores at 3,300 op/s; an operation costs it 0.300 ms of CPU" in found.text
    assert "1 core at 3,333 op/s" in found.text


def test_the_machine_gave_way() -> None:
    steps = [step(rate, {"engine": alone(rate * 1e-4)}) for rate in (1000.0, 2000.0)]
    steps.append(step(3300, {"engine": alone(0.33)}, held=False, machine=3.9))
    found = gave_way(steps, demands(steps))
    assert found.what == "machine"
    assert "3.90 of its 4 cores were busy (0.30 with the load, 3.27 with other programs) at 3,300 op/s" in found.text


def test_latency_with_nothing_saturated_is_said_so() -> None:
    steps = [step(rate, {"engine": alone(rate * 1e-4)}) for rate in (1000.0, 2000.0)]
    steps.append(step(3300, {"engine": alone(0.33)}, held=False))
    found = gave_way(steps, demands(steps))
    assert found.what == "latency"
    assert "no component saturated: p99 25.0 ms > 20 ms at 3,300 op/s" in found.text
    assert "engine would be the first to use up its 1 core, at 10,000 op/s (extrapolated)" in found.text
    nothing = [step(1000, {}), step(3300, {}, held=False)]
    assert "not measured" in gave_way(nothing, []).text


def test_a_step_that_broke_by_chance_tells_nothing() -> None:
    steps = [step(rate, {"engine": alone(rate * 3e-4)}) for rate in (1000.0, 2000.0)]
    steps += [step(500, {"engine": alone(0.15)}, held=False), step(3300, {"engine": alone(0.97)}, held=False)]
    assert gave_way(steps, [], 3000).name == "engine"
    assert gave_way(steps, [], 4000).name == "engine"
    assert gave_way(steps, []).what == "latency"


def test_the_made_up_engine_gives_way_first() -> None:
    answer = searched(MadeUp(3000, 0.01))
    assert answer.gave_way is not None
    assert (answer.gave_way.what, answer.gave_way.name) == ("component", "engine")
    assert answer.demands[0].name == "engine"
    assert answer.demands[0].cpu_ms == pytest.approx(1e3 / 3000, rel=0.05)


def test_headroom_is_marked_where_nothing_was_offered() -> None:
    answer = searched(MadeUp(5000, 0.01))
    assert answer.knee is not None
    once, ten, twenty = answer.headroom
    assert (once.holds, once.extrapolated) == (True, False)
    assert once.margin == pytest.approx(answer.knee.rate / 1000)
    assert (ten.holds, ten.extrapolated, twenty.holds) == (False, True, False)
    held = [step(1000, {}), step(12_000, {})]
    bound = conclude(Question(SLO, 1000, 1e6), held, "interrupted").headroom
    assert [one.holds for one in bound] == [True, True, None]
    assert [one.extrapolated for one in bound] == [False, False, True]
