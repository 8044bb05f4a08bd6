"""Weaknesses: class, component, severity, evidence, owner."""

from __future__ import annotations

from typing import Any

from reports.data import ReportData


def context(data: ReportData) -> dict[str, Any]:
    """The findings, the worst first; the section stays when there is none, and says so."""
    return {"findings": data.verdict.findings, "verdict": data.verdict.verdict}
