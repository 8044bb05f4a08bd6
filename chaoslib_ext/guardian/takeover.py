"""What is done for a run that nobody looks after any more: by its guardian, or by `muster undo` where that is dead too.

The runner is stopped first, so that it cannot apply anything behind the undo; then everything is undone; then all end.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Sequence

from chaoslib_ext import httpjson, processes
from chaoslib_ext.guardian.play import Player, Say
from chaoslib_ext.guardian.verbs import NotUndone
from drills.ledger import Book, Entry, Ledger

CHILD_GRACE_S = 1.0
"""Load and sampler may finish the line they write."""

SETTLE_S = 0.1
"""A request that the runner had sent before it ended is carried out by then; what it did is looked for once more."""

LATE_S = 3.0
"""On a starved machine an order to start an instance on another disk was carried out after the first look."""

DOWN_S = 60.0


def undo_run(ledger: Ledger, player: Player, by: str) -> list[Entry]:
    """End the children and undo everything of a run; return its faults that were open. `by` says why."""
    ledger.force("over", by=by)
    freeze_runner(ledger.book)
    done = player.undo(ledger.book.open(), by)
    end_children(ledger.book)
    return done


def freeze_runner(book: Book) -> None:
    """It can order nothing any more; to end it with all that it started takes longer than the undo, and comes after."""
    processes.send(_runners(book), signal.SIGSTOP)


def _runners(book: Book) -> list[tuple[int, float]]:
    return [(pid, start) for pid, start, role in book.children if role == "runner"]


def end_children(book: Book) -> None:
    """End every process of a run: its runner at once, the others when they have written their line."""
    for runner in _runners(book):
        processes.send(processes.tree(*runner), signal.SIGKILL)
    rest = [one for pid, start, _ in book.children for one in processes.tree(pid, start)]
    processes.end(rest, CHILD_GRACE_S)


def expect_the_end(player: Player, book: Book) -> None:
    """The supervisor is dead, and a sandbox of its own goes down with it: what is gone there is not restarting."""
    if book.sandbox_down:
        player.gone_s = 0.0


def settle(player: Player, entries: Sequence[Entry], by: str) -> None:
    """Look once more, a little later, and undo again what came back.

    A fault of which nobody said that it was applied may have a request under way that outlives who sent it: a busy
    server carries it out when it comes to it. Those are looked at for longer, unless whoever would carry it out knows
    that it comes too late.
    """
    left = list(entries)
    deadline = time.monotonic() + LATE_S
    while left:
        time.sleep(SETTLE_S)
        back = [entry for entry in left if not _gone(player, entry)]
        if back:
            player.undo([entry for entry in back if not entry.open], by)
        left = [entry for entry in left if _may_come_late(entry)] if time.monotonic() < deadline else []


def _may_come_late(entry: Entry) -> bool:
    told = all(recipe["verb"].startswith("agent.") and "tag" in recipe["args"] for recipe in entry.recipes)
    return entry.issued_ns is None and not told


def _gone(player: Player, entry: Entry) -> bool:
    try:
        player.look(entry)
    except (NotUndone, httpjson.Unreachable):
        return False
    return True


def stop_sandbox(book: Book, say: Say) -> bool:
    """Stop the sandbox that this run owned, if any; False when it did not stop."""
    if not book.sandbox_down:
        return True
    try:
        done = subprocess.run(
            book.sandbox_down, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DOWN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"sandbox not stopped: {error}; run: {' '.join(book.sandbox_down)}")
        return False
    if done.returncode != 0:
        say(f"sandbox not stopped: {done.stderr.strip()}; run: {' '.join(book.sandbox_down)}")
    return done.returncode == 0
