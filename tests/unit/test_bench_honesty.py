import numpy as np
import pytest

from benchmarks import honesty
from benchmarks.honesty import Record
from benchmarks.throughput import HTTP, WS, Side, figures

MS = 1_000_000
SECOND = 1000 * MS


def every_ms(count: int, *, latency_ns: int = MS, start_ns: int = 5 * SECOND) -> Record:
    intended = np.arange(count, dtype=np.float64) * MS + np.float64(start_ns)
    return Record(intended, intended + 100_000, intended + latency_ns)


def test_lag_leaves_the_warm_up_out() -> None:
    record = every_ms(3000)
    record.sent[:1000] += SECOND
    assert honesty.lag_p99_ms(record, 1.0) == pytest.approx(0.1)
    assert honesty.lag_p99_ms(record, 0.0) == pytest.approx(1000.1)


def test_the_truth_of_a_stall_follows_from_its_begin_and_end() -> None:
    record = every_ms(10_000)
    begin = record.intended[4000]
    # 1 % of 10 s: what was intended in the first 0.1 s of a stall of 2 s waited for more than 1.9 s
    assert honesty.true_p99_ms(record, int(begin), int(begin) + 2 * SECOND) == pytest.approx(1900, abs=1.5)


def test_the_truth_counts_nothing_from_the_end_of_the_stall_on() -> None:
    record = every_ms(100)
    assert honesty.true_p99_ms(record, int(record.intended[0]) - SECOND, int(record.intended[0])) == 0


def test_a_record_that_is_counted_from_the_schedule_agrees_with_the_truth() -> None:
    record = every_ms(10_000)
    begin, end = record.intended[4000], record.intended[4000] + 2 * SECOND
    stalled = (record.intended >= begin) & (record.intended < end)
    record.answered[stalled] = end
    assert honesty.p99_ms(record) == pytest.approx(honesty.true_p99_ms(record, int(begin), int(end)))


def test_an_operation_without_an_answer_has_no_percentile() -> None:
    record = every_ms(10)
    record.answered[3] = np.nan
    with pytest.raises(ValueError, match="1 operations were not answered"):
        honesty.p99_ms(record)


def test_drift_is_the_last_send_against_the_schedule() -> None:
    record = every_ms(1001)
    record.sent[:-1] += SECOND  # what was late in between and caught up is lag, no drift
    assert honesty.drift(record) == pytest.approx(0.0001)


def test_figures_stand_beside_every_peer_and_the_first_is_the_ratio() -> None:
    side = Side("ws-json", "sandbox", 1.0, 1, (WS, HTTP))
    found = figures(side, [300.0, 100.0, 200.0], {WS: [10.0, 12.0, 8.0], HTTP: [5.0, 4.0, 6.0]})
    assert [(figure.name, figure.value, figure.ratio) for figure in found] == [
        ("ws-json", 200.0, 20.0),
        ("ws-json beside stock Locust, FastHttpUser", 200.0, 40.0),
        ("ws-json: stock Locust, WebSocket user", 10.0, None),
        ("ws-json: stock Locust, FastHttpUser", 5.0, None),
    ]


def test_a_side_without_peers_has_one_figure() -> None:
    [figure] = figures(Side("binary", "sandbox-binary", 1.0, 1), [2.0], {})
    assert (figure.value, figure.peer, figure.ratio) == (2.0, None, None)
