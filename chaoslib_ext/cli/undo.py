"""`muster undo`: plays what a run left open, from any folder, with or without its guardian."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import click

from chaoslib_ext import processes, scope
from chaoslib_ext.guardian import takeover
from chaoslib_ext.guardian.client import GuardianClient
from chaoslib_ext.guardian.marker import Marker
from chaoslib_ext.guardian.play import GIVE_UP_S, Player
from drills import ledger
from drills.errors import FaultError, UndoIncomplete, UsageError
from drills.units import parse_duration

BY = "muster undo"
END_S = 90.0
ALONE_S = 10.0
"""Another `muster undo` may take so long with the same run."""

FROZEN_S = 2.0
"""A guardian answers within a millisecond, whatever it undoes meanwhile."""

RELEASED_S = 10.0
"""A guardian that is killed shows as ended before the kernel has taken its lock: its threads end after it."""


@click.command()
@click.argument("run", required=False)
@click.option("--all", "everything", is_flag=True, help="Every run that left something open.")
@click.option("--give-up", default=f"{GIVE_UP_S:g}s", show_default=True, help="How long to try before a person must.")
def command(run: str | None, everything: bool, give_up: str) -> None:
    """Undo what RUN (an id or a run directory) left open; exit 0 when nothing is, 6 with the commands by hand.

    That goes for a run that was aborted in a phase to be held, too: whoever asks has decided.
    """
    if (run is None) == (not everything):
        raise UsageError("give a run, or --all")
    try:
        seconds = parse_duration(give_up)
    except ValueError as error:
        raise UsageError(f"--give-up: {error}") from error
    left: list[str] = []
    by_hand: list[str] = []
    for marker in _chosen(run):
        if everything and ledger.read(marker.ledger).holding and not marker.supervised:
            click.echo(f"{marker.run_id}: was held for a person to decide; undone now", err=True)
        still = undo_run(marker, seconds)
        left += [f"{entry.fault_id} of {marker.run_id}" for entry in still]
        by_hand += ledger.by_hand(still)
    if left:
        raise UndoIncomplete(left, by_hand)


def _chosen(run: str | None) -> list[Marker]:
    if run is None:
        found = scope.markers()
        if not found:
            click.echo("nothing is open", err=True)
        return found
    marker = scope.find(run)
    if marker is not None:
        return [marker]
    if ledger.read(Path(run) / "ledger.ndjson").open():
        # its marker is gone, its ledger is not: the ledger decides
        return [Marker(Path(run).name, str(Path(run).absolute()), "", (), (0, 0.0))]
    others = [one.run_id for one in scope.markers()]
    if others:  # a misspelt id must not read as "all is well"
        raise UsageError(f"{run}: no open run of that name; open: {', '.join(others)}")
    click.echo(f"{run}: nothing is open", err=True)
    return []


def undo_run(marker: Marker, give_up_s: float) -> list[ledger.Entry]:
    """Undo what a run left open, by its guardian or from its ledger; what still is."""
    if marker.guarded:
        client = GuardianClient(marker.socket)
        try:
            # a frozen guardian is found out at once, not after the time an undo may take
            GuardianClient(marker.socket, timeout_s=FROZEN_S).state()
            client.undo(by=BY, end=True)
        except FaultError as error:
            click.echo(f"{marker.run_id}: {error}; playing its ledger from here", err=True)
            # not asked to end: woken up, it would undo beside us
            known = [marker.guardian] if marker.guardian else []
            processes.send(known, signal.SIGKILL)
            processes.wait_gone(known, RELEASED_S)
        else:
            _await_end(marker)
            return _report(marker, ledger.read(marker.ledger))
    return _play(marker, give_up_s)


def _await_end(marker: Marker) -> None:
    """Without a supervisor the guardian ends the children and the sandbox too, then itself."""
    deadline = time.monotonic() + END_S
    while marker.guarded and not marker.supervised and time.monotonic() < deadline:
        time.sleep(0.02)


def _play(marker: Marker, give_up_s: float) -> list[ledger.Entry]:
    if not marker.ledger.exists():
        if marker.supervised:
            raise UsageError(f"{marker.run_id}: {marker.ledger} is not there yet; try again")
        click.echo(f"{marker.run_id}: it died before its first fault", err=True)
        scope.release(marker.run_id)
        return []
    book = ledger.Ledger(marker.ledger, marker.run_id, alone_s=ALONE_S)
    try:
        player = Player(book, give_up_s=give_up_s, say=lambda text: click.echo(text, err=True))
        if not marker.supervised:
            takeover.expect_the_end(player, book.book)
        done = takeover.undo_run(book, player, BY)
        takeover.settle(player, done, BY)
        still = _report(marker, book.book)
        stopped = marker.supervised or takeover.stop_sandbox(book.book, lambda text: click.echo(text, err=True))
        if not still and stopped and not marker.supervised:
            book.write("close")
            scope.release(marker.run_id)
        if not stopped:
            raise UndoIncomplete([f"the sandbox of {marker.run_id}"], [" ".join(book.book.sandbox_down)])
        return still
    finally:
        book.close()


def _report(marker: Marker, book: ledger.Book) -> list[ledger.Entry]:
    for entry in book.entries:
        if not entry.open and entry.by == BY:
            click.echo(f"{marker.run_id}: undone {entry.fault_id} ({entry.describe})", err=True)
    if book.torn:
        click.echo(f"{marker.run_id}: {book.torn} half-written line(s) in its ledger were skipped", err=True)
    return book.open()
