"""Far ends of connections, in memory: each reads what a client sends in its own way, and answers as it is told to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

Word = Literal["ok", "reject", "duplicate", "unavailable", "unknown", "silent"]
"""How a fake treats operations: `silent` carries them out without a word, `unknown` is a code not known to us."""


@dataclass(slots=True)
class Seen:
    """One operation as the venue understood it; empty texts where it was not said."""

    kind: str
    id: str  # of the operation
    parent: str = ""  # id of the order that it names
    symbol: str = ""
    side: str = ""
    type: str = ""
    tif: str = ""
    price: str = ""
    qty: str = ""


@dataclass(slots=True)
class Book:
    """What a fake has seen and done, whatever connection it came by."""

    word: Word = "ok"
    refuse_questions: bool = False
    seen: list[Seen] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # ids
    done: dict[str, bool] = field(default_factory=dict)  # id: whether it was carried out, or else refused
    problems: list[str] = field(default_factory=list)  # signatures, times, sequence numbers

    def take(self, seen: Seen) -> Word:
        """Note an operation; returns how to answer."""
        self.seen.append(seen)
        if self.word in ("ok", "silent"):
            self.done[seen.id] = True
        elif self.word == "reject":
            self.done[seen.id] = False
        return self.word


class Fake(Protocol):
    """The venue's side of one connection."""

    book: Book

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the client; returns the venue's."""
