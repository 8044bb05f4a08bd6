"""Planted (W01): a leader that answers from its own memory at once and brings it into the log 50 ms later."""

import asyncio
from collections import deque

from sandbox.exchange.commands import Result
from sandbox.exchange.engine_core import Core, Order, Query
from sandbox.exchange.engine_entries import Entry
from sandbox.exchange.engine_follow import Follower
from sandbox.exchange.engine_lead import Leader
from sandbox.exchange.engine_replica import executed
from sandbox.exchange.plants import REPLICATE_LATE_S


class EarlyLeader(Leader):
    """Executes and answers on arrival; what it has answered and not yet written dies with it."""

    def __init__(self, core: Core, follower: Follower) -> None:
        super().__init__(core, follower)
        self._results: deque[Result] = deque()
        core.on_taken = self.answer_at_once

    async def lead(self) -> None:
        """Lead until stepped down; what was not written by then is forgotten."""
        await super().lead()
        self._results.clear()

    def answer_at_once(self, orders: list[Order]) -> None:
        """Execute and answer what has just arrived."""
        core = self._core
        commands = [order.command for order in orders]
        results = core.replica.apply(commands)
        self._results.extend(results)
        core.truth.append([core.batch_record("early", executed(commands, results), results)])
        for order, result in zip(orders, results, strict=True):
            order.link.reply(order.rid, result)

    async def gather(self) -> None:
        """Replicate late: an early answer that left together with its publish would hardly ever be lost."""
        await super().gather()
        if self._core.orders:
            await asyncio.sleep(REPLICATE_LATE_S)

    def take(self) -> tuple[list[Order], list[Query]]:
        """Everything that was answered meanwhile goes in one entry."""
        core = self._core
        orders, queries = list(core.orders), list(core.queries)
        core.orders.clear()
        core.queries.clear()
        return orders, queries

    def settle(self, sequence: int, entry: Entry, orders: list[Order], queries: list[Query]) -> None:
        """The entry is in the log; its commands were executed and answered long ago."""
        core = self._core
        core.replica.position = sequence
        results = [self._results.popleft() for _ in orders]
        if results:
            commands = [order.command for order in orders]
            core.truth.append([core.batch_record("batch", executed(commands, results), results)])
        core.answer(queries)

    def doubt(self, entry: Entry, orders: list[Order], queries: list[Query]) -> None:
        """Nothing is kept in doubt: the answers are out."""

    async def find_out(self) -> None:
        """Somebody else wrote: drop the memory that ran ahead."""
        self._core.step_down("the log does not end where this engine left it")
