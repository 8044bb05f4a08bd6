"""A Chaos Toolkit control: tells `inject` the name of its activity, and keeps the journal on disk as it grows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chaoslib.exceptions import InterruptExecution

from chaoslib_ext.ctk.context import current

CONTROL: dict[str, Any] = {"name": "muster", "provider": {"type": "python", "module": "chaoslib_ext.ctk.controls"}}
"""How an experiment names this control."""

on_run: Callable[[Mapping[str, Any]], None] | None = None
"""Called with each finished activity's journal entry; the runner sets it."""


def before_activity_control(context: Mapping[str, Any], **_: object) -> None:
    """Remember which activity runs. Raises InterruptExecution once the run was told to stop."""
    run = current()
    if run is None:
        return
    run.activity = str(context.get("name") or "") or None
    if run.stop.is_set():
        raise InterruptExecution(run.why or "the run was told to stop")


def after_activity_control(context: Mapping[str, Any], state: Mapping[str, Any] | None = None, **_: object) -> None:
    """Hand the journal entry on."""
    if on_run is not None and state is not None:
        on_run(state)
