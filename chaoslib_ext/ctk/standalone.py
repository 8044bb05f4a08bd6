"""A run without `muster run`: plain `chaos run` with a sandbox up. It starts its own guardian and undoes at its end."""

from __future__ import annotations

import atexit
import logging
import threading
from typing import Any

from chaoslib_ext.ctk.context import Context, current, use
from chaoslib_ext.guardian.start import LEASE_S, GuardianProcess
from chaoslib_ext.names import load_names
from chaoslib_ext.screen_text import line_of
from chaoslib_ext.world import World
from drills.errors import FaultError
from drills.events import Event, Kind
from drills.evidence import home, new_run_id

LONGEST_S = 900.0

log = logging.getLogger("chaostoolkit")


def scopes(describe: dict[str, Any]) -> list[str]:
    """What a run in this sandbox holds: one run at a time."""
    return [f"sandbox:{describe['id']}"]


def context_or_new() -> Context:
    """The run of this process; under plain `chaos run` a new one, against the sandbox that is up.

    Raises Refused `sandbox-not-up`.
    """
    context = current()
    if context is None:
        load_names()
        context = Context(new_run_id(), World.embedded(), _Late(), _say)  # type: ignore[arg-type]
        use(context)
    return context


def guarded() -> Context:
    """The same, with its guardian running: before the first fault. Raises Refused (scope taken), FaultError."""
    context = context_or_new()
    if isinstance(context.guardian, _Late):
        folder = home() / "chaos" / context.run_id
        process = GuardianProcess.start(folder, scopes(dict(context.world.describe)), max_duration_s=LONGEST_S)
        context.guardian = process.client
        ended = threading.Event()
        threading.Thread(target=_beat, args=(context, ended), daemon=True).start()
        atexit.register(_end, context, process, ended)
    return context


class _Late:
    """Stands for the guardian of a process that has not injected anything."""

    def state(self) -> dict[str, Any]:
        """Nothing was injected."""
        return {"faults": []}

    def undo(self, fault_id: str = "all", *, by: str) -> tuple[()]:
        """Nothing to undo."""
        return ()


def _beat(context: Context, ended: threading.Event) -> None:
    while not ended.wait(LEASE_S / 4):
        try:
            why = context.guardian.beat()
        except FaultError as error:
            why = str(error)
        if why and not ended.is_set():  # a guardian that was closed while it was asked has not failed
            context.why = why
            log.error("%s", why)
            return


def _end(context: Context, process: GuardianProcess, ended: threading.Event) -> None:
    # the pipe would do the same; asking lets us say what became of it
    try:
        left = [one for one in context.undo("all", by="the end of chaos run") if one["state"] != "VERIFIED"]
        for one in left:
            log.critical("left behind: %s; undo by hand: %s", one["fault_id"], " && ".join(one["by_hand"]))
        ended.set()
        if not left:
            process.close()
    except FaultError as error:
        log.critical("%s; run `muster undo --all`", error)
    ended.set()
    context.stop.set()


def _say(kind: str, **data: Any) -> None:  # noqa: ANN401 - JSON
    shown = line_of(Event(0, 0, "", Kind(kind), data, "", ""))
    if shown:
        log.info("%s: %s", *shown)
