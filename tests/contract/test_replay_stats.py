"""Bulk writes into Locust's statistics give what single calls give; in a child process, for Locust patches sockets."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAD = """
import locust, numpy as np
from unittest import mock
from locust.stats import RequestStats
from loadgen.engine.ops import KINDS, OK, REJECT, UNKNOWN, Decided
from loadgen.locustfiles import stats as bulk

def single(stats, name, latency_ms, error=None, method="WS"):
    # what Locust's own runner does with a request event
    stats.log_request(method, name, latency_ms, 0)
    if error:
        stats.log_error(method, name, error)

def same(one, many, near=0):
    assert set(one.entries) == set(many.entries), (set(one.entries), set(many.entries))
    pairs = [(one.total, many.total), *((one.entries[key], many.entries[key]) for key in one.entries)]
    for a, b in pairs:
        for name in ("num_requests", "num_none_requests", "num_failures", "fail_ratio", "total_content_length"):
            assert getattr(a, name) == getattr(b, name), (a.name, name, getattr(a, name), getattr(b, name))
        assert dict(a.response_times) == dict(b.response_times), (a.name, a.response_times, b.response_times)
        for name in ("num_reqs_per_sec", "num_fail_per_sec"):
            assert sum(getattr(a, name).values()) == sum(getattr(b, name).values()), (a.name, name)
        totals = a.total_response_time, b.total_response_time
        assert abs(totals[0] - totals[1]) <= near, totals
        for name in ("min_response_time", "max_response_time"):
            x, y = getattr(a, name), getattr(b, name)
            assert x == y or round(x) == y, (a.name, name, x, y)
        for q in (0.01, 0.5, 0.9, 0.99, 1.0):
            assert a.get_response_time_percentile(q) == b.get_response_time_percentile(q), (a.name, q)
        assert a.median_response_time == b.median_response_time
    told = [
        {key: (entry.method, entry.name, entry.error, entry.occurrences) for key, entry in stats.errors.items()}
        for stats in (one, many)
    ]
    assert told[0] == told[1], told
"""

LATENCIES = """
rng = np.random.default_rng(3)
edges = [0, 0.2, 0.5, 1.5, 99.4, 99.5, 100, 104.9, 105, 999, 9949.9, 9950, 10499, 99999, 100500, 123456, 2e6]
latency = np.round(np.concatenate([rng.exponential(8, 500), rng.uniform(0, 300000, 500), edges]), 3)
one, many = RequestStats(), RequestStats()
for value in latency:
    single(one, "order.place", float(value))
for part in np.array_split(latency, 6):
    bulk.log(many, "order.place", part, 0)
same(one, many, near=12)
"""

DECIDED = """
rng = np.random.default_rng(5)
errors = ["", "110001", "timeout", "unresolved", "HTTP 503"]
one, many = RequestStats(), RequestStats()
for step in range(20):
    count = int(rng.integers(1, 60))
    outcome = rng.choice([OK, OK, OK, REJECT, UNKNOWN], count)
    answered = rng.random(count) < np.where(outcome == UNKNOWN, 0.2, 1.0)
    intended = rng.integers(0, 10**9, count)
    latency = rng.integers(0, 3 * 10**9, count)
    error = np.where(outcome == OK, 0, rng.integers(0, len(errors), count))
    kind = rng.integers(0, len(KINDS), count)
    none = np.zeros(count, np.int64)
    decided = Decided(
        np.arange(count), kind, intended, intended, np.where(answered, intended + latency, -1), outcome, none, none,
        none + 1, error, errors,
    )
    bulk.count(many, decided, "HTTP")
    for k in range(count):
        failed = outcome[k] != OK
        reason = (errors[error[k]] or "no answer") if failed else None
        single(one, f"order.{KINDS[kind[k]]}", latency[k] / 1e6 if answered[k] else None, reason, "HTTP")
same(one, many, near=20)
assert {entry.error for entry in many.errors.values()} == {*errors[1:], "no answer"}
for entry in many.errors.values():
    assert 0 < entry.first_seen <= entry.last_seen
    assert entry.to_dict()["occurrences"] == entry.occurrences
"""

SECONDS = """
# the chart of a web page reads percentiles out of copies that are made once a second
one, many = RequestStats(), RequestStats()
with mock.patch("time.time") as clock:
    for second in range(30):
        for k in range(4):
            clock.return_value = 1_700_000_000.1 + second + k / 4
            values = np.array([1.0 + second, 2.0 * second, 500.0])
            for value in values:
                single(one, "order.place", float(value), "110001" if second % 7 == 3 and value == 500 else None)
            bulk.log(many, "order.place", values, 0, errors={"110001": 1} if second % 7 == 3 else None)
    for q in (0.5, 0.95):
        assert one.total.get_current_response_time_percentile(q) == many.total.get_current_response_time_percentile(q)
    assert one.total.current_rps == many.total.current_rps
    assert one.total.current_fail_per_sec == many.total.current_fail_per_sec
    assert one.total.response_times_cache == many.total.response_times_cache
    assert dict(one.total.num_reqs_per_sec) == dict(many.total.num_reqs_per_sec)
    assert dict(one.total.num_fail_per_sec) == dict(many.total.num_fail_per_sec)
same(one, many)
"""

FAILURES = """
one, many = RequestStats(), RequestStats()
for _ in range(7):
    single(one, "order.place", None, "timeout")
bulk.log(many, "order.place", np.empty(0), 0, silent=7, errors={"timeout": 7})
same(one, many)
before = {key: entry.occurrences for key, entry in many.errors.items()}
bulk.log(many, "order.place", np.empty(0), 3)
assert many.total.num_failures == 10 and {k: e.occurrences for k, e in many.errors.items()} == before
bulk.count(many, Decided(*[np.empty(0, np.int64)] * 10, [""]))
assert many.total.num_requests == 7
"""


@pytest.mark.parametrize("body", [LATENCIES, DECIDED, SECONDS, FAILURES], ids=["latencies", "decided", "time", "none"])
def test_bulk_statistics_are_those_of_single_calls(body: str) -> None:
    code = f"{HEAD}{body}\nprint('same')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("same\n", 0), done.stderr
