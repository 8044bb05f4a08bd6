"""Bulk writes into Locust's statistics: what one log call a message would give, at a fraction of its cost."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
from locust.stats import RequestStats, StatsEntry


def buckets(latency_ms: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Latencies rounded to two significant digits, as Locust keys them."""
    scale = 10.0 ** np.clip(np.floor(np.log10(np.maximum(latency_ms, 1))) - 1, 0, None)
    rounded: npt.NDArray[np.int64] = (np.rint(latency_ms / scale) * scale).astype(np.int64)
    return rounded


def log(stats: RequestStats, name: str, latency_ms: npt.NDArray[np.float64], failures: int) -> None:
    """Count answered operations of one kind: their latencies from the intended time, and how many were not ok."""
    now = time.time()
    for entry in (stats.total, stats.get(name, "WS")):
        if len(latency_ms):
            _add(entry, latency_ms, now)
        entry.num_failures += failures
        if failures:
            entry.num_fail_per_sec[int(now)] += failures


def _add(entry: StatsEntry, latency_ms: npt.NDArray[np.float64], now: float) -> None:
    second, previous = int(now), entry.last_request_timestamp
    if entry.use_response_times_cache and previous and second > int(previous):
        entry._cache_response_times(second - 1)
    entry.num_requests += len(latency_ms)
    entry.num_reqs_per_sec[second] += len(latency_ms)
    entry.last_request_timestamp = now
    entry.total_response_time += round(latency_ms.sum())
    low, high = round(latency_ms.min()), round(latency_ms.max())
    entry.min_response_time = low if entry.min_response_time is None else min(low, entry.min_response_time)
    entry.max_response_time = max(high, entry.max_response_time)
    for key, count in zip(*np.unique(buckets(latency_ms), return_counts=True), strict=True):
        entry.response_times[int(key)] += int(count)
