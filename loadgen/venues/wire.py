"""How the engine speaks to a venue: what a wire format must be able to do, and what an answer says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


class Meaning(Enum):
    """What an answer says about the operation."""

    OK = "executed"
    REJECT = "refused for good, not executed"
    UNAVAILABLE = "surely not executed now; may be tried again"
    DUPLICATE = "its id was seen before: ask for its status"
    UNKNOWN = "may or may not have been executed"


class ProtocolError(Exception):
    """The peer broke the protocol, or refused us; the connection is of no use. The message says how."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a venue listens."""

    host: str
    port: int
    path: str = "/"
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(slots=True)
class Answer:
    """One answer that is not a plain ok, or one whose fields the engine needs one by one.

    `number` is that of the operation. `asked`: it answers a status question; then `found` says whether the venue knows
    the operation, and `meaning` what became of it. `code` is the venue's own word, as the witness shows it.
    """

    number: int
    meaning: Meaning
    code: str | None = None
    asked: bool = False
    found: bool = True
    seq: int | None = None
    epoch: int | None = None
    server_id: bytes | None = None


@dataclass(slots=True)
class Inbox:
    """What one poll of all connections heard; the engine takes it and hands in an empty one.

    Plain oks come in bulk. Text protocols append `(digits, seq, epoch)` as bytes to `found`; protocols of fixed width
    append whole arrays to `bulk`: (numbers, seqs, epochs). A missing seq or epoch is 0. All others are in `answers`.
    """

    found: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    bulk: list[tuple[Ints, Ints, Ints]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def count(self) -> int:
        """How many entries it holds."""
        return len(self.found) + len(self.bulk) + len(self.answers)


class Conversation(Protocol):
    """One connection of one session, from the moment that TCP (and TLS) stands; holds no socket.

    `ready` becomes true when operations may be sent. Every method that gets bytes may raise ProtocolError.
    """

    ready: bool

    def greet(self) -> bytes:
        """The first bytes to send (upgrade request, logon); b"" where there are none (then `ready` is true at once)."""

    def feed(self, data: bytes, inbox: Inbox) -> bytes:
        """Take bytes of the peer, put what they say into `inbox`; returns bytes to send at once (b"" for none)."""

    def frame(self, numbers: Sequence[int], payloads: Sequence[bytes]) -> bytes:
        """The bytes on the wire of messages that `operation` or `status` rendered, in order.

        What only the connection knows (sequence number, checksum, which answer belongs to which request) is added here.
        """

    def ping(self) -> bytes:
        """Bytes that make a live peer answer; b"" where the protocol has none."""


class Wire(Protocol):
    """The wire format of one venue for one replay: renders operations, reads answers.

    A number is `shard * 100_000_000 + n` and stands in every id as ten digits.
    """

    endpoints: Sequence[Endpoint]
    prerendered: bool  # `window` gives bytes as they go out; else each operation is rendered when it is sent
    serial: bool  # a connection carries one request at a time (HTTP/1.1)
    needs_server_id: bool  # a cancel or amend names its order by the id that the venue gave it
    business: frozenset[str]  # codes of rejects that are a correct answer of a healthy venue

    def tick(self) -> None:
        """Take the wall clock anew, for timestamps and signatures."""

    def warm(self, rows: Sequence[int]) -> None:
        """Prepare what can be prepared of rows of the trace, before time counts."""

    def window(self, numbers: Ints, rows: Ints, parents: Ints, sent_ms: Ints) -> tuple[bytearray, Ints]:
        """Framed bytes of many operations, one behind the other, and where each starts (len + 1 offsets).

        `rows` of the trace, `parents`: number of the order each names (-1: none), `sent_ms`: wall time at which each
        goes out. Only called where `prerendered`.
        """

    def operation(self, number: int, row: int, parent: int, session: int, server_id: bytes | None) -> bytes:
        """The message of one operation, signed now; `server_id` is that of the order it names, where it is known."""

    def status(self, number: int, row: int, session: int) -> bytes | None:
        """The question what became of an operation; None where the venue cannot be asked."""

    def converse(self, session: int, target: Endpoint | None = None) -> Conversation:
        """A new conversation for a new connection of a session to one of `endpoints` (None: the first)."""
