"""A trace in a few facts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from loadgen.trace import Trace


def describe(trace: Trace) -> dict[str, Any]:
    """Name to value, ready for JSON: operations by kind, seconds, rates, sessions, symbols with grid, provenance."""
    table = trace.table
    kinds = Counter(table["op"].to_pylist())
    places = Counter(
        f"{type_.lower()} {tif}"
        for op, type_, tif in zip(*(table[name].to_pylist() for name in ("op", "type", "tif")), strict=True)
        if op == "place"
    )
    per_second = np.bincount(table["t_ns"].to_numpy() // 1_000_000_000)
    symbols = Counter(table["symbol"].to_pylist())
    return {
        "name": trace.name,
        "operations": {kind: kinds[kind] for kind in ("place", "cancel", "amend")},
        "orders": dict(places.most_common()),
        "seconds": round(trace.duration_ns / 1e9, 3),
        "rate": round(trace.rate, 1),
        "busiest_second": int(per_second.max()),
        "sessions": len(set(table["session"].to_pylist())),
        "symbols": {
            name: {"operations": count, "tick": f"{trace.grid[name].tick:f}", "lot": f"{trace.grid[name].lot:f}"}
            for name, count in symbols.most_common()
        },
        "provenance": dict(trace.provenance),
    }
