"""A trace in a few facts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from loadgen.trace import KINDS, OF_ORDERS, Symbol, Trace


def describe(trace: Trace) -> dict[str, Any]:
    """Name to value, ready for JSON: operations by kind, seconds, rates, sessions, symbols with grid, provenance.

    Kinds that are not about orders are named where the trace has them; so are symbols. `trace` must not be empty.
    """
    kinds = _counts(trace, "op")
    per_second = np.bincount(trace.ints("t_ns") // 1_000_000_000)
    return {
        "name": trace.name,
        "operations": {kind: kinds[kind] for kind in KINDS if kind in OF_ORDERS or kinds[kind]},
        "orders": dict(_orders(trace).most_common()),
        "seconds": round(trace.duration_ns / 1e9, 3),
        "rate": round(trace.rate, 1),
        "busiest_second": int(per_second.max()),
        "sessions": len(np.unique(trace.ints("session"))),
        "symbols": {
            name: {"operations": count, **_grid(trace.grid.get(name))}
            for name, count in _counts(trace, "symbol").most_common()
            if name
        },
        "provenance": dict(trace.provenance),
    }


def _counts(trace: Trace, name: str) -> Counter[str]:
    codes, words = trace.codes(name)
    found = np.bincount(codes[codes >= 0], minlength=len(words)).tolist()
    return Counter({word: count for word, count in zip(words, found, strict=True) if count})


def _orders(trace: Trace) -> Counter[str]:
    """Places by type and time in force, such as "limit GTC"."""
    (ops, kinds), (types, type_words), (tifs, tif_words) = (trace.codes(name) for name in ("op", "type", "tif"))
    place = kinds.index("place") if "place" in kinds else -1
    pairs = (types * len(tif_words) + tifs)[ops == place]
    found = np.bincount(pairs).tolist()
    names = (divmod(pair, len(tif_words)) for pair in range(len(found)) if found[pair])
    return Counter({f"{type_words[t].lower()} {tif_words[f]}": found[t * len(tif_words) + f] for t, f in names})


def _grid(symbol: Symbol | None) -> dict[str, str]:
    return {"tick": f"{symbol.tick:f}", "lot": f"{symbol.lot:f}"} if symbol else {}
