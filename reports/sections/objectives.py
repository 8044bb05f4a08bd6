"""Each objective: what was measured, its limit, the result, and why where it is not passed."""

from __future__ import annotations

from typing import Any

from reports.data import ReportData


def context(data: ReportData) -> dict[str, Any]:
    """The objectives in the order of the plan."""
    return {"objectives": data.verdict.objectives}
