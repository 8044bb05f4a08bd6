"""Bulk writes into Locust's statistics give what single calls give; in a child process, for Locust patches sockets."""

from __future__ import annotations

import subprocess
import sys

COMPARE = """
import locust, numpy as np
from locust.stats import RequestStats
from loadgen.locustfiles import stats as bulk

rng = np.random.default_rng(3)
latency = np.round(np.concatenate([rng.exponential(8, 500), rng.uniform(0, 30000, 500), [0.2, 99.5, 9950]]), 3)
one, many = RequestStats(), RequestStats()
for value in latency:
    one.log_request("WS", "order.place", float(value), 0)
for _ in range(7):
    one.log_error("WS", "order.place", "reject")
for part in np.array_split(latency, 6):
    bulk.log(many, "order.place", part, 0)
bulk.log(many, "order.place", np.empty(0), 7)
for a, b in ((one.total, many.total), (one.get("order.place", "WS"), many.get("order.place", "WS"))):
    assert a.num_requests == b.num_requests == len(latency), (a.num_requests, b.num_requests)
    assert a.num_failures == b.num_failures == 7
    assert dict(a.response_times) == dict(b.response_times)
    assert sum(a.num_reqs_per_sec.values()) == sum(b.num_reqs_per_sec.values())
    assert abs(a.total_response_time - b.total_response_time) <= 6
    assert round(a.min_response_time) == b.min_response_time and round(a.max_response_time) == b.max_response_time
    for q in (0.5, 0.99):
        assert a.get_response_time_percentile(q) == b.get_response_time_percentile(q)
print("same")
"""


def test_bulk_statistics_are_those_of_single_calls() -> None:
    done = subprocess.run([sys.executable, "-c", COMPARE], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("same\n", 0), done.stderr
