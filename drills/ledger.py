"""The ledger of a run: what is to be undone, on disk before anything is touched.

One line of NDJSON a change (by the standard library: the guardian stays small); the state of a run is the fold of its
lines. The guardian alone writes it while it lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from drills.clock import Clock, SystemClock
from drills.errors import ExitCode, MusterError


class State(StrEnum):
    """States of a fault; every one but VERIFIED is open."""

    INTENT = "INTENT"  # the recipes are durable; the fault may or may not have been applied
    APPLIED = "APPLIED"
    IN_EFFECT = "IN_EFFECT"
    UNDOING = "UNDOING"
    UNDONE = "UNDONE"  # every recipe was accepted
    VERIFIED = "VERIFIED"  # the former state was observed
    ORPHANED = "ORPHANED"  # given up for now; a person must look


NEXT: Mapping[State, frozenset[State]] = {
    State.INTENT: frozenset({State.APPLIED, State.UNDOING}),
    State.APPLIED: frozenset({State.IN_EFFECT, State.UNDOING}),
    State.IN_EFFECT: frozenset({State.UNDOING}),
    # a second UNDOING: the process that played it died, or the fault's act was still under way and landed late
    State.UNDOING: frozenset({State.UNDOING, State.UNDONE, State.ORPHANED}),
    State.UNDONE: frozenset({State.UNDOING, State.VERIFIED, State.ORPHANED}),
    State.VERIFIED: frozenset({State.UNDOING}),
    State.ORPHANED: frozenset({State.UNDOING}),
}
"""Which state may follow which; an INTENT begins a fault, again only after VERIFIED."""


ON_THE_WAY = (State.UNDOING, State.UNDONE)
"""States between two others that matter: each lasts for milliseconds."""


class LedgerError(MusterError):
    """A change that the states do not allow, or a ledger that cannot be read or written."""


class LedgerBusy(LedgerError):
    """Another process writes this ledger: what is open there is still being undone."""

    exit_code = ExitCode.UNDO_INCOMPLETE


class RunOver(LedgerError):
    """An intent after the run's end: nobody would undo it."""


class LedgerUnwritable(LedgerError):
    """The disk did not take a line."""


@dataclass(slots=True)
class Entry:
    """One fault of the run."""

    fault_id: str
    fault: str
    describe: str
    targets: tuple[str, ...]
    recipes: tuple[dict[str, Any], ...]
    expires_s: float | None = None
    state: State = State.INTENT
    issued_ns: int | None = None
    effect_ns: int | None = None
    undone_ns: int | None = None
    by: str | None = None
    by_hand: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether something of it may still be in the system."""
        return self.state is not State.VERIFIED


@dataclass(slots=True)
class Book:
    """The fold of a ledger. `over` is why the run was undone as a whole; `torn` counts lines a dying writer cut.

    `stance` says what becomes of open faults when nobody looks after the run any more: `heal` undoes them, `hold`
    leaves them to a person. `held` is why they were left.
    """

    run_id: str = ""
    entries: list[Entry] = field(default_factory=list)
    children: list[tuple[int, float, str]] = field(default_factory=list)
    sandbox_down: tuple[str, ...] = ()
    over: str | None = None
    stance: str = "heal"
    held: str | None = None
    closed: bool = False
    torn: int = 0

    def find(self, fault_id: str) -> Entry | None:
        """The latest fault of that id."""
        return next((entry for entry in reversed(self.entries) if entry.fault_id == fault_id), None)

    def open(self) -> list[Entry]:
        """Faults to be undone, the latest first."""
        return [entry for entry in reversed(self.entries) if entry.open]

    @property
    def holding(self) -> bool:
        """Whether its open faults are a person's to undo; those in a sandbox of the run's own go down with it."""
        undecided = self.held is not None or self.stance == "hold"
        return undecided and not self.sandbox_down and any(entry.open for entry in self.entries)

    def add(self, line: Mapping[str, Any]) -> None:
        """Fold one line in. Raises LedgerError where the states do not allow it; unknown kinds are ignored."""
        match line.get("e"):
            case "start":
                self.run_id, self.closed = str(line["run_id"]), False
            case "intent":
                self._intent(line)
            case "state":
                self._state(line)
            case "children":
                self.children += [(int(pid), float(start), str(role)) for pid, start, role in line["pids"]]
            case "sandbox":
                self.sandbox_down = tuple(line["down"] or ())
            case "over":
                self.over = str(line["by"])
            case "stance":
                self.stance = str(line["stance"])
            case "held":
                self.held = str(line["by"])
            case "close":
                self.closed = True

    def _intent(self, line: Mapping[str, Any]) -> None:
        fault_id = str(line["fault_id"])
        earlier = self.find(fault_id)
        if earlier is not None and earlier.open:
            raise LedgerError(f"ledger: {fault_id} is already {earlier.state}; undo it first")
        self.entries.append(
            Entry(
                fault_id,
                str(line["fault"]),
                str(line.get("describe", "")),
                tuple(line.get("targets", ())),
                tuple(line["recipes"]),
                line.get("expires_s"),
            )
        )

    def _state(self, line: Mapping[str, Any]) -> None:
        entry, state = self.find(str(line["fault_id"])), State(line["state"])
        if entry is None:
            raise LedgerError(f"ledger: no fault {line['fault_id']!r} in this run")
        if state not in NEXT[entry.state]:
            raise LedgerError(f"ledger: {entry.fault_id} is {entry.state}; {state} cannot follow")
        entry.state = state
        entry.issued_ns = line.get("issued_ns", entry.issued_ns)
        entry.effect_ns = line.get("effect_ns", entry.effect_ns)
        entry.undone_ns = line.get("undone_ns", entry.undone_ns)
        entry.by = line.get("by", entry.by)
        entry.by_hand = tuple(line.get("by_hand", ()))


def fold(lines: Iterable[bytes]) -> Book:
    """The state after these lines.

    A line that is not JSON was cut by a writer that died before it had answered: nothing depends on it, it is counted.
    Raises LedgerError where whole lines contradict each other.
    """
    book = Book()
    for line in lines:
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
        except ValueError:
            book.torn += 1
            continue
        try:
            book.add(raw)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LedgerError(f"ledger: a line was altered: {line[:80].decode(errors='replace')}") from error
    return book


def read(path: Path) -> Book:
    """Fold the ledger at `path`; an absent one is empty. Raises LedgerError."""
    try:
        return fold(path.read_bytes().split(b"\n"))
    except FileNotFoundError:
        return Book()
    except OSError as error:
        raise LedgerError(f"{path}: {(error.strerror or str(error)).lower()}") from error


class Ledger:
    """A ledger opened for writing, with its fold in `book`. Every line is on the disk before `write` returns.

    With `alone_s` this process becomes its only writer before it reads, until it closes it or ends; another one may
    take so many seconds to end (the last thread of a killed process gives its files up after it looks dead). Raises
    LedgerBusy where it does not.
    """

    def __init__(self, path: Path, run_id: str, clock: Clock | None = None, *, alone_s: float | None = None) -> None:
        self.path, self._clock = path, clock or SystemClock()
        self._lock = threading.RLock()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        if alone_s is not None:
            self._alone(alone_s)
        self.book = read(path)
        size = os.fstat(self._fd).st_size
        if size and os.pread(self._fd, 1, size - 1) != b"\n":
            os.write(self._fd, b"\n")  # end the line that a dead writer left half
        self.write("start", run_id=run_id, pid=os.getpid())
        _sync_folder(path.parent)

    def _alone(self, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    self.close()
                    raise LedgerBusy(f"{self.path}: another guardian or `muster undo` is at work on it") from error
                time.sleep(0.005)
            else:
                return

    def write(self, kind: str, /, **data: Any) -> None:  # noqa: ANN401 - JSON
        """Check, append, sync, then fold in: after a failure nothing has changed. Raises LedgerError.

        No intent follows the run's end (RunOver): what was open then is all that is undone.
        """
        self._write(kind, data, sync=True)

    def _write(self, kind: str, data: Mapping[str, Any], *, sync: bool) -> None:
        line = {"e": kind, "t_ns": self._clock.monotonic_ns(), "wall": self._clock.wall(), **data}
        with self._lock:
            if kind == "intent" and self.book.over is not None:
                raise RunOver(f"ledger: the run is over ({self.book.over}); no fault")
            trial = Book(entries=[_copy(entry) for entry in self.book.entries])
            trial.add(line)
            self._append(json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n", sync=sync)
            self.book.add(line)

    def force(self, kind: str, /, **data: Any) -> str | None:  # noqa: ANN401 - JSON
        """As `write`, where an undo must not wait for a disk: the fold changes anyway; returns what went wrong.

        What an undo says on its way is in the file at once and outlives this process, but is not synced: were the
        machine to go down, the intent would have everything undone again. Its end is synced. Raises LedgerError only
        where the states do not allow the change.
        """
        with self._lock:
            try:
                self._write(kind, data, sync=kind != "over" and data.get("state") not in ON_THE_WAY)
            except LedgerUnwritable as error:
                self.book.add({"e": kind, **data})
                return str(error)
        return None

    def _append(self, line: bytes, *, sync: bool) -> None:
        size = os.fstat(self._fd).st_size
        try:
            while line:
                line = line[os.write(self._fd, line) :]
            if sync:
                os.fsync(self._fd)
        except OSError as error:
            with contextlib.suppress(OSError):  # half a line would count as torn: harmless, better avoided
                os.ftruncate(self._fd, size)
            raise LedgerUnwritable(f"{self.path}: {(error.strerror or str(error)).lower()}") from error

    def close(self) -> None:
        """Close the file; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def by_hand(entries: Sequence[Entry]) -> list[str]:
    """The commands that undo these by hand, without repetition."""
    return list(dict.fromkeys(command for entry in entries for command in entry.by_hand))


def _copy(entry: Entry) -> Entry:
    return Entry(entry.fault_id, entry.fault, "", (), (), state=entry.state)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
