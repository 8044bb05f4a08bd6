"""The event stream of a run: typed kinds, a hash chain, NDJSON on disk, and handlers.

The supervisor is the sole writer. Everything a user sees (terminal, JUnit, report) handles this one stream.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from drills.clock import Clock, SystemClock
from drills.errors import DefinitionError


class Kind(StrEnum):
    """What may happen in a run. `data` of each is named behind it."""

    RUN_STARTED = "run.started"  # run_id, drill, title, plan_hash, environment, began_ns (the command began)
    CHECK = "check"  # text
    SANDBOX = "sandbox"  # text, instances, versions, seconds
    GUARD_SELF_TEST = "guard.self_test"  # stopped_ms
    LOAD_STARTED = "load.started"  # start_ns, rate, trace, text
    PHASE_STARTED = "phase.started"  # phase, index
    PHASE_ENDED = "phase.ended"  # phase, index, result (ok|missed|failed|skipped), text
    BASELINE = "baseline"  # steady (bool), rate, offered, good, p99_ms, reason
    FAULT_INTENT = "fault.intent"  # fault_id, fault, targets, undo, describe
    FAULT_APPLIED = "fault.applied"  # fault_id, issued_ns (T0-)
    FAULT_IN_EFFECT = "fault.in_effect"  # fault_id, issued_ns, effect_ns (T0+), witnesses[], describe
    FAULT_NOT_WITNESSED = "fault.not_witnessed"  # fault_id, reason
    FAULT_UNDOING = "fault.undoing"  # fault_id, by
    FAULT_VERIFIED = "fault.verified"  # fault_id, by, undone_ns
    FAULT_ORPHANED = "fault.orphaned"  # fault_id, by_hand
    DETECTED = "detected"  # phase, probe, target, t_ns, text
    LEADER = "leader"  # instance, epoch, t_ns, first (it led before any fault)
    STEP = "step"  # sop, step, state (started|done|failed), seconds, text
    GUARD_TRIPPED = "guard.tripped"  # guard, reason
    ABORT = "abort"  # by, guard (bool: by is one), reason, action (heal|fence-and-complete|hold)
    LOAD_ENDED = "load.ended"  # offered, answered, lag_p99_ms, valid, reason
    AUDIT = "audit"  # operations, commands, clients, complete, reason, text
    CLEANUP = "cleanup"  # clean (bool), left[], intended[], held (bool: left on purpose)
    VERDICT = "verdict"  # verdict, sentence, exit_code
    NOTE = "note"  # text, phase
    RUN_ENDED = "run.ended"  # verdict, exit_code, report


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, at `t_ns` (CLOCK_MONOTONIC) and `wall`."""

    seq: int
    t_ns: int
    wall: str
    kind: Kind
    data: Mapping[str, Any]
    prev: str
    hash: str

    def to_json(self) -> bytes:
        """One NDJSON line with its newline."""
        body = _body(self.seq, self.t_ns, self.wall, self.kind, self.data, self.prev)
        return orjson.dumps({**body, "hash": self.hash}, option=orjson.OPT_APPEND_NEWLINE)


Handler = Callable[[Event], None]

GENESIS = "0" * 64


def _body(seq: int, t_ns: int, wall: str, kind: str, data: Mapping[str, Any], prev: str) -> dict[str, Any]:
    return {"seq": seq, "t_ns": t_ns, "wall": wall, "kind": str(kind), "data": dict(data), "prev": prev}


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


class EventLog:
    """Appends events to a file before any handler sees them.

    Each line is on its way to the disk (one `write`) before `emit` returns; a full disk raises OSError to the caller.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._clock = clock or SystemClock()
        self._seq, self._prev = 0, GENESIS
        self._handlers: list[Handler] = []

    def subscribe(self, handler: Handler) -> None:
        """Call `handler` with every later event, in order."""
        self._handlers.append(handler)

    def emit(self, kind: Kind, /, **data: object) -> Event:
        """Record one event and hand it to the handlers. Values must be JSON-serialisable."""
        t_ns, wall = self._clock.monotonic_ns(), self._clock.wall()
        body = _body(self._seq, t_ns, wall, kind, data, self._prev)
        event = Event(self._seq, t_ns, wall, kind, data, self._prev, _digest(body))
        _write_all(self._fd, event.to_json())
        self._seq, self._prev = self._seq + 1, event.hash
        for handler in self._handlers:
            handler(event)
        return event

    def close(self) -> None:
        """Flush to the disk and close; idempotent."""
        if self._fd >= 0:
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1


def _write_all(fd: int, line: bytes) -> None:
    # a short write (disk nearly full) would leave half a line: finish it or fail loudly
    while line:
        line = line[os.write(fd, line) :]


_FIELDS = {"seq", "t_ns", "wall", "kind", "data", "prev", "hash"}


def _chained(raw: object, prev: str) -> bool:
    if not isinstance(raw, dict) or set(raw) != _FIELDS or not isinstance(raw["data"], dict):
        return False
    body = _body(raw["seq"], raw["t_ns"], raw["wall"], raw["kind"], raw["data"], raw["prev"])
    return bool(raw["prev"] == prev and _digest(body) == raw["hash"])


def read_events(path: Path) -> Iterator[Event]:
    """Yield the events of a log and check the chain.

    A torn last line (the writer was killed) is ignored. Raises DefinitionError with file and line where it breaks.
    """
    prev = GENESIS
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            raw = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if number == len(lines):
                return
            raise DefinitionError(str(path), "not JSON; the log was altered", line=number, column=1) from error
        if not _chained(raw, prev):
            raise DefinitionError(str(path), "hash chain broken; the log was altered", line=number, column=1)
        prev = raw["hash"]
        yield Event(raw["seq"], raw["t_ns"], raw["wall"], Kind(raw["kind"]), raw["data"], raw["prev"], raw["hash"])
