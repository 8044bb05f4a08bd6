"""Flow that is like a recording: the same for the same seed, near in what is measured, no cancel of nothing."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drills.errors import DefinitionError
from loadgen import synth
from loadgen.synth.arrivals import draw, fano, fitted
from loadgen.synth.model import Cluster
from loadgen.trace import Trace, first_problem
from tests.unit.market_rows import SECOND, cancel, place, traced, traces


@cache
def recorded() -> Trace:
    return synth.generate(20, 800, 3)


@cache
def model() -> synth.FlowModel:
    return synth.fit(recorded())


def test_the_same_model_and_seed_give_the_same_trace() -> None:
    one, again, other = (synth.make(model(), name, seed=seed) for name, seed in (("a", 4), ("b", 4), ("a", 5)))
    assert one.table.equals(again.table)
    assert not one.table.equals(other.table)
    assert one.provenance["from"] == "synth"
    assert one.grid == recorded().grid


def test_what_is_made_is_near_to_what_was_recorded() -> None:
    facts = synth.goodness(recorded(), synth.make(model(), "made", seed=2))
    assert {fact.name for fact in facts} >= {"Fano factor, 10 ms", "Fano factor, 1 s", "share of cancel"}
    assert [fact for fact in facts if not fact.near] == []


def test_what_is_unlike_is_said_to_be_off() -> None:
    calm = model().model_copy(update={"arrivals": (), "skew": synth.model.Skew(exponent=1.5, offset=0)})
    off = {fact.name for fact in synth.goodness(recorded(), synth.make(calm, "calm")) if not fact.near}
    assert off >= {"Fano factor, 10 ms", "Fano factor, 100 ms", "sessions, largest difference of a share"}
    assert "share of cancel" not in off


def test_span_rate_and_sessions_are_as_asked_for() -> None:
    made = synth.make(model(), "made", seconds=5, rate=2000, sessions=40)
    assert (made.rows, made.duration_ns, made.sessions) == (10_000, 5 * SECOND, 40)
    assert first_problem(made) is None


def test_cancels_and_amends_name_living_orders() -> None:
    made = synth.make(model(), "made", seconds=5)
    open_orders: set[str] = set()
    for op, name, parent in zip(*(made.table[n].to_pylist() for n in ("op", "client_id", "parent")), strict=True):
        if op == "place":
            open_orders.add(name)
            continue
        assert parent in open_orders
        if op == "cancel":
            open_orders.remove(parent)


def test_a_model_on_disk_is_the_same_model(tmp_path: Path) -> None:
    synth.save(model(), tmp_path / "m.json")
    again = synth.load(tmp_path / "m.json")
    assert again == model()
    assert (tmp_path / "m.json").stat().st_size < 100_000
    assert synth.make(again, "x", seconds=1).table.equals(synth.make(model(), "x", seconds=1).table)


@settings(deadline=None, max_examples=40)
@given(traces(), st.integers(0, 5), st.integers(1, 300))
def test_any_trace_with_orders_has_a_model_that_makes_sound_traces(trace: Trace, seed: int, rate: int) -> None:
    if "place" not in trace.codes("op")[1]:
        return
    made = synth.make(synth.fit(trace), "made", seed=seed, seconds=2, rate=rate)
    assert made.rows == 2 * rate
    assert first_problem(made) is None


@pytest.mark.parametrize("scales", [(), (2_000_000,), (500_000, 100_000_000)])
def test_fitted_clusters_make_the_same_bursts(scales: tuple[int, ...]) -> None:
    clusters = [Cluster(scale_ns=scale, share=0.4, size=6) for scale in scales]
    span = 60 * SECOND
    times = draw(clusters, 60_000, span, np.random.default_rng(1))
    assert len(times) == 60_000
    assert (np.diff(times) >= 0).all()
    assert times[-1] < span
    again = draw(fitted(times, span), 60_000, span, np.random.default_rng(2))
    for window in (1_000_000, 10_000_000, 100_000_000):
        one, other = fano(times, window, span), fano(again, window, span)
        assert one is not None
        assert other == pytest.approx(one, rel=0.25)


def test_the_fano_factor_of_evenly_spaced_times_is_none_or_nothing() -> None:
    even = np.arange(1000) * 1_000_000
    assert fano(even, 10_000_000, SECOND) == 0
    assert fano(even, 500_000_000, SECOND) is None  # two windows say nothing
    assert fitted(even, SECOND) == []


def test_a_late_cancel_counts_for_those_that_the_end_cut_off() -> None:
    # every order is cancelled after six seconds, and the recording ends after ten: four in ten are seen
    rows = [place(n / 10, f"o{n}", "Buy", 99) for n in range(100)]
    rows += [cancel(6 + n / 10, f"o{n}") for n in range(39)]
    law = synth.fit(traced(*rows, end=10)).after["Limit GTC"]
    assert law[0].cancel == pytest.approx(1, abs=0.05)


def test_a_trace_without_orders_has_no_flow() -> None:
    with pytest.raises(DefinitionError, match="small: has no orders, so there is no flow to fit; take another trace"):
        synth.fit(traced())


def test_a_trace_that_nobody_could_hold_is_refused() -> None:
    with pytest.raises(DefinitionError, match="x: 80,000,000,000 operations, not 1 to 50,000,000"):
        synth.make(model(), "x", seconds=80_000, rate=1_000_000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a flow model: invalid JSON"),
        ("[]", "is not a flow model: "),
        ("{}", "is not a flow model: like is missing; make one with --like TRACE"),
        ('{"like": 5}', "is not a flow model: like: 5 is not text; make one with --like TRACE"),
        (None, "cannot be read: no such file or directory"),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(text: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DefinitionError) as caught:
        synth.load(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_that_could_make_no_sound_order_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    text = model().model_dump_json(exclude_none=True)
    for old, new, said in (
        ('"*":', '"+":', 'flows has no "*"'),
        ('"type":"Market"', '"type":"Limit"', "away belongs to Limit orders"),
        ('"tick":"0.1"', '"tick":"0"', '"0" is not an exact amount above zero'),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(DefinitionError) as caught:
            synth.load(path)
        assert said in str(caught.value)
