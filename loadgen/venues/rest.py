"""What venues over HTTP have in common: a base class for their wires, also for those of others.

A subclass renders a row (`operation`), says what an answer means (`read`), and, where the venue can be asked what
became of an operation, renders that question (`status`). Requests come from `request`, questions from `question`: the
kind of bytes tells them apart when the answer comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from drills.errors import DefinitionError
from loadgen.trace import Trace
from loadgen.venues import http1
from loadgen.venues.endpoints import endpoints
from loadgen.venues.rows import Rows
from loadgen.venues.wire import Answer, Endpoint, Ints, Meaning

ORDER_KINDS = frozenset({"place", "cancel", "amend"})
_KEPT_ROWS = 200_000


class Request(bytes):
    """A rendered request that carries out an operation."""


class Question(Request):
    """A rendered request that asks what became of an operation."""


class RestWire:
    """See `loadgen.venues.wire.Wire`; `venue.rest` lists the venue's addresses, which share one path.

    `kinds` are the operations that the venue can carry out; `business` the codes of rejects that are a correct answer.
    """

    prerendered = False
    serial = True
    needs_server_id = False
    business: frozenset[str] = frozenset()
    kinds: frozenset[str] = ORDER_KINDS

    def __init__(
        self,
        trace: Trace,
        run_id: str,
        venue: Mapping[str, Any],
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.endpoints: Sequence[Endpoint] = endpoints(venue, "rest", "http", "https")
        self.base = self.endpoints[0].path.rstrip("/")
        if any(target.path.rstrip("/") != self.base for target in self.endpoints):
            raise DefinitionError("venue.rest", "the addresses differ in their path", hint="give all the same")
        self.rows = Rows(trace)
        self.now_ms = 0
        self.trace_name = trace.name
        self._prefix, self._wall = f"{run_id}-", wall
        self.tick()

    def tick(self) -> None:
        """Take the wall clock anew: `now_ms` is what requests carry until the next call."""
        self.now_ms = int(self._wall() * 1000)

    def warm(self, rows: Sequence[int]) -> None:
        """Prepare rows before time counts: nothing, unless the venue keeps parts of its requests."""

    def window(self, numbers: Ints, rows: Ints, parents: Ints, sent_ms: Ints) -> tuple[bytearray, Ints]:
        """Never called: every request is signed when it is sent."""
        raise NotImplementedError

    def operation(self, number: int, row: int, parent: int, session: int, server_id: bytes | None) -> bytes:
        """The request of one operation; a `Request`."""
        raise NotImplementedError

    def status(self, number: int, row: int, session: int) -> bytes | None:
        """The question what became of an operation, a `Question`; None: the venue cannot be asked."""
        return None

    def read(self, number: int, request: bytes, status: int, body: bytes) -> Answer:
        """What an answer means: any HTTP status, any body. A subclass goes first by what the venue says in the body."""
        return answer_of_status(number, request, status)

    def converse(self, session: int, target: Endpoint | None = None) -> http1.Http1:
        """A connection of a session, to `target` where that is known."""
        return http1.Http1(target or self.endpoints[session % len(self.endpoints)], self.read)

    def name(self, number: int) -> str:
        """The id of an operation, which is also the client id of the order that it places."""
        return f"{self._prefix}{number:010d}"

    def request(self, method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Request:
        """A request for a path (and query) below the venue's address."""
        return Request(http1.request(method, self.base + target, headers, body))

    def question(self, target: str, headers: Iterable[tuple[str, str]] = ()) -> Question:
        """A status question: GET of a path and query."""
        return Question(http1.request("GET", self.base + target, headers))

    def unsupported(self, row: int) -> DefinitionError:
        """The error for a row that the venue has no request for."""
        return DefinitionError(self.trace_name, f"row {row}: {self.rows.kind(row)}: no operation of this venue")


class Kept[T]:
    """What was rendered of each row, so far as memory should go."""

    def __init__(self, render: Callable[[int], T]) -> None:
        self._render = render
        self._kept: dict[int, T] = {}

    def of(self, row: int) -> T:
        """What `render` made of a row, now or before."""
        found = self._kept.get(row)
        if found is None:
            if len(self._kept) >= _KEPT_ROWS:
                self._kept.clear()  # a long trace: what was rendered longest ago is not needed soon
            found = self._kept[row] = self._render(row)
        return found


def meaning_of_status(status: int) -> Meaning:
    """What an HTTP status alone says.

    429 and 503 are sent instead of doing anything; any other failure of a server, and 408, leaves open what was done.
    """
    if status < 400:
        return Meaning.OK
    if status in (429, 503):
        return Meaning.UNAVAILABLE
    return Meaning.UNKNOWN if status >= 500 or status == 408 else Meaning.REJECT


def answer_of_status(number: int, request: bytes, status: int) -> Answer:
    """An answer of which only the HTTP status is known. To a question, that tells nothing: it may be put again."""
    meaning = meaning_of_status(status)
    code = None if meaning is Meaning.OK else f"HTTP {status}"
    if isinstance(request, Question):
        return Answer(number, Meaning.UNAVAILABLE, code or f"HTTP {status}", asked=True)
    return Answer(number, meaning, code)


def not_found(number: int) -> Answer:
    """The venue was asked, and does not know the operation."""
    return Answer(number, Meaning.OK, asked=True, found=False)


def json_object(body: bytes) -> dict[str, Any]:
    """A body as a JSON object; an empty one where it is anything else."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def whole_number(value: object) -> int | None:
    """A JSON number that fits into 63 bits, or None."""
    return value if type(value) is int and 0 <= value < 1 << 63 else None
