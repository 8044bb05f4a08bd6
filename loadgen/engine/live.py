"""Live counts of a replay: one NDJSON line each 100 ms."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from loadgen.engine.core import Engine
from loadgen.engine.ops import KINDS, OK, REJECT, UNKNOWN, Decided
from loadgen.venues.bybit_v5 import BUSINESS_REJECTS

_BUSINESS = frozenset(str(code) for code in BUSINESS_REJECTS)


class Live:
    """Counts decided operations and appends lines to live.ndjson; an OSError (disk full) goes to the caller."""

    def __init__(self, path: Path, limits_ms: Mapping[str, int]) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._limits_ns = np.array([limits_ms.get(kind, 0) * 1_000_000 for kind in KINDS], dtype=np.int64)
        self._counts = {name: np.zeros(3, dtype=np.int64) for name in ("answered", "ok", "reject", "unknown", "good")}
        self._lag = _Histogram()

    def write(
        self, t_ns: int, state: str, engine: Engine | None, decided: Decided | None, reason: str | None = None
    ) -> None:
        """Append one line about `decided`, the operations since the last line, and the engine's counters."""
        latencies = self._count(decided or Decided())
        lags = np.array(engine.lags_ns if engine else [], dtype=np.int64)
        if engine:
            engine.lags_ns.clear()
        self._lag.add(lags)
        line: dict[str, Any] = {
            "t_ns": t_ns,
            "state": state,
            "flows": self._flows(engine),
            "p50_ms": _percentile(latencies, 50),
            "p99_ms": _percentile(latencies, 99),
            "lag_p99_ms": _percentile(lags, 99),
            "run_lag_p99_ms": self._lag.p99_ms(),
        }
        if reason:
            line["reason"] = reason
        data = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        while data:
            data = data[os.write(self._fd, data) :]

    def _count(self, decided: Decided) -> npt.NDArray[np.int64]:
        kind, outcome = np.array(decided.kind, dtype=np.int64), np.array(decided.outcome)
        answered = np.array(decided.answered_ns, dtype=np.int64)
        latency = answered - np.array(decided.intended_ns, dtype=np.int64)
        business = np.array([error in _BUSINESS for error in decided.error], dtype=bool)
        has_answer = answered >= 0
        correct = (outcome == OK) | ((outcome == REJECT) & business)
        masks = {
            "answered": has_answer,
            "ok": outcome == OK,
            "reject": outcome == REJECT,
            "unknown": outcome == UNKNOWN,
            "good": correct & has_answer & (latency <= self._limits_ns[kind] if len(kind) else True),
        }
        for name, mask in masks.items():
            self._counts[name] += np.bincount(kind[mask], minlength=3)
        return latency[has_answer]

    def _flows(self, engine: Engine | None) -> dict[str, dict[str, int]]:
        scheduled, sent = (engine.scheduled, engine.sent) if engine else ([0, 0, 0], [0, 0, 0])
        return {
            kind: {"scheduled": scheduled[k], "sent": sent[k], **{name: int(v[k]) for name, v in self._counts.items()}}
            for k, kind in enumerate(KINDS)
        }


class _Histogram:
    """Lags of a whole run in buckets of 2 % of a microsecond scale, so that memory does not grow with the run."""

    def __init__(self) -> None:
        self._edges = np.unique(np.round(np.geomspace(1, 60_000_000, 900)))  # 1 µs to 60 s
        self._counts = np.zeros(len(self._edges) + 1, dtype=np.int64)

    def add(self, lags_ns: npt.NDArray[np.int64]) -> None:
        if len(lags_ns):
            np.add.at(self._counts, np.searchsorted(self._edges, lags_ns / 1000), 1)

    def p99_ms(self) -> float | None:
        total = int(self._counts.sum())
        if not total:
            return None
        bucket = int(np.searchsorted(np.cumsum(self._counts), 0.99 * total))
        return round(float(self._edges[min(bucket, len(self._edges) - 1)]) / 1000, 3)


def _percentile(values_ns: npt.NDArray[np.int64], q: float) -> float | None:
    return round(float(np.percentile(values_ns, q)) / 1e6, 3) if len(values_ns) else None
