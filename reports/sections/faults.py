"""Faults: what was done to what, who witnessed it, when it was undone; and what the comparison before/after says."""

from __future__ import annotations

from typing import Any

from drills.timeline import FaultRecord
from reports.data import ReportData


def context(data: ReportData) -> dict[str, Any]:
    """One row a planned fault, and the clean-up."""
    rows = []
    for planned in data.plan.faults:
        record = data.line.faults.get(planned.id, FaultRecord(planned.id))
        width = None
        if record.issued_ns is not None and record.effect_ns is not None:
            width = (record.effect_ns - record.issued_ns) / 1e6
        rows.append(
            {
                "id": planned.id,
                "fault": planned.fault,
                "describe": planned.describe,
                "targets": ", ".join(_target(target) for target in planned.targets),
                "issued": data.seconds(record.issued_ns),
                "width_ms": width,
                "witnesses": record.witnesses,
                "problem": record.not_witnessed,
                "undone": data.seconds(record.undone_ns),
                "orphaned": record.orphaned,
                "undo": planned.undo_text,
            }
        )
    said = data.line.cleanup or {}
    return {
        "rows": rows,
        "cleanup": data.line.cleanup,
        "left": said.get("left") or (),
        "intended": said.get("intended") or (),
    }


def _target(target: Any) -> str:  # noqa: ANN401 - drills.plan.Target
    about = [word for word in (target.role, target.zone) if word]
    return f"{target.name} ({', '.join(about)})" if about else str(target.name)
