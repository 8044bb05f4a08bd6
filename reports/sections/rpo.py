"""What was lost or made up: the tuple, its notional and seconds, and the bound and the power of a zero."""

from __future__ import annotations

from typing import Any

from drills.words import percent_text
from reports.data import ReportData

CLASSES = {
    "lost": "acknowledged, and absent from the audit",
    "lost_observed": "never acknowledged, seen by another observer, and gone",
    "duplicated": "executions of an operation beyond its first",
    "phantom": "executed, and never sent",
    "executed_reject": "answered with a reject, and executed",
    "reordered": "sequenced before one that was answered before they were sent",
    "zombie": "lost, and acknowledged by a primary already replaced",
    "unresolved": "never answered, and not to be resolved by id",
    "foreign": "commands of others in the audit: not ours, not judged",
}


def context(data: ReportData) -> dict[str, Any]:
    """Rows of the classes, and the figures beside them."""
    verdict, rpo = data.verdict, data.verdict.rpo
    limits = {name: limit for o in data.plan.objectives if hasattr(o, "rpo") for name, limit in o.rpo.limits.items()}
    rows = [
        {
            "name": name,
            "meaning": meaning,
            "count": getattr(rpo, name),
            "limit": limits.get(name),
            "examples": rpo.examples.get(name, ())[:3],
            "why": verdict.absent.get(f"rpo.{name}", ""),
        }
        for name, meaning in CLASSES.items()
    ]
    return {"rows": rows, "figures": _figures(data), "acknowledged": rpo.acknowledged}


def _figures(data: ReportData) -> list[tuple[str, str]]:
    rpo, absent = data.verdict.rpo, data.verdict.absent

    def shown(name: str, text: str | None) -> str:
        return text if text is not None else f"– ({absent.get(f'rpo.{name}', 'no reason')})"

    window = f"{rpo.window_s * 1000:g} ms" if rpo.window_s is not None else ""
    return [
        ("Lost notional", shown("lost_notional", rpo.lost_notional_exact)),
        (
            "Loss window (T0+ − oldest lost answer)",
            shown("lost_window_s", f"{rpo.lost_window_s * 1000:,.1f} ms" if rpo.lost_window_s is not None else None),
        ),
        (
            "Bound of the zero, ln(20)/λ (95 %)",
            shown("bound_s", f"≤ {rpo.bound_s * 1000:.2f} ms" if rpo.bound_s is not None else None),
        ),
        (
            f"Power, 1 − e^(−λℓ){f' at ℓ = {window}' if window else ''}",
            shown("power", percent_text(rpo.power, 3) if rpo.power is not None else None),
        ),
        (
            "λ, acknowledged in the last second before T0",
            shown("rate", f"{rpo.rate:,.0f} / s" if rpo.rate is not None else None),
        ),
    ]
