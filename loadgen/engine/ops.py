"""One operation while it is undecided, the columns of those that are decided, and the pace of second attempts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

KINDS = ("place", "cancel", "amend")
OK, REJECT, UNKNOWN = 0, 1, 2
OUTCOMES = ("ok", "reject", "unknown")


class Phase(IntEnum):
    """Where an undecided operation stands."""

    HELD = 0  # until its session has a connection
    WAITING = 1  # for its next attempt
    IN_FLIGHT = 2


@dataclass(slots=True, eq=False)
class Op:
    """One intent; every attempt carries the same ids."""

    n: int
    row: int
    kind: int  # index into KINDS
    session: int
    parent: int  # n of the order that it names
    prior: int  # n of the operation before it on that order
    intended_ns: int
    phase: Phase = Phase.WAITING
    sent_ns: int | None = None  # first attempt
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
    """Columns of the operations decided since the last `take`; -1 stands for null in the integer columns."""

    n: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    intended_ns: list[int] = field(default_factory=list)
    sent_ns: list[int] = field(default_factory=list)
    answered_ns: list[int] = field(default_factory=list)
    outcome: list[int] = field(default_factory=list)
    seq: list[int] = field(default_factory=list)
    epoch: list[int] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    error: list[str | None] = field(default_factory=list)

    def add(
        self, op: Op, outcome: int, answered_ns: int, seq: int | None, epoch: int | None, error: str | None
    ) -> None:
        """Append one decided operation."""
        self.n.append(op.n)
        self.kind.append(op.kind)
        self.intended_ns.append(op.intended_ns)
        self.sent_ns.append(-1 if op.sent_ns is None else op.sent_ns)
        self.answered_ns.append(answered_ns)
        self.outcome.append(outcome)
        self.seq.append(-1 if seq is None else seq)
        self.epoch.append(-1 if epoch is None else epoch)
        self.attempts.append(op.attempts)
        self.error.append(error)

    def since(self, start: int) -> Decided:
        """A copy of what was added after the first `start` operations."""
        return Decided(*(getattr(self, name)[start:] for name in self.__slots__))


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
