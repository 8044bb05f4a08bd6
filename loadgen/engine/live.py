"""Live counts of a replay: one NDJSON line each 100 ms, and the histograms of the whole run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from drills.evidence import write_atomic
from loadgen.engine.core import Engine
from loadgen.engine.histogram import Histogram, buckets
from loadgen.engine.ops import KINDS, OK, REJECT, UNKNOWN, Decided, Whole
from loadgen.venues.wire import Ints

ALWAYS = KINDS[:3]
"""Kinds that every line tells of; the others only where there are any."""
COUNTS = ("answered", "ok", "reject", "unknown", "good")


class Live:
    """Counts decided operations and appends lines to live.ndjson; an OSError (disk full) goes to the caller."""

    def __init__(self, path: Path, limits_ms: Mapping[str, int], business: frozenset[str] = frozenset()) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._limits_ns = np.array([limits_ms.get(kind, 0) * 1_000_000 for kind in KINDS], dtype=np.int64)
        self.business = business
        self.on_line: Callable[[dict[str, Any]], None] = lambda line: None
        self._counts = {name: np.zeros(len(KINDS), dtype=np.int64) for name in COUNTS}
        self._lag, self._line_lag = Histogram(), Histogram()
        self._told = Histogram()  # from the intended time, all kinds, as far as lines have told of it
        self._whole = {kind: (Histogram(), Histogram()) for kind in KINDS}  # from the intended time, from the send

    def add(self, decided: Decided) -> None:
        """Count decided operations."""
        kind, outcome = decided.kind, decided.outcome
        has_answer = decided.answered_ns >= 0
        latency, service = decided.answered_ns - decided.intended_ns, decided.answered_ns - decided.sent_ns
        correct = outcome == OK
        if (outcome == REJECT).any():
            business = np.array([error in self.business for error in decided.errors], dtype=bool)
            correct |= (outcome == REJECT) & business[decided.error]
        masks = {
            "answered": has_answer,
            "ok": outcome == OK,
            "reject": outcome == REJECT,
            "unknown": outcome == UNKNOWN,
            "good": correct & has_answer & (latency <= self._limits_ns[kind]),
        }
        for name, mask in masks.items():
            self._counts[name] += np.bincount(kind[mask], minlength=len(KINDS))
        self._durations(kind[has_answer], latency[has_answer], service[has_answer])

    def _durations(self, kind: Whole, latency: Ints, service: Ints) -> None:
        if not len(kind):
            return
        from_schedule, from_send = buckets(latency), buckets(service)
        for k in np.flatnonzero(np.bincount(kind)).tolist():
            mine = kind == k
            for histogram, durations, index in zip(
                self._whole[KINDS[k]], (latency, service), (from_schedule, from_send), strict=True
            ):
                histogram.count(index[mine], int(durations[mine].max()))

    def lags(self, lags_ns: Ints) -> None:
        """Count send lags."""
        self._line_lag.add(lags_ns)

    def write(self, t_ns: int, state: str, engine: Engine | None, reason: str | None = None) -> None:
        """Append one line about what was added since the last one, and the engine's counters."""
        if engine:
            self.lags(engine.take_lags())
        self._lag.merge(self._line_lag)
        since = self._since_the_last_line()
        line: dict[str, Any] = {
            "t_ns": t_ns,
            "state": state,
            "flows": self._flows(engine),
            "p50_ms": since.percentile_ms(50),
            "p99_ms": since.percentile_ms(99),
            "lag_p99_ms": self._line_lag.percentile_ms(99),
            "run_lag_p99_ms": self._lag.percentile_ms(99),
        }
        if reason:
            line["reason"] = reason
        self._line_lag.clear()
        data = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        while data:
            data = data[os.write(self._fd, data) :]
        self.on_line(line)

    def _since_the_last_line(self) -> Histogram:
        """Latencies from the intended time of what was added since the last line."""
        whole = Histogram()
        for from_schedule, _ in self._whole.values():
            whole.merge(from_schedule)
        since = Histogram()
        since.counts, since.max_ns = whole.counts - self._told.counts, whole.max_ns
        self._told = whole
        return since

    def save(self, path: Path, engine: Engine, opened: int = 0, unresolved: int = 0) -> None:
        """Write the histograms of the whole run, how cancels and amends found their orders, how many connections
        were opened, and how many were not for want of an address of a name, as JSON."""
        kinds = {
            kind: {"from_schedule": schedule.summary(), "from_send": send.summary()}
            for kind, (schedule, send) in self._whole.items()
            if len(schedule)
        }
        found = engine.watch.correlation
        correlation = {"held": found.held, "skipped": found.skipped, "sent_anyway": found.sent_anyway}
        data = {
            "lag": self._lag.summary(),
            "kinds": kinds,
            "without_order_id": correlation,
            "connections_opened": opened,
            "connections_unresolved": unresolved,
        }
        write_atomic(path, orjson.dumps(data, option=orjson.OPT_INDENT_2))

    def _flows(self, engine: Engine | None) -> dict[str, dict[str, int]]:
        none = np.zeros(len(KINDS), np.int64)
        scheduled, sent = (engine.scheduled, engine.sent) if engine else (none, none)
        return {
            kind: {
                "scheduled": int(scheduled[k]),
                "sent": int(sent[k]),
                **{name: int(v[k]) for name, v in self._counts.items()},
            }
            for k, kind in enumerate(KINDS)
            if kind in ALWAYS or scheduled[k]
        }
