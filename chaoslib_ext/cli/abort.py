"""`muster abort`: stops a run that somebody else's terminal holds, and waits until it is undone."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import click

from chaoslib_ext import scope
from chaoslib_ext.cli.undo import undo_run
from chaoslib_ext.guardian.marker import Marker
from chaoslib_ext.guardian.play import GIVE_UP_S
from drills import ledger
from drills.errors import UndoIncomplete, UsageError
from drills.units import parse_duration

REQUEST = "abort.request"
"""The file in the run directory that tells the supervisor that a person, not the system, sent the signal."""

HEAL = "muster abort --heal\n"
"""What is in it where the faults are to be undone whatever the phase says."""


@click.command()
@click.argument("run", required=False)
@click.option("--within", default="90s", show_default=True, help="How long to wait for the undo.")
@click.option("--heal", is_flag=True, help="Undo at once, whatever the abort action of the phase; also what is held.")
def command(run: str | None, within: str, heal: bool) -> None:
    """Stop RUN (an id or a run directory; the only one when left out), undo its faults, and wait until they are.

    In a phase whose abort action is `hold` nothing is undone (exit 6): abort it again, or say `--heal` at once.
    """
    try:
        seconds = parse_duration(within)
    except ValueError as error:
        raise UsageError(f"--within: {error}") from error
    marker = _chosen(run)
    if (heal and not marker.supervised) or _held(marker):
        left = undo_run(marker, GIVE_UP_S)
        if left:
            raise UndoIncomplete([entry.fault_id for entry in left], ledger.by_hand(left))
        return
    if not marker.supervised:
        raise UsageError(f"{marker.run_id}: its supervisor is dead; run `muster undo {marker.run_id}`")
    (Path(marker.run_dir) / REQUEST).write_text(HEAL if heal else "muster abort\n")
    os.kill(marker.supervisor[0], signal.SIGTERM)
    left = _wait(marker, seconds)
    if left and ledger.read(marker.ledger).held:
        names = [f"{entry.fault_id} of {marker.run_id} (held on purpose)" for entry in left]
        raise UndoIncomplete(names, [f"muster undo {marker.run_id}"])
    if left:
        names = [f"{entry.fault_id} of {marker.run_id} ({entry.state})" for entry in left]
        raise UndoIncomplete(names, ledger.by_hand(left) or [f"muster undo {marker.run_id}"])
    click.echo(f"{marker.run_id}: aborted, undone", err=True)


def _chosen(run: str | None) -> Marker:
    if run is not None:
        found = scope.find(run)
        if found is None:
            raise UsageError(f"{run}: no such run is open; `muster runs` lists them")
        return found
    everyone = scope.markers()
    running = [one for one in everyone if one.supervised] or [one for one in everyone if _held(one)]
    if len(running) != 1:
        names = ", ".join(marker.run_id for marker in running)
        raise UsageError(f"name one of the running: {names}" if running else "nothing is running")
    return running[0]


def _held(marker: Marker) -> bool:
    """Whether it was stopped before, and left to a person: to abort it again is the decision."""
    book = ledger.read(marker.ledger)
    return book.held is not None and book.holding


def _wait(marker: Marker, seconds: float) -> list[ledger.Entry]:
    """Until supervisor and guardian have ended, or nothing may be open any more; return what still is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        gone = scope.find(marker.run_id) is None
        if gone or not (marker.supervised or marker.guarded):
            break
        if not marker.supervised and ledger.read(marker.ledger).holding:
            break
        time.sleep(0.05)
    return ledger.read(marker.ledger).open()
