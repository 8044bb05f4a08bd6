"""How long service was not good: the sustained rule, its error, flaps and weighted downtime.

Definitions (docs/explanations/how-rto-is-measured.md):

* An operation is **good** when its outcome is correct and it was answered within the limit of its kind, counted from
  its intended time τ: r - τ <= limit. What was scheduled and never sent is bad.
* **Correct** is ok, or a business reject while the share of rejects among the answers of that kind stays within one
  point of its baseline share (or within the sampling error of the two shares, 3 σ, where there are so few answers
  that it is more). For T5 the
  share is that of the window itself; for a single operation it is that of the window W that begins at its τ (the last
  W of the run for those behind it).
* **T5**: windows [a, a + W) over τ, anchored at every operation of a critical flow with a >= T0-, and whole inside
  the schedule. The first window in which every critical flow has operations and good/all >= θ, at least 95 % of
  everything the schedule holds for it was sent, and no invariant was broken, is W. T5 of a flow is the earliest
  answer r of a good operation of that flow inside W; T5 of several flows is the latest of theirs. No such window: +∞.
* **T4** is the earliest answer r of a good operation sent after T0+ (i > T0+).
* **Error** = ± (bucket + probe period + fault-window width). Here the operations themselves are the probe: bucket is
  the tick by which the load sends and stamps (or its own lag p99, where that is longer), the probe period the widest
  gap between two scheduled operations of a critical flow in the second around T5, and the width is T0+ - T0-.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drills.clock import NS
from drills.history import I64, NEVER, History, Mask

BUCKET_S = 0.001
"""Answers are stamped once a loop tick of the load, which is 1 ms."""
REJECT_POINTS = 0.01
OFFERED = 0.95
DOWNTIME_BUCKET_NS = NS // 10
FLAP_BUCKET_NS = NS


@dataclass(frozen=True)
class Rules:
    """The figures of the sustained rule; `limits_ms` by kind, the client timeout where a kind has none."""

    sustain_s: float = 10.0
    theta: float = 0.999
    limits_ms: Mapping[str, int] | None = None
    client_timeout_ms: int = 2000

    @property
    def sustain_ns(self) -> int:
        """W in nanoseconds."""
        return round(self.sustain_s * NS)

    def limit_ns(self, kind: str) -> int:
        """How long a good answer of that kind may take from τ, in nanoseconds."""
        return (self.limits_ms or {}).get(kind, self.client_timeout_ms) * 1_000_000


@dataclass(frozen=True)
class Recovery:
    """T4 and T5 of one set of critical flows, in nanoseconds of the clock; None is +∞, with the reason."""

    flows: tuple[str, ...]
    t4_ns: int | None
    t5_ns: int | None
    window_ns: tuple[int, int] | None
    gap_s: float | None
    reason: str | None = None

    def error_s(self, fault_window_s: float, bucket_s: float = BUCKET_S) -> float | None:
        """± seconds of T5 - T0; None when T5 was never reached."""
        return None if self.gap_s is None else bucket_s + self.gap_s + fault_window_s


def window_for(kind: str, client_timeout_ms: int) -> float:
    """W by default: max(10 s in the sandbox, 60 s elsewhere; 3 x client timeout), in seconds."""
    return max(10.0 if kind == "embedded" else 60.0, 3 * client_timeout_ms / 1000)


def in_time(history: History, rules: Rules) -> Mask:
    """Which operations were answered within the limit of their kind, counted from τ."""
    limits = np.array([rules.limit_ns(kind) for kind in history.kinds] or [0], np.int64)
    answered = history.answered != NEVER
    late = np.where(answered, history.answered, history.intended) - history.intended
    result: Mask = answered & (late <= limits[history.kind]) & (history.sent != NEVER)
    return result


@dataclass(frozen=True)
class Rejects:
    """How many of the decided answers of a flow were business rejects in the baseline."""

    rejects: int = 0
    decided: int = 0

    @property
    def share(self) -> float:
        """Rejects among the decided answers; 0 without any."""
        return self.rejects / self.decided if self.decided else 0.0


def baseline_rejects(history: History, until_ns: int | None, from_ns: int = 0) -> dict[str, Rejects]:
    """Business rejects among the decided answers of each kind with τ in [from_ns, until_ns)."""
    before = (history.intended >= from_ns) & (history.intended < (NEVER if until_ns is None else until_ns))
    shares = {}
    for flow in history.kinds:
        rows = history.of(flow) & before
        rejects, oks = int((history.business & rows).sum()), int((history.ok & rows).sum())
        shares[flow] = Rejects(rejects, rejects + oks)
    return shares


def good(history: History, rules: Rules, shares: Mapping[str, Rejects]) -> Mask:
    """Which operations are good, each one's rejects judged by the window W that begins at its τ."""
    timely = in_time(history, rules)
    result: Mask = timely & history.ok
    if not len(history) or not history.business.any():
        return result
    last = max(int(history.intended[0]), int(history.intended[-1]) + 1 - rules.sustain_ns)
    start = np.minimum(history.intended, last)
    lo = np.searchsorted(history.intended, start, "left")
    hi = np.searchsorted(history.intended, start + rules.sustain_ns, "left")
    for flow in history.kinds:
        counts = _Counts.of(history, flow, timely)
        allowed = counts.rejects_allowed(lo, hi, shares.get(flow, Rejects()))
        result |= timely & history.business & history.of(flow) & allowed
    return result


@dataclass(frozen=True)
class _Counts:
    """Running counts of one flow over the whole history: entry k counts operations before k; shapes (n + 1,)."""

    all: I64
    timely_ok: I64
    timely_reject: I64
    ok: I64
    reject: I64

    @classmethod
    def of(cls, history: History, flow: str, timely: Mask) -> _Counts:
        rows = history.of(flow)

        def running(mask: Mask) -> I64:
            return np.concatenate([[0], np.cumsum(mask)]).astype(np.int64)

        ok, reject = rows & history.ok, rows & history.business
        return cls(running(rows), running(timely & ok), running(timely & reject), running(ok), running(reject))

    def rejects_allowed(self, lo: I64, hi: I64, baseline: Rejects) -> Mask:
        """Whether the share of rejects in [lo, hi) stays within one point, or 3 σ, of the baseline.

        σ of the difference of two shares: sqrt(p (1 - p) (1/n1 + 1/n2)) with the pooled p; here in operations.
        """
        rejects = self.reject[hi] - self.reject[lo]
        decided = rejects + self.ok[hi] - self.ok[lo]
        noise = np.zeros(len(decided))
        if baseline.decided:
            pooled = (rejects + baseline.rejects) / (decided + baseline.decided)
            noise = 3 * np.sqrt(pooled * (1 - pooled) * decided * (1 + decided / baseline.decided))
        # the small term keeps a share that equals the limit inside it, whatever the last bit of the product
        allowed: Mask = rejects <= baseline.share * decided + np.maximum(REJECT_POINTS * decided, noise) + 1e-9
        return allowed

    def stays_good(self, lo: I64, hi: I64, baseline: Rejects, theta: float) -> Mask:
        """Whether the flow has operations in [lo, hi) and their good ratio is at least theta."""
        total = self.all[hi] - self.all[lo]
        rejects = np.where(self.rejects_allowed(lo, hi, baseline), self.timely_reject[hi] - self.timely_reject[lo], 0)
        enough = self.timely_ok[hi] - self.timely_ok[lo] + rejects >= theta * total - 1e-9
        result: Mask = (total > 0) & enough
        return result


def recovery(
    history: History,
    flows: Sequence[str],
    fault_window: tuple[int, int],
    rules: Rules,
    shares: Mapping[str, Rejects],
    broken_ns: Collection[int] = (),
) -> Recovery:
    """T4 and T5 of `flows` after the fault window (T0-, T0+), by the sustained rule of this module.

    `broken_ns` are the instants at which an invariant was seen broken.
    """
    t0_low, t0_high = fault_window
    mine = np.zeros(len(history), bool)
    for flow in flows:
        mine |= history.of(flow)
    t4 = _first_answer(history, mine & good(history, rules, shares) & _sent_after(history, t0_high))
    absent = [flow for flow in flows if not history.of(flow).any()]
    if absent or not flows:
        return Recovery(tuple(flows), t4, None, None, None, f"the traffic holds no {' and no '.join(absent) or 'flow'}")
    found = _first_window(history, mine, flows, t0_low, rules, shares, broken_ns)
    if found is None:
        end = history.end_ns or t0_low
        seen = (end - t0_low) / NS
        reason = f"not good for {rules.sustain_s:g} s in a row within the {max(seen, 0):.1f} s observed after the fault"
        return Recovery(tuple(flows), t4, None, None, None, reason)
    lo, hi = found
    answers = [_first_good_in(history, flow, lo, hi, rules, shares) for flow in flows]
    t5 = max(answers)
    start = int(history.intended[lo])
    gap = max(_gap_s(history, flow, t5) for flow in flows)
    return Recovery(tuple(flows), t4, t5, (start, start + rules.sustain_ns), gap)


def _sent_after(history: History, instant: int) -> Mask:
    result: Mask = (history.sent > instant) & (history.sent != NEVER)
    return result


def _first_answer(history: History, mask: Mask) -> int | None:
    return int(history.answered[mask].min()) if mask.any() else None


def _first_window(
    history: History,
    mine: Mask,
    flows: Sequence[str],
    t0_low: int,
    rules: Rules,
    shares: Mapping[str, Rejects],
    broken_ns: Collection[int],
) -> tuple[int, int] | None:
    tau = history.intended
    whole = tau + rules.sustain_ns <= tau[-1]
    anchors = np.flatnonzero(mine & (tau >= t0_low) & whole)
    lo = np.searchsorted(tau, tau[anchors], "left")
    hi = np.searchsorted(tau, tau[anchors] + rules.sustain_ns, "left")
    timely = in_time(history, rules)
    fits = np.ones(len(anchors), bool)
    for flow in flows:
        fits &= _Counts.of(history, flow, timely).stays_good(lo, hi, shares.get(flow, Rejects()), rules.theta)
    sent = np.concatenate([[0], np.cumsum(history.sent != NEVER)])
    fits &= sent[hi] - sent[lo] >= OFFERED * (hi - lo) - 1e-9
    broken = np.sort(np.fromiter(broken_ns, np.int64))
    fits &= np.searchsorted(broken, tau[anchors], "left") == np.searchsorted(
        broken, tau[anchors] + rules.sustain_ns, "left"
    )
    if not fits.any():
        return None
    first = int(np.argmax(fits))
    return int(lo[first]), int(hi[first])


def _first_good_in(history: History, flow: str, lo: int, hi: int, rules: Rules, shares: Mapping[str, Rejects]) -> int:
    inside = slice(lo, hi)
    timely = in_time(history, rules)
    counts = _Counts.of(history, flow, timely)
    allowed = bool(counts.rejects_allowed(np.array([lo]), np.array([hi]), shares.get(flow, Rejects()))[0])
    fine = history.ok | (history.business if allowed else False)
    answers = history.answered[inside][(timely & fine & history.of(flow))[inside]]
    return int(answers.min())


def _gap_s(history: History, flow: str, around_ns: int) -> float:
    """The widest gap between scheduled operations of a flow in the second around an instant, neighbours included."""
    tau = history.intended[history.of(flow)]
    lo = max(0, int(np.searchsorted(tau, around_ns - NS // 2)) - 1)
    hi = min(len(tau), int(np.searchsorted(tau, around_ns + NS // 2)) + 1)
    near = tau[lo:hi]
    return float(np.diff(near).max()) / NS if len(near) > 1 else 1.0


@dataclass(frozen=True)
class Downtime:
    """Weighted downtime of a flow: Σ (1 - good) Δ over 0.1 s buckets from T0-; buckets without operations are apart."""

    flow: str
    seconds: float
    no_data_s: float
    good_share: float
    operations: int


def downtime(history: History, flow: str, is_good: Mask, from_ns: int) -> Downtime | None:
    """Weighted downtime of a flow from an instant to the end of the schedule; None where the flow has no operation."""
    rows = history.of(flow) & (history.intended >= from_ns)
    if not rows.any() or history.end_ns is None:
        return None
    buckets = (history.end_ns - from_ns) // DOWNTIME_BUCKET_NS + 1
    index = (history.intended[rows] - from_ns) // DOWNTIME_BUCKET_NS
    total = np.bincount(index, minlength=buckets)
    bad = np.bincount(index, weights=~is_good[rows], minlength=buckets)
    width = DOWNTIME_BUCKET_NS / NS
    weighted = float((bad[total > 0] / total[total > 0]).sum()) * width
    share = 1 - float(bad.sum()) / float(total.sum())
    return Downtime(flow, weighted, float((total == 0).sum()) * width, share, int(total.sum()))


def flaps(history: History, flows: Sequence[str], is_good: Mask, t4_ns: int | None, theta: float) -> int | None:
    """How often service went from good to bad again after T4, in buckets of 1 s of τ; None when T4 was never reached.

    A bucket is good when every critical flow in it is >= theta; one without operations keeps the state before it.
    """
    if t4_ns is None or not flows:
        return None
    state: dict[int, bool] = {}
    for flow in flows:
        rows = history.of(flow) & (history.intended >= t4_ns)
        index = (history.intended[rows] - t4_ns) // FLAP_BUCKET_NS
        total = np.bincount(index)
        fine = np.bincount(index, weights=is_good[rows]) >= theta * total - 1e-9
        for bucket in np.flatnonzero(total):
            state[int(bucket)] = state.get(int(bucket), True) and bool(fine[bucket])
    order = [state[bucket] for bucket in sorted(state)]
    return sum(1 for before, after in itertools.pairwise(order) if before and not after)


def availability(history: History, flow: str, is_good: Mask, window: tuple[int, int]) -> float | None:
    """Share of a flow's operations with τ in [a, b) that were good; None without any."""
    rows = history.of(flow) & (history.intended >= window[0]) & (history.intended < window[1])
    return float(is_good[rows].mean()) if rows.any() else None


def seconds(after_ns: int | None, t0_ns: int) -> float:
    """An instant in seconds from T0; +∞ for one that was never reached."""
    return math.inf if after_ns is None else (after_ns - t0_ns) / NS
