"""The engine as a follower: read the log, stay hot, and claim the next epoch when its leader has fallen silent."""

import asyncio
import contextlib
import logging

from sandbox.exchange.engine_core import Core
from sandbox.exchange.engine_entries import Entry
from sandbox.exchange.leadership import Role
from sandbox.exchange.orderlog import LogBroken, LogUnavailable, Page, WrongLast

READ_TIMEOUT_S = 0.6
POLL_S = 0.02  # how late a standby may learn of an entry: adds to a failover, saves the bus a push per entry
_RETRY_S = 0.02
_MIRROR_POLL_S = 0.1
_COMMANDS_A_SLICE = 256  # about 10 ms of work, then the loop has its turn

_log = logging.getLogger(__name__)


class Follower:
    """Reads the log for one engine; used as well by a leader that has to find out what became of its publish."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._claim: Entry | None = None
        self._claim_sent = 0.0

    async def follow(self) -> None:
        """Follow the log until this engine leads."""
        core = self._core
        if core.leadership.role is Role.STARTING:
            core.replica.reset()  # what memory holds may never have been in the log
            core.truth.append([core.record("rebuild")])
        while not core.leading:
            try:
                more = await self.read_page()
                if core.leadership.role is Role.STARTING:
                    await self._look_at_the_log()
            except LogUnavailable as error:
                _log.debug("cannot read the log: %s", error)
                await asyncio.sleep(_RETRY_S)
                continue
            if more or core.leading:
                continue
            self._caught_up()
            if core.leadership.may_claim(core.now(), log_is_empty=core.replica.position == 0):
                await self._try_claim()
            else:
                await asyncio.sleep(POLL_S)

    async def read_page(self) -> bool:
        """Apply the next page; whether there is more to read at once. Raises LogUnavailable."""
        page = await self._core.log.read(self._core.replica.position + 1, READ_TIMEOUT_S)
        await self._apply(page)
        return page.more

    async def _apply(self, page: Page) -> None:
        core, budget = self._core, _COMMANDS_A_SLICE
        for sequence, payload in page.entries:
            followed = core.followed(sequence, payload)
            if self._claim is not None and followed.entry.id == self._claim.id and followed.in_force:
                self._won(sequence, followed.entry)
            budget -= len(followed.commands)
            if budget <= 0:
                budget = _COMMANDS_A_SLICE
                await asyncio.sleep(0)

    def _caught_up(self) -> None:
        core = self._core
        if core.leadership.role is Role.STARTING:
            core.leadership.caught_up(core.now())
            _log.info("caught up at command %d, log entry %d", core.replica.market.seq, core.replica.position)
            core.tell_gateways()

    async def _try_claim(self) -> None:
        """Append the next epoch. A claim that was not answered is repeated as it is, so that it is known as ours.

        Raises LogBroken when the log is shorter than what was read from it: it was made anew, or lost entries.
        """
        core = self._core
        if not await self._may_write():
            await asyncio.sleep(_MIRROR_POLL_S)
            return
        epoch = core.replica.epoch + 1
        if self._claim is None or self._claim.epoch != epoch:
            self._claim = Entry("lead", epoch, core.ids.next(), [], core.name)
        self._claim_sent = core.now()
        try:
            sequence = await core.log.append(
                self._claim.encode(), core.replica.position, timeout_s=core.leadership.lease_s / 2
            )
        except WrongLast as error:
            if error.actual < core.replica.position:
                raise LogBroken(f"{error}, but {core.replica.position} entries were read from it") from error
            _log.info("claim of epoch %d came too late: %s", epoch, error)
            await asyncio.sleep(_RETRY_S)
        except LogUnavailable as error:
            _log.debug("claim of epoch %d: %s", epoch, error)
            await asyncio.sleep(_RETRY_S)
        else:
            self._won(sequence, self._claim)

    async def _look_at_the_log(self) -> None:
        """Remember which log it is that is read; where the bus has no quorum it is read all the same."""
        with contextlib.suppress(LogUnavailable):
            await self._core.log.takes_entries(READ_TIMEOUT_S)

    async def _may_write(self) -> bool:
        """Whether the log takes entries from here; raises LogBroken when it is another than the one that was read."""
        try:
            return await self._core.log.takes_entries(READ_TIMEOUT_S)
        except LogUnavailable as error:
            _log.debug("claim: %s", error)
            return False

    def _won(self, sequence: int, entry: Entry) -> None:
        self._claim = None  # a later rebuild reads it again, and must not take it for a promotion
        self._core.promoted(sequence, entry, self._claim_sent)
