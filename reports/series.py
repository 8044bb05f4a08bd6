"""The witness in buckets of time, for figures and their tables: no outlier is thinned away, no data is NaN."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drills.clock import NS
from drills.history import NEVER, History, Mask

F64 = NDArray[np.float64]

WIDTHS_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
FINE_NS = NS // 10
"""Where buckets are wider than this, the lowest and the highest of the fine buckets inside are drawn too."""


@dataclass(frozen=True)
class Buckets:
    """One element a bucket, shapes (k,); `start_s` in seconds from the origin, rates per second, latencies in ms.

    `good` is the share of the operations scheduled in the bucket, NaN where none was; latencies are those of the
    answered ones, by intended time, NaN where none was answered. `*_low`/`*_high` are the extremes of the fine buckets
    inside.
    """

    width_s: float
    start_s: F64
    offered: F64
    answered: F64
    answered_low: F64
    answered_high: F64
    good: F64
    good_low: F64
    p50_ms: F64
    p99_ms: F64
    max_ms: F64
    unanswered: F64


def width_for(seconds: float, most: int = 450) -> float:
    """The narrowest width that gives at most `most` buckets, in seconds."""
    return next((width for width in WIDTHS_S if seconds / width <= most), WIDTHS_S[-1])


def buckets(history: History, is_good: Mask, start_ns: int, end_ns: int, origin_ns: int, width_s: float) -> Buckets:
    """Bucket the operations with τ (answers: with r) in [start, end)."""
    width = round(width_s * NS)
    count = max(1, -(-(end_ns - start_ns) // width))
    inside = (history.intended >= start_ns) & (history.intended < end_ns)
    index = (history.intended[inside] - start_ns) // width
    total = np.bincount(index, minlength=count).astype(float)
    fine = np.bincount(index, weights=is_good[inside], minlength=count)
    answered_at = history.answered[(history.answered >= start_ns) & (history.answered < end_ns)]
    answered = np.bincount((answered_at - start_ns) // width, minlength=count).astype(float)
    low, high, good_low = _extremes(history, is_good, start_ns, end_ns, width, count)
    has_answer = history.answered[inside] != NEVER
    latency = (history.answered[inside][has_answer] - history.intended[inside][has_answer]) / 1e6
    p50, p99, top = _percentiles(index[has_answer], latency, count)
    with np.errstate(invalid="ignore", divide="ignore"):
        good = np.where(total > 0, fine / total, np.nan)
    return Buckets(
        width_s=width_s,
        start_s=np.asarray((start_ns - origin_ns) / NS + np.arange(count) * width_s, np.float64),
        offered=total / width_s,
        answered=answered / width_s,
        answered_low=answered / width_s if low is None else low,
        answered_high=answered / width_s if high is None else high,
        good=good,
        good_low=good if good_low is None else good_low,
        p50_ms=p50,
        p99_ms=p99,
        max_ms=top,
        unanswered=np.bincount(index[~has_answer], minlength=count).astype(float),
    )


def _extremes(
    history: History, is_good: Mask, start_ns: int, end_ns: int, width: int, count: int
) -> tuple[F64 | None, F64 | None, F64 | None]:
    """Lowest and highest answer rate and lowest good share of the fine buckets in each; None where none fits."""
    parts = width // FINE_NS
    if parts < 2:
        return None, None, None
    fine_count = count * parts

    def spread(times: NDArray[np.int64], weights: F64 | None = None) -> F64:
        fits = (times >= start_ns) & (times < end_ns)
        index = (times[fits] - start_ns) // FINE_NS
        return np.bincount(index, None if weights is None else weights[fits], fine_count)[:fine_count].astype(float)

    answered = spread(history.answered).reshape(count, parts) * (NS / FINE_NS)
    total = spread(history.intended)
    good = spread(history.intended, is_good.astype(float))
    share = np.where(total > 0, good / np.maximum(total, 1), 2.0).reshape(count, parts).min(axis=1)
    return answered.min(axis=1), answered.max(axis=1), np.where(share > 1, np.nan, share)


def _percentiles(index: NDArray[np.int64], values: F64, count: int) -> tuple[F64, F64, F64]:
    """Nearest-rank p50 and p99 and the maximum of each bucket; NaN where a bucket has no value."""
    order = np.lexsort((values, index))
    ordered, number = values[order], np.bincount(index, minlength=count)
    first = np.concatenate([[0], np.cumsum(number)[:-1]])
    some = number > 0

    def rank(share: float) -> F64:
        at = first + np.maximum(np.ceil(share * number).astype(np.int64) - 1, 0)
        result = np.full(count, np.nan)
        result[some] = ordered[at[some]]
        return result

    return rank(0.5), rank(0.99), rank(1.0)


def gaps(values: F64, start_s: F64, width_s: float, least: int = 2) -> list[tuple[float, float]]:
    """Runs of at least `least` buckets without data, as (from, to) in seconds."""
    absent = np.concatenate([[False], np.isnan(values), [False]])
    edges = np.flatnonzero(absent[1:] != absent[:-1])
    return [
        (float(start_s[a]), float(start_s[b - 1]) + width_s)
        for a, b in zip(edges[::2], edges[1::2], strict=True)
        if b - a >= least
    ]
