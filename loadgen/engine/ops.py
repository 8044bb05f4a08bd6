"""What is known of every operation while a replay runs: columns for all, an object for those that need attention."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from loadgen.trace import KINDS as KINDS
from loadgen.venues.wire import Ints

OK, REJECT, UNKNOWN = 0, 1, 2
OUTCOMES = ("ok", "reject", "unknown")
Whole = npt.NDArray[np.integer[Any]]
"""Whole numbers of any width."""
UNTOUCHED, IN_FLIGHT, WATCHED, DECIDED = 0, 1, 2, 3
"""State of an operation: not begun, its first attempt on its way, looked after one by one, over."""


class Phase(IntEnum):
    """Where a watched operation stands."""

    HELD = 0  # until its session has a connection, or its order an id
    WAITING = 1  # for its next attempt
    IN_FLIGHT = 2


@dataclass(slots=True, eq=False)
class Op:
    """One intent that did not go smoothly; every attempt carries the same ids."""

    n: int
    row: int
    kind: int  # index into KINDS
    session: int
    parent: int  # n of the order that it names
    prior: int  # n of the operation before it on that order
    intended_ns: int
    phase: Phase = Phase.WAITING
    sent_ns: int = 0  # first attempt; 0: none yet
    attempts: int = 0
    tries: int = 0  # attempts and status questions; tells a timer or a queue entry that it is out of date
    failures: int = 0  # since the start, or since the first status question; sets the back-off
    doubt: bool = False  # some attempt may have been executed
    held: bool = False  # its first attempt had to wait for a connection: not the generator's lag
    asking: bool = False  # not sent again: its status is asked for
    until_ns: int = 0  # no further attempt, or question, after this
    cause: str = "unsent"


@dataclass(slots=True)
class Decided:
    """Columns of decided operations; -1 stands for null, `error` indexes `errors`, whose entry 0 is none."""

    n: Ints
    kind: Whole
    intended_ns: Ints
    sent_ns: Ints
    answered_ns: Ints
    outcome: Whole
    seq: Ints
    epoch: Whole
    attempts: Whole
    error: Whole
    errors: list[str]

    def __len__(self) -> int:
        return len(self.n)

    @classmethod
    def join(cls, parts: list[Self]) -> Self:
        """One behind the other; all must share `errors`, and there must be one."""
        names = [name for name in cls.__slots__ if name != "errors"]
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(**columns, errors=parts[0].errors)


class Progress:
    """Columns of all operations of a schedule, by n; zero pages cost no memory until they are written."""

    def __init__(self, count: int) -> None:
        self.state = np.zeros(count, np.uint8)
        self.sent_ns = np.zeros(count, np.int64)
        self.answered_ns = np.zeros(count, np.int64)
        self.outcome = np.zeros(count, np.uint8)
        self.seq = np.zeros(count, np.int64)
        self.epoch = np.zeros(count, np.int32)
        self.attempts = np.zeros(count, np.uint8)
        self.error = np.zeros(count, np.int16)
        self.errors: list[str] = [""]
        self.server_ids: dict[int, bytes] = {}
        self._codes = {"": 0}

    def code(self, error: str | None) -> int:
        """The number of an error text."""
        if not error:
            return 0
        if error not in self._codes and len(self.errors) < 30_000:
            self._codes[error] = len(self.errors)
            self.errors.append(error)
        return self._codes.get(error, 0)

    def take(self, n: Ints, kinds: npt.NDArray[np.int8], intended_ns: Ints) -> Decided:
        """The columns of decided operations."""
        sent, seq, epoch = self.sent_ns[n], self.seq[n], self.epoch[n]
        answered = self.answered_ns[n]
        return Decided(
            n,
            kinds[n],
            intended_ns,
            np.where(sent == 0, -1, sent),
            np.where(answered == 0, -1, answered),
            self.outcome[n],
            np.where(seq == 0, -1, seq),
            np.where(epoch == 0, -1, epoch),
            self.attempts[n],
            self.error[n],
            self.errors,
        )


class Budget:
    """Second attempts and questions a second: a generator in an outage must not become a second disaster."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._rate, self._burst = per_second / 1e9, burst
        self._tokens, self._at_ns = burst, 0

    def refill(self, now_ns: int) -> None:
        """Add what the time since the last call allows."""
        self._tokens = min(self._burst, self._tokens + (now_ns - self._at_ns) * self._rate)
        self._at_ns = now_ns

    def take(self) -> bool:
        """Use one, if there is one."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
