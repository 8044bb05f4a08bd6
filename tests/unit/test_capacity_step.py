"""One step: the objective as it is typed, what the witness says, and whom a bad step is charged to."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drills.errors import ComponentError, UsageError
from drills.evidence import WITNESS, RunDir
from loadgen.capacity.measure import Span, quantiles, read, span
from loadgen.capacity.slo import DEFAULT, Slo, parse
from loadgen.capacity.step import Outcome, Seen, judge
from loadgen.config import LoadConfig

MS = 1_000_000
CALM = Seen(1000.0, 1000.0, 1.0, 1.0, {"p50": 1.0, "p99": 5.0}, 1.0, 0.5)


def test_an_objective_as_it_is_typed() -> None:
    slo = parse(DEFAULT)
    assert slo == Slo((("p99", 20.0),), 0.999)
    assert str(slo) == DEFAULT
    assert slo.gate_ms == 4.0
    assert parse(" p99.9 = 1s , p50=5ms").latency_ms == (("p50", 5.0), ("p99.9", 1000.0))
    assert parse("good=50%").gate_ms == 50.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "''"),
        ("p99", "p99: "),
        ("p99=20", "write 20s"),
        ("p100=5ms", "'p100=5ms'"),
        ("p0=5ms", "'p0=5ms'"),
        ("p99=0s", "p99=0"),
        ("good=101%", "101%"),
        ("fast=yes", "'fast=yes'"),
    ],
)
def test_a_mistyped_objective_is_named(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=r"^--slo: ") as raised:
        parse(text)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_whom_a_step_is_charged_to() -> None:
    slo = parse(DEFAULT)
    assert judge(CALM, slo) == (Outcome.HELD, "")
    slow = replace(CALM, quantiles_ms={"p50": 1.0, "p99": 30.0})
    assert judge(slow, slo) == (Outcome.BROKE, "p99 30.0 ms > 20 ms")
    assert judge(replace(slow, lag_p99_ms=9.0), slo)[0] is Outcome.LATE
    assert judge(replace(slow, lag_p99_ms=None), slo)[0] is Outcome.LATE
    assert judge(replace(CALM, lag_p99_ms=9.0), slo)[0] is Outcome.HELD  # its latencies include the lag
    assert judge(replace(CALM, sent=0.9), slo) == (Outcome.LATE, "only 90.0 % of what was due was sent")
    assert judge(replace(CALM, good=0.99), slo) == (Outcome.BROKE, "good 99.000 % < 99.900 %")
    never = replace(CALM, quantiles_ms={"p50": 1.0, "p99": None})
    assert judge(never, slo) == (Outcome.BROKE, "p99 never > 20 ms")


def test_a_venue_that_hangs_up_makes_no_generator_late() -> None:
    cut = replace(CALM, sent=0.5, good=0.5, lag_p99_ms=None, disconnected=0.4)
    outcome, why = judge(cut, parse(DEFAULT))
    assert outcome is Outcome.BROKE
    assert "40.0 % lost their connection" in why
    fine = replace(cut, good=1.0, sent=1.0)
    assert judge(fine, parse(DEFAULT))[0] is Outcome.HELD


def test_percentiles_count_what_was_never_answered() -> None:
    values = pa.array([1.0] * 98 + [float("inf")] * 2).to_numpy()
    assert quantiles(values, ["p50", "p98", "p99"]) == {"p50": 1.0, "p98": 1.0, "p99": None}


def row(n: int, intended_ms: float, sent: float | None, answered: float | None, **more: object) -> dict[str, object]:
    def ns(value: float | None) -> int | None:
        return None if value is None else round(value * MS)

    made = {
        "op_id": f"r-{n:010d}", "kind": "place", "session": "a", "key": "BTCUSDT", "notional": None,
        "intended_ns": ns(intended_ms), "sent_ns": ns(sent), "answered_ns": ns(answered),
        "outcome": "unknown" if answered is None else "ok", "server_seq": None, "epoch": None, "attempts": 1,
        "error": None,
    }  # fmt: skip
    return {**made, **more}


def config(run: RunDir) -> LoadConfig:
    return LoadConfig(run_id="r", run_dir=run.path, trace="t", venue={"type": "sandbox"}, duration_s=1)


def test_what_a_witness_says_behind_the_warm_up(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    rows = [row(0, 900, 900, 5000)]  # warm-up: left out, however slow
    rows += [row(n, 1000 + n * 10, 1001 + n * 10, 1004 + n * 10) for n in range(1, 97)]
    rows += [row(97, 1970, 1971, 1974, outcome="reject", error="110001")]
    rows += [row(98, 1980, 1981, 1984, outcome="reject", error="10006")]
    rows += [row(99, 1990, 1991, 1990 + 501)]  # ok, beyond the limit of its kind
    rows += [row(100, 1999, None, None, error="unsent"), row(101, 2000, 2000, 2001)]
    pq.write_table(pa.Table.from_pylist(rows, WITNESS), run.witness)
    seen = read(run, Span(1000 * MS, 2000 * MS), parse("p98=20ms,good=97%"), config(run), {"110001"})
    assert seen.offered == 100
    assert seen.sent == pytest.approx(0.99)
    assert seen.good == pytest.approx(0.97)
    assert seen.answered == 98
    assert seen.quantiles_ms == {"p50": 4.0, "p99": 501.0, "p98": 4.0}
    assert seen.lag_p99_ms == 1.0
    assert seen.service_ms == pytest.approx((98 * 3 + 500) / 99)
    with pytest.raises(ComponentError, match="nothing of t was due"):
        read(run, Span(3000 * MS, 4000 * MS), parse(DEFAULT), config(run), ())


def test_a_load_that_never_started_has_no_span(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match="never started"):
        span(RunDir(tmp_path), 1, 1)
