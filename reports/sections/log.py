"""The event log in words, folded away."""

from __future__ import annotations

from typing import Any

import orjson

from drills.events import Event
from reports.data import ReportData

_FIRST = ("text", "phase", "fault_id", "instance", "reason", "verdict")


def context(data: ReportData) -> dict[str, Any]:
    """One row an event: seconds from the fault, wall time, kind, and what it says."""
    rows = [
        {
            "t": f"{data.seconds(event.t_ns) or 0.0:.3f}",
            "wall": event.wall[11:23],
            "kind": str(event.kind),
            "text": _text(event),
        }
        for event in data.events
    ]
    return {"rows": rows} if rows else {}


def _text(event: Event) -> str:
    keys = [*(key for key in _FIRST if key in event.data), *(key for key in event.data if key not in _FIRST)]
    parts = []
    for key in keys:
        value = event.data[key]
        if value in (None, "", [], ()) or key.endswith("_ns"):
            continue
        shown = value if isinstance(value, str) else orjson.dumps(value).decode()
        parts.append(shown if key == "text" else f"{key} {shown}")
    return " · ".join(parts)[:400]
