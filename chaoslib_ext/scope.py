"""Open markers: which run holds which scope, what a dead run left open, and the refusal to start over it."""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from chaoslib_ext import processes
from chaoslib_ext.guardian.marker import Marker, remove
from drills import ledger
from drills.errors import Refused, UsageError
from drills.evidence import home

SOCKET_PATH_MAX = 100
"""A Unix socket's path has 108 bytes on Linux, 104 on macOS."""


def folder() -> Path:
    """$MUSTER_HOME/open, made when it is not there."""
    path = home() / "open"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def marker_path(run_id: str) -> Path:
    """Where the marker of a run lies."""
    return folder() / f"{run_id}.json"


def markers() -> list[Marker]:
    """Every run that may have something open, oldest first. A damaged marker raises UsageError: a person must look."""
    found = []
    for path in sorted(folder().glob("*.json")):
        try:
            found.append(Marker.load(path))
        except FileNotFoundError:
            continue  # it closed in between
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{path}: damaged marker of a run; its ledger says what to undo, then remove it"
            ) from error
    return found


def find(run: str) -> Marker | None:
    """The open run of that id, or of that run directory."""
    wanted = Path(run).name
    return next((marker for marker in markers() if marker.run_id == wanted), None)


def claim(run_id: str, run_dir: Path, scope: Sequence[str]) -> Marker:
    """Take these scopes for a run and write its marker, before anything else.

    Raises Refused: `scope-locked` where a living run holds one of them, `open-orphan` where a dead run left it open.
    """
    with _exclusive():
        for other in markers():
            if other.run_id != run_id:
                _refuse_over(other, set(scope))
        marker = Marker(run_id, str(run_dir.absolute()), str(_socket_path(run_id)), tuple(scope), processes.me())
        marker.save(marker_path(run_id))
    return marker


def release(run_id: str) -> None:
    """Remove the marker of a run whose guardian never started; idempotent."""
    remove(marker_path(run_id))


def _refuse_over(other: Marker, scope: set[str]) -> None:
    shared = ", ".join(sorted(scope.intersection(other.scope)))
    if not shared:
        return
    book = ledger.read(other.ledger)
    if book.holding and not other.supervised:
        held = ", ".join(entry.fault_id for entry in book.open())
        said = f"run {other.run_id} left {held} to a person on {shared}; run `muster undo {other.run_id}` to heal it"
        raise Refused("held", said)
    if other.supervised or other.guarded:
        raise Refused("scope-locked", f"run {other.run_id} holds {shared}; wait for it, or run `muster abort`")
    left = ", ".join([entry.fault_id for entry in book.open()] + _running(book))
    if not left:
        release(other.run_id)  # it died before its first fault, or after its last undo
        return
    raise Refused("open-orphan", f"run {other.run_id} left {left} open on {shared}; run `muster undo {other.run_id}`")


def _running(book: ledger.Book) -> list[str]:
    """What a dead run left that is not a fault: processes, and the sandbox it owned (until its ledger is closed)."""
    found = [f"{role} (pid {pid})" for pid, start, role in book.children if processes.alive(pid, start)]
    return found + (["its sandbox"] if book.sandbox_down and not book.closed else [])


def _socket_path(run_id: str) -> Path:
    path = folder() / f"{run_id}.sock"
    if len(bytes(path)) <= SOCKET_PATH_MAX:
        return path
    return Path(tempfile.mkdtemp(prefix="muster-")) / "g.sock"


@contextlib.contextmanager
def _exclusive() -> Iterator[None]:
    # two runs that start in the same instant must not both find the scope free
    with (folder() / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
