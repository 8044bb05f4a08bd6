"""Answers leave here: recorded in the truth log first, then written, once per tick of the loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sandbox.exchange.gateway_metrics import GatewayMetrics
from sandbox.exchange.gateway_requests import Reply


class Truth(Protocol):
    """What the outbox needs of a truth log."""

    def append(self, records: list[dict[str, Any]]) -> None:
        """Write records before their effect is visible."""


@dataclass(slots=True)
class Asked:
    """A request that wants an answer: who gets it, and what the truth log says about it.

    `kind` is place, cancel, amend, or another word for what is not an order; `recv_ns` when it arrived; `send`
    writes the reply and `alive` says whether there is anybody left to read it.
    """

    kind: str
    op_id: str
    link_id: str
    recv_ns: int
    send: Callable[[Reply], None]
    alive: Callable[[], bool]


class Outbox:
    """Collects the answers of one tick."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        truth: Truth,
        metrics: GatewayMetrics,
        fatal: Callable[[OSError], None],
    ) -> None:
        """`fatal` is told when the truth cannot be written: an answer must not go out then."""
        self._loop, self._truth, self._metrics, self._fatal = loop, truth, metrics, fatal
        self._waiting: list[tuple[Asked, Reply]] = []

    def put(self, asked: Asked, reply: Reply) -> None:
        """Answer `asked` at the end of this tick."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append((asked, reply))

    def flush(self) -> None:
        """Record, then write, everything that waits; who has gone gets neither."""
        waiting, self._waiting = self._waiting, []
        going = [(asked, reply) for asked, reply in waiting if asked.alive()]
        now_ns = time.monotonic_ns()
        rows = [_truth_row(asked, reply) for asked, reply in going]
        if not rows:
            return
        try:
            self._truth.append([{"t_ns": now_ns, "e": "reply", "r": rows}])
        except OSError as error:
            self._fatal(error)
            return
        for asked, reply in going:
            asked.send(reply)
            self._metrics.answered(asked.kind, reply.code, (now_ns - asked.recv_ns) / 1e9)


def _truth_row(asked: Asked, reply: Reply) -> list[Any]:
    """`[op_id, kind, code, seq, epoch, recv_ns]`; a status has the code of what it tells about."""
    data = reply.data
    code = int(data.get("code", reply.code))
    return [asked.op_id, asked.kind, code, data.get("seq", 0), data.get("epoch", 0), asked.recv_ns]
