"""The engine as the leader: the single writer of the log.

One entry is under way at a time: commands that arrive meanwhile gather for the next one, so that a slow link to the
bus costs latency and not throughput. An entry that was not
answered is published again as it is; when the compare-and-set then fails, the log tells whether it was ours.
"""

import asyncio
import logging

from sandbox.exchange.engine_core import Core, Doubt, Order, Query
from sandbox.exchange.engine_entries import Entry, Kind
from sandbox.exchange.engine_follow import Follower
from sandbox.exchange.orderlog import LogUnavailable, WrongLast
from sandbox.exchange.plants import ZOMBIE_S

BATCH = 64  # commands that end the wait for company
MAX_ENTRY = 1024  # commands in one entry: more than a batch only when they piled up behind a slow publish
LINGER_S = 0.002  # how long the first command of a batch waits for company
_WHOLE_MS = 0.001  # the loop's timers are whole milliseconds: a shorter sleep would only spin
_RETRY_S = 0.02

_log = logging.getLogger(__name__)


class Leader:
    """Writes the log for one engine as long as it leads."""

    def __init__(self, core: Core, follower: Follower) -> None:
        self._core = core
        self._follower = follower

    async def lead(self) -> None:
        """Lead until this engine has stepped down."""
        core = self._core
        while core.leading:
            await self.gather()
            if core.leadership.fenced:
                core.step_down("fenced")
            elif self.lease_is_over():
                core.step_down("nothing of it came into the log for a lease")
            elif core.resigning:
                await self.resign()
            elif core.leading:
                await self.write(*self.take())

    async def gather(self) -> None:
        """Wait for commands or queries, and a moment more for company; at most until a heartbeat is due."""
        core = self._core
        if not core.orders and not core.queries and not core.told_to_go:
            core.arrived.clear()
            try:
                async with asyncio.timeout(max(_WHOLE_MS, core.leadership.beat_in(core.now()))):
                    await core.arrived.wait()
            except TimeoutError:
                return
        if core.orders and len(core.orders) < BATCH:
            linger = core.orders[0].at + LINGER_S - core.now()
            if linger >= _WHOLE_MS:
                await asyncio.sleep(linger)

    def take(self) -> tuple[list[Order], list[Query]]:
        """What goes with the next entry: the commands that wait, and every query."""
        core = self._core
        orders = [core.orders.popleft() for _ in range(min(MAX_ENTRY, len(core.orders)))]
        queries = list(core.queries)
        core.queries.clear()
        return orders, queries

    def lease_is_over(self) -> bool:
        """Whether somebody else may lead by now."""
        return self._core.leadership.expired(self._core.now())

    async def resign(self) -> None:
        """Leave in order: bring what has arrived into the log, and last that nobody leads from here on."""
        core = self._core
        while core.leading and (core.orders or core.queries):
            await self.write(*self.take())
        if core.leading:
            await self.append(Entry("resign", core.replica.epoch, core.ids.next(), [], core.name), [], [])
        if core.leading:
            core.step_down("asked to resign")

    async def write(self, orders: list[Order], queries: list[Query]) -> None:
        """Bring one entry into the log and answer what it carried; a heartbeat when it carries no commands."""
        core = self._core
        kind: Kind = "batch" if orders else "beat"
        await self.append(Entry(kind, core.replica.epoch, core.ids.next(), [o.row for o in orders]), orders, queries)

    async def append(self, entry: Entry, orders: list[Order], queries: list[Query]) -> None:
        """Bring this entry into the log and answer what it carries, or step down over it."""
        core = self._core
        payload = entry.encode()
        while True:
            sent = core.now()
            try:
                sequence = await self.publish(payload)
            except WrongLast as error:
                self.doubt(entry, orders, queries)
                _log.info("entry %s: %s", entry.id, error)
                await self.find_out()
                if core.leading:  # it was ours, and at the end of the log nobody else led when this was sent
                    core.leadership.confirmed(sent)
                return
            except LogUnavailable as error:
                _log.debug("entry %s: %s", entry.id, error)
                if core.leadership.fenced or self.lease_is_over():
                    self.doubt(entry, orders, queries)
                    core.step_down("fenced" if core.leadership.fenced else "the log did not answer for a lease")
                    return
                await asyncio.sleep(_RETRY_S)
                continue
            core.metrics.appended(len(orders), core.now() - sent)
            core.leadership.confirmed(sent)
            self.settle(sequence, entry, orders, queries)
            return

    async def publish(self, payload: bytes) -> int:
        """One attempt to append, fenced by what this engine has read of the log."""
        return await self._core.log.append(
            payload, self._core.replica.position, timeout_s=self._core.leadership.lease_s / 2
        )

    def settle(self, sequence: int, entry: Entry, orders: list[Order], queries: list[Query]) -> None:
        """The entry is in the log: apply it, and let its answers go."""
        self._core.committed(sequence, orders, queries)

    def doubt(self, entry: Entry, orders: list[Order], queries: list[Query]) -> None:
        """Whether the entry is in the log is not known; the entry at its place will tell."""
        core = self._core
        core.doubt = Doubt(core.replica.position + 1, entry, orders, queries)

    async def find_out(self) -> None:
        """Read on until the entry in doubt is settled, for a lease at most.

        The bus also counts what it has only proposed to its replicas, so the entry that stood in the way may come
        late, or never when the bus elects another leader first; then the doubt stays open for whoever writes next.
        """
        core = self._core
        while core.leading and core.doubt is not None:
            position = core.replica.position
            try:
                await self._follower.read_page()
            except LogUnavailable as error:
                _log.debug("entry in doubt: %s", error)
            if core.replica.position > position:
                continue
            if core.leadership.fenced or self.lease_is_over():
                core.step_down("what became of its entry could not be read for a lease")
                return
            await asyncio.sleep(_RETRY_S)


class UnfencedLeader(Leader):
    """Planted (W03): publishes wherever the log ends, and looks for a newer epoch only two seconds after a gap."""

    def __init__(self, core: Core, follower: Follower) -> None:
        super().__init__(core, follower)
        self._gap: tuple[float, int] | None = None

    def lease_is_over(self) -> bool:
        """Never by its own clock."""
        return False

    async def publish(self, payload: bytes) -> int:
        """Append without the expected sequence; a gap to the last entry known means that somebody else writes."""
        core = self._core
        sequence = await core.log.append(payload, None, timeout_s=core.leadership.lease_s / 2)
        if sequence != core.replica.position + 1 and self._gap is None:
            self._gap = (core.now(), core.replica.position + 1)
        return sequence

    async def write(self, orders: list[Order], queries: list[Query]) -> None:
        """Write as ever, and give up once the gap is old enough and held a newer epoch."""
        await super().write(orders, queries)
        core = self._core
        if self._gap is None or core.now() - self._gap[0] < ZOMBIE_S:
            return
        first, self._gap = self._gap[1], None
        newest = await self._newest_epoch(first, core.replica.position)
        if core.leading and newest > core.replica.epoch:
            core.step_down(f"epoch {newest} is in force")

    async def _newest_epoch(self, first: int, last: int) -> int:
        newest = 0
        while first <= last:
            try:
                page = await self._core.log.read(first, self._core.leadership.lease_s / 2)
            except LogUnavailable:
                await asyncio.sleep(_RETRY_S)
                continue
            for sequence, payload in page.entries:
                entry = Entry.decode(payload)
                newest = max(newest, entry.epoch if entry.kind == "lead" else 0)
                first = sequence + 1
        return newest
