"""The opening: the word, its sentences, and the four figures that people ask for first."""

from __future__ import annotations

from typing import Any

from drills.verdict import Verdict
from drills.words import percent_text, seconds_text
from reports.data import ReportData


def context(data: ReportData) -> dict[str, Any]:
    """Word, sentences, key figures, outcomes and reasons."""
    verdict = data.verdict
    told = " ".join(verdict.sentences).lower()
    more = [cause for cause in verdict.causes if cause.text.lower() not in told]
    return {
        "verdict": verdict,
        "run": verdict.run,
        "figures": [_back(verdict), _lost(verdict), _twice(verdict), _seen(verdict)],
        "causes": more,
    }


def _back(verdict: Verdict) -> dict[str, str]:
    rto = verdict.rto
    limits = ", ".join(f"{o.flow} {o.limit_shown}" for o in verdict.objectives if o.kind == "rto")
    value = "never" if rto.value_s is None and rto.observed_s is not None else seconds_text(rto.value_s)
    if rto.value_s is None and rto.observed_s is None:
        value = "–"
    error = f"± {max(rto.error_s, 0.01):.2f} s" if rto.error_s is not None else verdict.absent.get("rto.value_s", "")
    return {"name": "Recovery time (RTO)", "value": value, "note": f"{error}{'; limits ' + limits if limits else ''}"}


def _lost(verdict: Verdict) -> dict[str, str]:
    rpo = verdict.rpo
    if rpo.lost is None:
        return {"name": "Acknowledged and lost", "value": "not known", "note": verdict.absent.get("rpo.lost", "")}
    if rpo.lost:
        note = f"of {rpo.acknowledged or 0:,} acknowledged; notional {rpo.lost_notional:,.2f}"
    elif rpo.bound_s is not None:
        note = f"of {rpo.acknowledged or 0:,} acknowledged; window ≤ {rpo.bound_s * 1000:.1f} ms (95 %)"
    else:
        note = f"of {rpo.acknowledged or 0:,} acknowledged"
    return {"name": "Acknowledged and lost", "value": f"{rpo.lost:,}", "note": note}


def _twice(verdict: Verdict) -> dict[str, str]:
    rpo = verdict.rpo
    value = "not known" if rpo.duplicated is None else f"{rpo.duplicated:,}"
    power = f"chance to have seen a loss {percent_text(rpo.power)}" if rpo.power is not None else ""
    return {"name": "Executed once too often", "value": value, "note": power}


def _seen(verdict: Verdict) -> dict[str, str]:
    t1 = verdict.marks.get("T1")
    note = verdict.mark_sources.get("T1") or verdict.absent.get("marks.T1", "")
    return {"name": "Noticed after (T1)", "value": "–" if t1 is None else seconds_text(t1), "note": note}
