"""Bulk writes into Locust's statistics: what one log call a message would give, at a fraction of its cost."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from locust.stats import RequestStats, StatsEntry, StatsError

from loadgen.engine.ops import KINDS, OK, Decided


def buckets(latency_ms: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Latencies rounded as Locust keys them: to two significant digits, from 10 s up to whole seconds."""
    scale = 10.0 ** np.clip(np.floor(np.log10(np.maximum(latency_ms, 1))) - 1, 0, 3)
    rounded: npt.NDArray[np.int64] = (np.rint(latency_ms / scale) * scale).astype(np.int64)
    return rounded


def _keyed(latency_ms: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    """How often each of Locust's keys occurs."""
    if not len(latency_ms):
        return []
    keys = buckets(latency_ms)
    if keys.max() > 100_000:
        found, counts = np.unique(keys, return_counts=True)
    else:  # no sorting
        every = np.bincount(keys)
        found = np.flatnonzero(every)
        counts = every[found]
    return list(zip(found.tolist(), counts.tolist(), strict=True))


def count(stats: RequestStats, decided: Decided, method: str = "WS") -> None:
    """Count decided operations: one name a kind, latencies from the intended time, failures by the venue's codes."""
    answered = decided.answered_ns >= 0
    latency_ms = (decided.answered_ns - decided.intended_ns) / 1e6
    for k in np.flatnonzero(np.bincount(decided.kind)).tolist():
        mine = decided.kind == k
        failed = mine & (decided.outcome != OK)
        errors: dict[str, int] = {}
        if failed.any():
            codes, counts = np.unique(decided.error[failed], return_counts=True)
            named = zip(codes.tolist(), counts.tolist(), strict=True)
            errors = {decided.errors[code] or "no answer": number for code, number in named}
        silent = int((mine & ~answered).sum())
        log(stats, f"order.{KINDS[k]}", latency_ms[mine & answered], 0, method=method, silent=silent, errors=errors)


def log(
    stats: RequestStats,
    name: str,
    latency_ms: npt.NDArray[np.float64],
    failures: int,
    *,
    method: str = "WS",
    silent: int = 0,
    errors: Mapping[str, int] | None = None,
) -> None:
    """Count operations of one kind: the latencies of those answered, how many were not, and those that were not ok.

    `errors` are failures by their text, which stand in Locust's table of failures; `failures` are further ones.
    """
    now = time.time()
    errors = errors or {}
    failures += sum(errors.values())
    keyed = _keyed(latency_ms)
    for entry in (stats.total, stats.get(name, method)):
        if len(latency_ms) or silent:
            _add(entry, latency_ms, keyed, silent, now)
        entry.num_failures += failures
        if failures:
            entry.num_fail_per_sec[int(now)] += failures
    for text, number in errors.items():
        found = stats.errors.setdefault(StatsError.create_key(method, name, text), StatsError(method, name, text))
        found.occurrences += number
        found.first_seen, found.last_seen = found.first_seen or now, now


def _add(
    entry: StatsEntry, latency_ms: npt.NDArray[np.float64], keyed: list[tuple[int, int]], silent: int, now: float
) -> None:
    second, previous = int(now), entry.last_request_timestamp
    if entry.use_response_times_cache and previous and second > int(previous):
        entry._cache_response_times(second - 1)
    entry.num_requests += len(latency_ms) + silent
    entry.num_none_requests += silent
    entry.num_reqs_per_sec[second] += len(latency_ms) + silent
    entry.last_request_timestamp = now
    if not len(latency_ms):
        return
    entry.total_response_time += round(latency_ms.sum())
    low, high = round(latency_ms.min()), round(latency_ms.max())
    entry.min_response_time = low if entry.min_response_time is None else min(low, entry.min_response_time)
    entry.max_response_time = max(high, entry.max_response_time)
    for key, number in keyed:
        entry.response_times[key] += number
