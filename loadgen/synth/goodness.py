"""How near made flow is to the recording that it was fitted to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from loadgen.synth.arrivals import fano
from loadgen.trace import Ints, Trace
from loadgen.transform.base import Mask
from loadgen.transform.book import resting

_FLOWS = ("place", "cancel", "amend")
_SHARE, _SKEW, _LIFE, _OPEN = 0.03, 0.05, 0.3, 0.5
_FANO_NS = {"10 ms": 10_000_000, "100 ms": 100_000_000, "1 s": 1_000_000_000}


class Fact(NamedTuple):
    """One comparison; `limit` is how far `made` may be from `recorded`."""

    name: str
    recorded: float
    made: float
    limit: float

    @property
    def near(self) -> bool:
        """Whether made is within the limit."""
        return abs(self.made - self.recorded) <= self.limit


def goodness(recorded: Trace, made: Trace) -> list[Fact]:
    """Bursts, mix, symbols, sessions and lives of orders of two traces, side by side."""
    return [
        *_bursts(recorded, made),
        *_shares(recorded, made),
        *_skew(recorded, made),
        *_lives(recorded, made),
        *_open(recorded, made),
    ]


def _bursts(recorded: Trace, made: Trace) -> Iterator[Fact]:
    for name, window in _FANO_NS.items():
        one, other = (fano(_orders(t), window, t.duration_ns) for t in (recorded, made))
        if one is None or other is None:
            continue
        # a variance of n values has a relative deviation of sqrt(2 / (n - 1)): two of them, on top of 15 %
        noise = sum(2 / (t.duration_ns // window - 1) for t in (recorded, made))
        yield Fact(f"Fano factor, {name}", one, other, one * (0.15 + 2 * float(np.sqrt(noise))))


def _shares(recorded: Trace, made: Trace) -> Iterator[Fact]:
    for words in (("op",), ("type", "tif")):
        one, other = (_share(trace, words) for trace in (recorded, made))
        for name in sorted(one.keys() | other.keys(), key=lambda name: (-one.get(name, 0), name)):
            yield Fact(f"share of {name}", one.get(name, 0.0), other.get(name, 0.0), _SHARE)
    one, other = (_share(trace, ("symbol",)) for trace in (recorded, made))
    furthest = max(abs(one.get(name, 0) - other.get(name, 0)) for name in one.keys() | other.keys())
    yield Fact("symbols, largest difference of a share", 0.0, furthest, _SHARE)


def _share(trace: Trace, columns: tuple[str, ...]) -> dict[str, float]:
    """Shares of the words, among all operations on orders, or of pairs of words among the orders."""
    rows = _is(trace, *_FLOWS) if len(columns) == 1 else _is(trace, "place")
    names, code = [""], np.zeros(int(rows.sum()), dtype=np.int64)
    for column in columns:
        codes, words = trace.codes(column)
        names = [f"{name} {word}".strip() for name in names for word in words]
        code = code * len(words) + codes[rows]
    counts = np.bincount(code, minlength=len(names))
    return {name: count / rows.sum() for name, count in zip(names, counts.tolist(), strict=True) if count}


def _skew(recorded: Trace, made: Trace) -> Iterator[Fact]:
    # of the part x of all sessions that is the busiest: its part of the operations
    points = np.linspace(0, 1, 101)
    curves = []
    for trace in (recorded, made):
        counts = np.sort(np.bincount(trace.ints("session")[_is(trace, *_FLOWS)]))[::-1]
        parts = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
        curves.append(np.interp(points, np.linspace(0, 1, len(parts)), parts))
    one, other = curves
    yield Fact("share of the busiest tenth of sessions", float(one[10]), float(other[10]), _SKEW)
    yield Fact("sessions, largest difference of a share", 0.0, float(np.abs(one - other).max()), _SKEW)


def _lives(recorded: Trace, made: Trace) -> Iterator[Fact]:
    one, other = (_life(trace) for trace in (recorded, made))
    if one is not None and other is not None:
        yield Fact("life of a cancelled order, median s", one, other, one * _LIFE)


def _open(recorded: Trace, made: Trace) -> Iterator[Fact]:
    # in the middle of the shorter one, as if both had the same rate
    at = min(recorded.duration_ns, made.duration_ns) // 2
    one, other = (len(resting(trace, at).row) for trace in (recorded, made))
    if one:
        yield Fact("orders that rest half way", one, other * recorded.rate / made.rate, one * _OPEN)


def _life(trace: Trace) -> float | None:
    rows = np.flatnonzero(_is(trace, "cancel"))
    t_ns = trace.ints("t_ns")
    lives = t_ns[rows] - t_ns[trace.ints("parent_row")[rows]]
    return float(np.median(lives)) / 1e9 if lives.size else None


def _is(trace: Trace, *kinds: str) -> Mask:
    codes, names = trace.codes("op")
    found: Mask = np.array([*(name in kinds for name in names), False])[codes]
    return found


def _orders(trace: Trace) -> Ints:
    times: Ints = trace.ints("t_ns")[_is(trace, *_FLOWS)]
    return times
