"""What the follower, the leader and the gateways' links of one engine share: state, role, and how answers leave.

The order of effects is fixed here: an entry is in the log, then in the truth log, then in an answer.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from sandbox.exchange.codes import RetCode
from sandbox.exchange.commands import Command, Result
from sandbox.exchange.engine_entries import Entry, EntryIds
from sandbox.exchange.engine_metrics import EngineMetrics
from sandbox.exchange.engine_replica import Followed, Replica, executed
from sandbox.exchange.leadership import Leadership, Role
from sandbox.exchange.orderlog import OrderLog
from sandbox.exchange.plants import Plants
from sandbox.truth.log import TruthLog

MAX_WAITING = 20_000  # commands a leader holds before it refuses more: what a stalled log may cost in memory

# Types of a command's fields: an entry that the market cannot digest would stop every engine that reads it.
_NONE = type(None)
_WELL_TYPED = {
    (int, str, str, str, str, str, str, str, price, int, str, parent)
    for price in (int, _NONE)
    for parent in (str, _NONE)
}

_log = logging.getLogger(__name__)


class Link(Protocol):
    """A gateway's connection, as answers see it; all gather what leaves at the end of the loop tick."""

    def reply(self, rid: int, result: Result) -> None:
        """Answer a command."""

    def answer(self, rid: int, status: dict[str, Any] | None) -> None:
        """Answer a status query."""

    def cannot_answer(self, rid: int) -> None:
        """Tell that a status query finds no leader here; it may be asked again."""

    def send_status(self, status: dict[str, Any]) -> None:
        """Tell who leads."""


@dataclass(frozen=True, slots=True)
class Order:
    """A command on its way: where its answer goes, and its row as it goes into the log."""

    link: Link
    rid: int
    command: Command
    row: list[Any]
    at: float


@dataclass(frozen=True, slots=True)
class Query:
    """A status query on its way: `kind` is "order" or "request"."""

    link: Link
    rid: int
    account: str
    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """An entry whose publish was not answered: whether it is in the log shows at `sequence`."""

    sequence: int
    entry: Entry
    orders: list[Order]
    queries: list[Query]


@dataclass
class Core:
    """One engine. `name` and `zone` identify it; times are seconds of CLOCK_MONOTONIC."""

    name: str
    zone: str
    log: OrderLog
    truth: TruthLog
    replica: Replica
    leadership: Leadership
    plants: Plants
    metrics: EngineMetrics
    ids: EntryIds = field(init=False)
    links: set[Link] = field(default_factory=set)
    orders: deque[Order] = field(default_factory=deque)
    queries: deque[Query] = field(default_factory=deque)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    doubt: Doubt | None = None
    resigning: bool = False
    clock: Callable[[], float] = time.monotonic
    on_taken: Callable[[list[Order]], None] | None = None

    def __post_init__(self) -> None:
        self.ids = EntryIds(self.name)

    @property
    def leading(self) -> bool:
        """Whether this engine leads."""
        return self.leadership.leading

    def now(self) -> float:
        """The clock of every lease."""
        return self.clock()

    def record(self, event: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - values of a JSON record
        """A record of the truth log."""
        return {"t_ns": time.monotonic_ns(), "e": event, "instance": self.name, "epoch": self.replica.epoch, **fields}

    def status(self) -> dict[str, Any]:
        """The body of GET /status."""
        market = self.replica.market
        return {
            "instance": self.name,
            "zone": self.zone,
            "role": str(self.leadership.role),
            "epoch": self.replica.epoch,
            "leader": self.replica.leader,
            "applied_seq": market.seq,
            "stream_seq": self.replica.position,
            "hash": market.hash.hex(),
            "stream": self.log.stream,
            "fenced": self.leadership.fenced,
            "lease_age_ms": round(self.leadership.age(self.now()) * 1000),
            "clock": time.time(),
        }

    def tell_gateways(self) -> None:
        """Send every gateway who leads."""
        status = self.link_status()
        for link in self.links:
            link.send_status(status)

    def link_status(self) -> dict[str, Any]:
        """What gateways are told."""
        return {
            "instance": self.name,
            "leader": self.leading,
            "epoch": self.replica.epoch,
            "applied": self.replica.market.seq,
        }

    def submit(self, link: Link, rows: list[list[Any]]) -> None:
        """Take commands in; whoever does not lead refuses them, they are surely not executed."""
        now = self.now()
        taken: list[Order] = []
        for row in rows:
            if not self.leading or self.told_to_go or len(self.orders) + len(taken) >= MAX_WAITING:
                self.refuse(link, row[0])
                continue
            fields = row[1:]
            if tuple(map(type, fields)) not in _WELL_TYPED:
                _log.warning("refused a command that is none: %r", row)
                self.refuse(link, row[0], RetCode.BAD_REQUEST)
                continue
            taken.append(Order(link, row[0], Command.from_row(fields), fields, now))
        if taken:
            self.orders.extend(taken)
            self.arrived.set()
            if self.on_taken is not None:
                self.on_taken(taken)

    def ask(self, link: Link, rows: list[list[Any]]) -> None:
        """Take status queries in; they are answered with the next entry of the log: by then nobody else leads."""
        for rid, account, kind, id_ in rows:
            if self.leading:
                self.queries.append(Query(link, rid, account, kind, id_))
            else:
                link.cannot_answer(rid)
        self.arrived.set()

    def refuse(self, link: Link, rid: int, code: int = RetCode.UNAVAILABLE) -> None:
        """Answer that this was surely not executed."""
        link.reply(rid, Result(int(code), 0, self.replica.epoch, "", "", 0))
        self.metrics.refused.inc()

    def _refuse_all(self, orders: Iterable[Order], queries: Iterable[Query]) -> None:
        for order in orders:
            self.refuse(order.link, order.rid)
        for query in queries:
            query.link.cannot_answer(query.rid)

    def answer(self, queries: list[Query]) -> None:
        """Answer queries from the state applied so far."""
        market = self.replica.market
        for query in queries:
            query.link.answer(query.rid, market.status_of(query.account, query.kind, query.id))

    def followed(self, sequence: int, payload: bytes) -> Followed:
        """Apply an entry that was read from the log; settles a doubt, and ends a leadership that is over."""
        followed = self.replica.follow(sequence, payload)
        if followed.in_force and not self.leading:
            self.leadership.seen(self.now())
        if followed.entry.kind == "resign" and followed.in_force and followed.entry.instance != self.name:
            self.leadership.vacated()
        self._settle(sequence, followed)
        if followed.entry.kind == "lead" and followed.in_force:
            self._epoch_began(followed)
        return followed

    def committed(self, sequence: int, orders: list[Order], queries: list[Query]) -> None:
        """An entry of ours is in the log: apply it, and let its answers go."""
        self.replica.position = sequence
        commands = [order.command for order in orders]
        self._release(commands, self.replica.apply(commands), orders, queries)

    def promoted(self, sequence: int, entry: Entry, sent: float) -> None:
        """Our `lead` entry is in the log: lead from here on."""
        inherited = self.replica.last_batch
        self.replica.begin(sequence, entry)
        self._settle(sequence, None)
        records = [self.record("lead", seq=self.replica.market.seq, stream_seq=sequence)]
        if inherited is not None:
            # The last batch of a leader that died between PubAck and its own record is executed all the same.
            records.insert(0, self.batch_record("batch", inherited.executed, inherited.results) | {"inherited": True})
        self.truth.append(records)
        self.leadership.promoted(sent)
        self.metrics.promotions.inc()
        _log.info("leads with epoch %d from command %d on", entry.epoch, self.replica.market.seq)
        self.tell_gateways()

    @property
    def told_to_go(self) -> bool:
        """Whether a leader has to go because it was told to."""
        return self.resigning or self.leadership.fenced

    def step_down(self, reason: str) -> None:
        """Stop leading; what was not published is refused, what is in doubt stays open."""
        self.resigning = False
        self.truth.append([self.record("stepdown", reason=reason)])
        self.leadership.stepped_down(self.now(), rebuild=self.plants.own_memory_first)
        self.metrics.stepdowns.inc()
        _log.warning("steps down from epoch %d: %s", self.replica.epoch, reason)
        self.tell_gateways()
        self._refuse_all(() if self.plants.early_reply else self.orders, self.queries)  # early ones have their answers
        self.orders.clear()
        self.queries.clear()

    def _settle(self, sequence: int, followed: Followed | None) -> None:
        """Close the doubt once the entry at its place is known; `None` means that it is our own `lead` entry."""
        doubt = self.doubt
        if doubt is None or sequence < doubt.sequence:
            return
        self.doubt = None
        if followed is not None and followed.entry.id == doubt.entry.id:
            self._release(followed.commands, followed.results, doubt.orders, doubt.queries)
            return
        self._refuse_all(doubt.orders, doubt.queries)
        if self.leading:
            self.step_down("another entry stands where ours was to go")

    def _release(
        self, commands: list[Command], results: list[Result], orders: list[Order], queries: list[Query]
    ) -> None:
        """Record what was executed, then answer it."""
        if results:
            self.truth.append([self.batch_record("batch", executed(commands, results), results)])
        for order, result in zip(orders, results, strict=True):
            order.link.reply(order.rid, result)
        self.answer(queries)

    def batch_record(self, event: str, ops: list[str], results: list[Result]) -> dict[str, Any]:
        """The truth about some commands in a row: `ops` are those that were executed."""
        return self.record(event, first=results[0].seq, last=results[-1].seq, ops=ops) | {"epoch": results[0].epoch}

    def _epoch_began(self, followed: Followed) -> None:
        if self.leading:
            self.step_down(f"{followed.entry.instance} leads with epoch {followed.entry.epoch}")
        elif self.leadership.role is not Role.STARTING:
            _log.info("follows %s, epoch %d", followed.entry.instance, followed.entry.epoch)
