"""Events in words, one line each; shared by every screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from drills.events import Event, Kind

Data = Mapping[str, Any]
WIDTH = 120

Shown = tuple[str, str]
"""The word of the column, and the rest of the line."""


def header(event: Event) -> str | None:
    """The first line of a run; None for every event but its start."""
    if event.kind is not Kind.RUN_STARTED:
        return None
    data = event.data
    return f"{data['drill']} on {data['environment']} · plan {str(data['plan_hash'])[:8]} · run {data['run_id']}"


def line_of(event: Event) -> Shown | None:
    """Column and words of an event; None for one that is not shown."""
    words = _WORDS.get(event.kind)
    return words(event.data) if words else None


def _check(data: Data) -> Shown:
    return "check", str(data["text"])


def _sandbox(data: Data) -> Shown:
    return "sandbox", str(data["text"])


def _self_test(data: Data) -> Shown:
    return "guards", f"self-test: a made-up breach and a made-up silence stopped in {data['stopped_ms']:.0f} ms"


def _load(data: Data) -> Shown:
    return "load", str(data["text"])


def _baseline(data: Data) -> Shown:
    good = "no data" if data["good"] is None else f"{data['good']:.2%} good"
    p99 = "" if data["p99_ms"] is None else f", p99 {data['p99_ms']:.1f} ms"
    if data["steady"]:
        return "baseline", f"steady: {data['rate']:,.0f} op/s, {good}{p99}"
    return "baseline", f"not steady: {data['reason']}; no fault is injected"


def _in_effect(data: Data) -> Shown:
    took = (data["effect_ns"] - data["issued_ns"]) / 1e6
    seen = list(data["witnesses"])
    more = f", and {len(seen) - 1} more" if len(seen) > 1 else ""
    text = f"{data['fault_id']}: {data.get('describe') or 'applied'}, in effect after {took:.0f} ms"
    told = f" ({seen[0]}{more})" if seen else ""
    return "inject", text + (told if len(text) + len(told) < WIDTH else "")


def _not_witnessed(data: Data) -> Shown:
    return "inject", f"{data['fault_id']}: not witnessed: {data['reason']}"


def _verified(data: Data) -> Shown:
    return "restore", f"{data['fault_id']}: undone and verified, by {data['by']}"


def _orphaned(data: Data) -> Shown:
    return "restore", f"{data['fault_id']}: NOT UNDONE; by hand: {' && '.join(data['by_hand'])}"


def _detected(data: Data) -> Shown:
    return "detect", str(data["text"])


def _leader(data: Data) -> Shown | None:
    return None if data.get("first") else ("recover", f"{data['instance']} leads with epoch {data['epoch']}")


def _step(data: Data) -> Shown | None:
    if data["state"] == "started":
        return None
    told = f": {data['text']}" if data.get("text") else ""
    return "step", f"{data['sop']} {data['step']} {data['state']} after {data['seconds']:.1f} s{told}"


def _phase_ended(data: Data) -> Shown | None:
    text, result, phase = data.get("text"), data["result"], str(data["phase"])
    if not text or result == "skipped" or (phase in ("baseline", "inject") and result != "ok"):
        return None
    if phase == "recover" and result == "ok" and "leads with" in text:
        return None  # the leader had a line of its own
    return phase, text if result == "ok" else f"{result}: {text}"


ACTIONS = {
    "heal": "heal: everything is undone now",
    "fence-and-complete": "fence-and-complete: the SOP is brought to its end, fencing first, then everything is undone",
    "hold": "hold: nothing is undone, a person decides",
}


def _abort(data: Data) -> Shown:
    action = ACTIONS.get(str(data.get("action")))
    by = f"by {'guard ' if data.get('guard') else ''}{data['by']}: {data['reason']}"
    return "abort", f"{by}; {action}" if action else by


def _load_ended(data: Data) -> Shown | None:
    return None if data.get("valid") else ("load", f"not valid: {data['reason']}")


def _audit(data: Data) -> Shown:
    return "audit", str(data["text"])


def _cleanup(data: Data) -> Shown:
    intended = list(data["intended"])
    if not data["clean"]:
        return "clean-up", ("held on purpose: " if data.get("held") else "left behind: ") + "; ".join(data["left"])
    return "clean-up", "every trace is gone" + (f" (intended: {'; '.join(intended)})" if intended else "")


def _note(data: Data) -> Shown:
    return str(data.get("phase") or "note"), str(data["text"])


_WORDS: dict[Kind, Callable[[Data], Shown | None]] = {
    Kind.CHECK: _check,
    Kind.SANDBOX: _sandbox,
    Kind.GUARD_SELF_TEST: _self_test,
    Kind.LOAD_STARTED: _load,
    Kind.BASELINE: _baseline,
    Kind.FAULT_IN_EFFECT: _in_effect,
    Kind.FAULT_NOT_WITNESSED: _not_witnessed,
    Kind.FAULT_VERIFIED: _verified,
    Kind.FAULT_ORPHANED: _orphaned,
    Kind.DETECTED: _detected,
    Kind.LEADER: _leader,
    Kind.STEP: _step,
    Kind.PHASE_ENDED: _phase_ended,
    Kind.ABORT: _abort,
    Kind.LOAD_ENDED: _load_ended,
    Kind.AUDIT: _audit,
    Kind.CLEANUP: _cleanup,
    Kind.NOTE: _note,
}
