"""What the connections tell the engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from loadgen.venues.wire import Answer, Inbox, Ints


class Up(NamedTuple):
    """A session may send, which it could not before."""

    session: int


class Down(NamedTuple):
    """A session that was up has lost its connection, and all answers to come."""

    session: int
    reason: str


class Lost(NamedTuple):
    """Operations whose answer will not come; `unsent`: they never left."""

    numbers: Sequence[int]
    reason: str
    unsent: bool


class Written(NamedTuple):
    """An operation that waited for a free connection has left."""

    number: int
    at_ns: int


Event = Up | Down | Lost | Written


@dataclass(slots=True)
class Heard:
    """Answers of one poll, with the time at which each came in ns."""

    texts: list[tuple[Sequence[tuple[bytes, bytes, bytes]], Ints]] = field(default_factory=list)
    bulk: list[tuple[int, Ints, Ints, Ints]] = field(default_factory=list)
    answers: list[tuple[int, Answer]] = field(default_factory=list)

    def collect(self, inbox: Inbox, at_ns: int, marks: list[tuple[int, int]]) -> None:
        """Take what one connection has put into the inbox; its texts stay there, and `marks` notes when they came."""
        if inbox.found and (not marks or marks[-1][0] != len(inbox.found)):
            marks.append((len(inbox.found), at_ns))
        if inbox.bulk:
            self.bulk += [(at_ns, *columns) for columns in inbox.bulk]
            inbox.bulk = []
        if inbox.answers:
            self.answers += [(at_ns, answer) for answer in inbox.answers]
            inbox.answers = []


_POWERS = 10 ** np.arange(9, -1, -1, dtype=np.int64)


def columns(found: Sequence[tuple[bytes, bytes, bytes]], at_ns: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Numbers, sequence numbers, epochs and times of plain oks that came as text."""
    digits, seqs, epochs = zip(*found, strict=True)
    numbers = (np.frombuffer(b"".join(digits), np.uint8).reshape(-1, 10).astype(np.int64) - 48) @ _POWERS
    count = len(digits)
    return (
        numbers,
        np.fromiter(map(int, seqs), np.int64, count),
        np.fromiter(map(int, epochs), np.int64, count),
        at_ns,
    )
