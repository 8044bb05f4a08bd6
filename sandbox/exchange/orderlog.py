"""The order log: one JetStream stream, written by compare-and-set and read in order.

In a second region the stream is the mirror of the first one's, which nobody can write until it is promoted.
Writing is one message with `Nats-Expected-Last-Sequence`: whoever does not know the end of the log cannot
write, so a publish that is repeated, delayed in a proxy or flushed after a reconnect can never do harm.
Reading asks for pages by sequence (direct get, answered by any replica): there is no consumer that could die
with the node that holds it, and a follower of the log needs neither the stream's nor the cluster's Raft leader.

LogError
├── LogUnavailable   no answer: whether a publish was appended is not known
├── WrongLast        surely not appended: the log has grown (or a repeated publish had been appended before)
└── LogBroken        what was read before is no longer in the log: rebuild, never go on
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import nats
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

STREAM = "ORD"
SUBJECT = "ord.tyo"
_WRONG_LAST = 10071  # JetStream's err_code for a failed compare-and-set
_PAGE_MESSAGES = 2_000
_PAGE_BYTES = 262_144  # about 2,000 commands: some tens of milliseconds to apply
_PING_S = 0.5
_CONNECT_S = 0.5
_RECONNECT_WAIT_S = 0.05

_log = logging.getLogger(__name__)


class LogError(Exception):
    """The order log did not do what was asked."""


class LogUnavailable(LogError):
    """No answer from the bus; a publish may or may not have been appended."""


class WrongLast(LogError):
    """The compare-and-set failed; `actual` is the last sequence the log has."""

    def __init__(self, actual: int) -> None:
        super().__init__(f"the last sequence of the log is {actual}")
        self.actual = actual


class LogBroken(LogError):
    """The log lost entries that this process has read."""


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in stream order as (sequence, payload), and whether the replica had more than these."""

    entries: list[tuple[int, bytes]]
    more: bool


@dataclass(slots=True)
class _Waiting:
    """One request under way: the future of its answer, and what has arrived of a page."""

    answer: asyncio.Future[Msg]
    entries: list[tuple[int, bytes]] = field(default_factory=list)


class OrderLog:
    """A connection to the order bus over several links, of which one is used at a time."""

    def __init__(self, servers: Sequence[str], name: str, stream: str = STREAM) -> None:
        """`servers` are `host:port`, the preferred one first; `name` is shown by the bus; `stream` holds the log."""
        self.stream = stream
        self._created: str | None = None
        self._servers = [f"nats://{server}" for server in servers]
        self._name = name
        self._nc: Client | None = None
        self._inbox = ""
        self._serial = 0
        self._waiting: dict[str, _Waiting] = {}
        self.reconnects = 0

    async def connect(self) -> None:
        """Connect to the first server that answers, trying all of them again and again until one does."""
        self._nc = await nats.connect(
            self._servers,
            name=self._name,
            dont_randomize=True,
            connect_timeout=_CONNECT_S,
            reconnect_time_wait=_RECONNECT_WAIT_S,
            max_reconnect_attempts=-1,
            ping_interval=_PING_S,
            max_outstanding_pings=2,
            pending_size=0,  # nothing is kept for later while disconnected: append fails at once instead
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnect,
            reconnected_cb=self._on_reconnect,
        )
        self._inbox = self._nc.new_inbox()
        await self._nc.subscribe(f"{self._inbox}.*", cb=self._on_message)

    @property
    def connected(self) -> bool:
        """Whether a link to the bus is up."""
        return self._nc is not None and self._nc.is_connected

    async def append(self, payload: bytes, expected: int | None, timeout_s: float) -> int:
        """Append one entry if the log ends at `expected` (`None`: wherever it ends); return its sequence.

        Raises WrongLast when it was surely not appended by this call, LogUnavailable when that is not known.
        """
        headers = None if expected is None else {"Nats-Expected-Last-Sequence": str(expected)}
        message = await self._ask(SUBJECT, payload, timeout_s, headers)
        if message.headers and not message.data:
            raise LogUnavailable(f"no stream answers on {SUBJECT}")
        answer = orjson.loads(message.data)
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
        if error.get("err_code") == _WRONG_LAST:
            raise WrongLast(int(error["description"].rsplit(" ", 1)[1]))
        raise LogUnavailable(f"{error.get('description')} ({error.get('err_code')})")

    async def read(self, first: int, timeout_s: float) -> Page:
        """Read the next page from sequence `first` on; empty when the answering replica has nothing there yet.

        Raises LogUnavailable when no whole page came in `timeout_s`, LogBroken when entries are missing in it.
        """
        query = orjson.dumps({"seq": first, "batch": _PAGE_MESSAGES, "max_bytes": _PAGE_BYTES})
        entries: list[tuple[int, bytes]] = []
        end = await self._ask(f"$JS.API.DIRECT.GET.{self.stream}", query, timeout_s, None, entries)
        status = (end.headers or {}).get("Status")
        if status == "404":
            return Page([], more=False)
        if status == "503":
            await self._allow_pages()
        if status != "204":
            raise LogUnavailable(f"reading {self.stream} was answered by status {status}")
        for offset, (sequence, _) in enumerate(entries):
            if sequence != first + offset:
                raise LogBroken(f"entry {first + offset} of {self.stream} is missing: the next one is {sequence}")
        return Page(entries, more=(end.headers or {}).get("Nats-Num-Pending", "0") != "0")

    async def takes_entries(self, timeout_s: float) -> bool:
        """Whether the stream may be written: False as long as it is the mirror of another.

        Raises LogUnavailable when the bus does not tell, LogBroken when the stream is not the one that it was at the
        first call: it was made anew, and what was read of it may never have been in this one.
        """
        info = orjson.loads((await self._ask(f"$JS.API.STREAM.INFO.{self.stream}", b"", timeout_s, None)).data or b"{}")
        if "created" not in info:
            raise LogUnavailable(f"{self.stream}: {info.get('error', {}).get('description', 'no answer')}")
        self._created = self._created or info["created"]
        if info["created"] != self._created:
            raise LogBroken(f"{self.stream} of {self._created} is gone, another was made at {info['created']}")
        return "mirror" not in info["config"]

    async def close(self) -> None:
        """Drop the connection; requests under way fail with LogUnavailable."""
        if self._nc is not None:
            await self._nc.close()

    async def _ask(
        self,
        subject: str,
        payload: bytes,
        timeout_s: float,
        headers: dict[str, str] | None,
        entries: list[tuple[int, bytes]] | None = None,
    ) -> Msg:
        """Send one request and wait for its (last) answer; a request without one moves on to the next link."""
        if self._nc is None or not self._nc.is_connected:
            raise LogUnavailable("not connected to the order bus")
        self._serial += 1
        token = str(self._serial)
        waiting = _Waiting(asyncio.get_running_loop().create_future(), [] if entries is None else entries)
        self._waiting[token] = waiting
        try:
            await self._nc.publish(subject, payload, reply=f"{self._inbox}.{token}", headers=headers)
            async with asyncio.timeout(timeout_s):
                return await waiting.answer
        except TimeoutError:
            await self._nc.force_reconnect()
            raise LogUnavailable(f"no answer on {subject} in {timeout_s} s") from None
        except NatsError as error:
            raise LogUnavailable(f"{type(error).__name__}: {error}") from error
        finally:
            del self._waiting[token]

    async def _allow_pages(self) -> None:
        """Nobody serves pages: there is no stream yet, or it was made without direct gets, which we then switch on."""
        assert self._nc is not None
        stream = self._nc.jetstream(timeout=_CONNECT_S)
        try:
            config = (await stream.stream_info(self.stream)).config
            if not config.allow_direct:
                await stream.update_stream(config.evolve(allow_direct=True))
        except (NatsError, TimeoutError) as error:
            _log.info("stream %s is not there: %s", self.stream, error)

    async def _on_message(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject[len(self._inbox) + 1 :])
        if waiting is None or waiting.answer.done():
            return  # the answer to a request that was given up
        headers = message.headers
        if headers and "Status" not in headers:
            waiting.entries.append((int(headers["Nats-Sequence"]), message.data))
        else:
            waiting.answer.set_result(message)

    async def _on_error(self, error: Exception) -> None:
        _log.info("order bus: %s: %s", type(error).__name__, error)

    async def _on_disconnect(self) -> None:
        for waiting in self._waiting.values():
            if not waiting.answer.done():
                waiting.answer.set_exception(LogUnavailable("the link to the order bus was lost"))

    async def _on_reconnect(self) -> None:
        self.reconnects += 1
        _log.info("order bus: connected again (%d)", self.reconnects)
