"""What was lost or made up: the RPO tuple, the bound of a zero, and its power.

Definitions (docs/explanations/how-rpo-is-counted.md): with m(o) the rows of operation o in the audit, lost = ok and m
= 0; duplicated = Σ max(0, m - 1); phantom = in the audit, never attempted; executed_reject = rejected and m >= 1;
reordered = b for which there is an a with r(a) < i(b) and seq(a) > seq(b); zombie = lost and answered with an epoch
older than the one in force at r. An operation without an answer may be absent without anybody having been lied to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal, localcontext

import numpy as np
import pyarrow as pa

from drills.clock import NS
from drills.history import NEVER, History, Mask

POWER = 0.99
"""The power below which a zero proves nothing."""
CLASSES = ("lost", "lost_observed", "duplicated", "phantom", "executed_reject", "reordered", "zombie", "unresolved")


@dataclass(frozen=True)
class CheckResult:
    """What one checker found.

    `count` is None where the checker could not count (`error` says why: it crashed, or has no data). `hits` marks the
    operations of the history, shape (n,), None where the class has no operation of ours; `at_ns` the instants at which
    an invariant was seen broken; `notes` facts for a finding, in words.
    """

    name: str
    count: int | None
    op_ids: tuple[str, ...] = ()
    hits: Mask | None = None
    at_ns: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    kind: str | None = None  # class of the weakness that this evidence points to
    error: str | None = None


@dataclass(frozen=True)
class Rpo:
    """The tuple of DESIGN: counts in operations, then notional, seconds, bound and power; None with a reason."""

    counts: dict[str, int | None]
    foreign: int | None = None
    lost_notional: Decimal | None = None
    lost_window_s: float | None = None
    rate: float | None = None
    bound_s: float | None = None
    power: float | None = None
    window_s: float | None = None
    reasons: dict[str, str] = field(default_factory=dict)


def acknowledged_rate(history: History, t0_low: int) -> float:
    """λ: acknowledged writes in the last second before T0-, per second."""
    return float((history.ok & (history.answered >= t0_low - NS) & (history.answered < t0_low)).sum())


def bound_s(rate: float) -> float | None:
    """The longest loss window that a zero leaves possible (95 %): ln(20)/λ seconds; None without a write.

    Source: with acknowledged writes arriving at rate λ, a loss window ℓ goes unseen with probability e^(-λℓ) = 1/20.
    """
    return math.log(20) / rate if rate > 0 else None


def power(rate: float, window_s: float) -> float:
    """The chance to have seen a loss window of `window_s` seconds at all: 1 - e^(-λℓ)."""
    return -math.expm1(-rate * window_s)


def amplify_for(rate: float, window_s: float) -> float | None:
    """By what factor the traffic must grow for a power of 0.99; None without any traffic to grow."""
    return -math.log(1 - POWER) / (rate * window_s) if rate * window_s > 0 else None


def repeats_for(power_once: float) -> int | None:
    """How many independent repetitions reach a power of 0.99 together; None when one has none."""
    if power_once <= 0:
        return None
    return 1 if power_once >= POWER else math.ceil(math.log(1 - POWER) / math.log1p(-power_once))


def notional_of(history: History, hits: Mask) -> Decimal:
    """Sum of the notional of the marked operations, exactly; operations without one (cancels) count zero."""
    total = Decimal(0)
    with localcontext() as context:
        context.prec = 60  # wide enough for 10^22 rows of decimal128(38, 8)
        for value in history.notional.filter(pa.array(hits)).to_pylist():
            total += value or Decimal(0)
    return total


def lost_window(history: History, lost: Mask, t0_high: int) -> float | None:
    """RPO in seconds: max over lost of T0+ - r. Negative: all of it was acknowledged after the fault took effect."""
    answered = history.answered[lost & (history.answered != NEVER)]
    return float(t0_high - int(answered.min())) / NS if len(answered) else None


def make_rpo(
    history: History,
    results: dict[str, CheckResult],
    fault_window: tuple[int, int] | None,
    window_s: float | None,
    foreign: int | None,
) -> Rpo:
    """The tuple from the checkers' results.

    `window_s` is the loss window that an rpo objective asks to be visible; None where there is no such objective.
    """
    counts = {name: results[name].count if name in results else None for name in CLASSES}
    reasons = {name: _uncounted(results.get(name)) for name, count in counts.items() if count is None}
    lost, hits = counts["lost"], results["lost"].hits if "lost" in results else None
    notional = notional_of(history, hits) if lost is not None and hits is not None else None
    lost_s = lost_window(history, hits, fault_window[1]) if lost and hits is not None and fault_window else None
    rate = acknowledged_rate(history, fault_window[0]) if fault_window else None
    zero = lost == 0 and rate is not None
    bound = bound_s(rate) if zero and rate is not None else None
    chance = power(rate, window_s) if zero and rate is not None and window_s is not None else None
    values = {"lost_notional": notional, "lost_window_s": lost_s, "bound_s": bound, "power": chance, "foreign": foreign}
    reasons |= {name: text for name, text in _why(lost, rate, window_s, foreign).items() if values[name] is None}
    return Rpo(counts, foreign, notional, lost_s, rate, bound, chance, window_s, reasons)


def _uncounted(result: CheckResult | None) -> str:
    return result.error or "not counted" if result else "no other observer (drop copy, market data) took part"


def _why(lost: int | None, rate: float | None, window_s: float | None, foreign: int | None) -> dict[str, str]:
    uncounted = "losses were not counted"
    no_fault = "no fault was in effect"
    some = "operations were lost: a bound belongs to a zero"
    zero = uncounted if lost is None else some if lost else no_fault if rate is None else None
    return {
        "lost_notional": uncounted,
        "lost_window_s": uncounted if lost is None else "nothing was lost" if lost == 0 else no_fault,
        "bound_s": zero or "nothing was acknowledged in the last second before the fault",
        "power": zero or ("no rpo objective asks for it" if window_s is None else uncounted),
        "foreign": "the audit was not read",
    }


def unresolved_ops(history: History) -> Mask:
    """Operations without an answer that the venue could not resolve by id."""
    return np.asarray(history.unresolved)
