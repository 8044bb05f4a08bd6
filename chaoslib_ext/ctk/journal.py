"""The Chaos Toolkit journal of a run, on disk after every activity."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from chaoslib.activity import execute_activity
from chaoslib.run import initialize_run_journal

from drills.evidence import write_atomic


class Journal:
    """A journal in the shape of chaoslib's own; `run` grows by one entry an activity."""

    def __init__(self, path: Path, experiment: Mapping[str, Any]) -> None:
        self._path = path
        self.body: dict[str, Any] = initialize_run_journal(dict(experiment))
        self._began = datetime.now(UTC)

    def add(self, run: Mapping[str, Any]) -> None:
        """Append one activity's entry."""
        if run not in self.body["run"]:
            self.body["run"].append(run)
        self.save()

    def end(self, status: str, body: Mapping[str, Any] | None = None) -> None:
        """Close it with a status of chaoslib's: completed, failed, aborted or interrupted."""
        self.body.update(body or {})
        now = datetime.now(UTC)
        self.body |= {"status": self.body.get("status") or status, "end": now.isoformat()}
        self.body["duration"] = (now - self._began).total_seconds()
        self.save()

    def save(self) -> None:
        """Write the whole journal; on a full disk the old one stays, and the event log says what happened."""
        with contextlib.suppress(OSError):
            write_atomic(self._path, orjson.dumps(self.body, option=orjson.OPT_INDENT_2, default=str))


class Activities:
    """Executes activities through chaoslib, one after the other, into a journal."""

    def __init__(self, journal: Journal, experiment: Mapping[str, Any]) -> None:
        self.journal, self._experiment = journal, dict(experiment)

    def run(self, type_: str, name: str, func: str, **arguments: object) -> dict[str, Any]:
        """Execute a function of chaoslib_ext.ctk.actions or .probes; returns {"status", "output", "exception", …}."""
        module = f"chaoslib_ext.ctk.{type_}s"
        provider = {"type": "python", "module": module, "func": func, "arguments": arguments}
        activity = {"type": type_, "name": name, "provider": provider}
        entry: dict[str, Any] = execute_activity(self._experiment, activity, {}, {}, None)
        self.journal.add(entry)
        return entry


def why(entry: Mapping[str, Any]) -> str:
    """The last line of a failed activity's exception, without its class."""
    lines = "".join(entry.get("exception") or []).strip().splitlines()
    text = lines[-1] if lines else "failed"
    return text.split(": ", 2)[-1] if "ActivityFailed" in text else text
