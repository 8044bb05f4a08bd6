"""lost = acknowledged with ok, and absent from the audit."""

from __future__ import annotations

from drills.clock import NS
from drills.history import Mask
from drills.rpo import CheckResult
from drills.words import percent_text
from probes.checkers.base import Case, checker, marked


@checker
def check(case: Case) -> CheckResult:
    """Count acknowledged operations without a row in the audit. An operation without an answer is never lost."""
    hits = case.history.ok & (case.rows() == 0)
    kind, notes = _reading(case, hits) if hits.any() else (None, ())
    return marked("lost", case, hits, kind=kind, notes=notes)


def _reading(case: Case, hits: Mask) -> tuple[str, tuple[str, ...]]:
    """What the pattern of the loss points to: a suffix of what was acknowledged before the fault, or something else."""
    if case.fault_window is None:
        return "acknowledged-then-lost", ()
    t0_high = case.fault_window[1]
    before = hits & (case.history.answered <= t0_high)
    if not before.any():
        return "acknowledged-then-lost", ("all of them were acknowledged after the fault took effect",)
    oldest = int(case.history.answered[before].min())
    acknowledged = case.history.ok & (case.history.answered >= oldest) & (case.history.answered <= t0_high)
    share = int(before.sum()) / int(acknowledged.sum())
    span_ms = (t0_high - oldest) / NS * 1000
    note = f"{percent_text(share, 0)} of what was acknowledged in the last {span_ms:.0f} ms before T0+ is gone"
    if share >= 0.5 and (window := _window(case, hits)):
        return "asynchronous-replication-window", (note, window)
    # a suffix: the venue answered before what it answered was safe; scattered holes are another defect
    return ("ack-before-replicate" if share >= 0.5 else "acknowledged-then-lost"), (note,)


def _window(case: Case, hits: Mask) -> str | None:
    """Why a mirror in another region explains the loss by its distance alone; None where it does not.

    It does where that region took over, and nothing that is lost was acknowledged earlier than one way across before
    the fault was commanded: all else had arrived. An acknowledgement that was early by more than that is still seen.
    """
    if case.mirror is None or case.fault_window is None:
        return None
    t0_low, t0_high = case.fault_window
    regions, answered = case.mirror.moved(case.leads, t0_low), case.history.answered[hits]
    if regions is None or int(answered.min()) < t0_low - case.mirror.lag_ns or int(answered.max()) > t0_high:
        return None
    rate = int((case.history.ok & (case.history.answered >= t0_low - NS) & (case.history.answered < t0_low)).sum())
    behind_ms, until_ms = case.mirror.lag_ns / NS * 1000, (t0_high - t0_low) / NS * 1000
    at_risk = rate * (behind_ms + until_ms) / 1000
    return (
        f"{regions[1]} took over from {regions[0]} and follows it {behind_ms:.0f} ms behind: "
        f"with the {until_ms:.0f} ms until T0+, {at_risk:.0f} operations at {rate} op/s were at risk"
    )
