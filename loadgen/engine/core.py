"""Open-loop replay: every operation goes out at its intended time, whatever became of those before it.

The engine holds no socket, no clock and no thread of its own: a transport, a clock and a seed are given, `tick` does
what is due. What becomes of an operation follows the outage behaviour:

* `drop`: one attempt. Without a connection it is not sent.
* `queue`: one attempt, held until its session has a connection.
* `retry-idempotent`: after "unavailable", a lost connection or a timeout the same ids are sent again, 50 ms to 400 ms
  apart, until 10 s after the intended time.

Whenever an operation may have been executed and no answer will tell, its status is asked for by id, until that is
answered or 10 s have passed.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Protocol

from loadgen.config import Outage
from loadgen.engine.ops import KINDS, OK, REJECT, UNKNOWN, Budget, Decided, Op, Phase
from loadgen.engine.pool import Answer, Event, Up
from loadgen.schedule import Schedule
from loadgen.venues.bybit_v5 import Meaning, classify

MS = 1_000_000
HORIZON_NS = 10_000 * MS
FIRST_BACK_OFF_NS, LAST_BACK_OFF_NS = 50 * MS, 400 * MS
AGAIN_PER_S = 2000
_BLOCK = 8192
_NEVER = 1 << 62


class Transport(Protocol):
    """What the engine needs of its connections."""

    def poll(self, now_ns: int) -> list[Event]:
        """What happened since the last call."""

    def ready(self, session: int) -> bool:
        """Whether a session may send."""

    def send(self, session: int, payloads: Sequence[bytes]) -> None:
        """Send messages of a ready session in one write."""


class Renderer(Protocol):
    """What the engine needs of the venue's wire format."""

    def tick(self) -> None:
        """Take the wall clock anew."""

    def operation(self, n: int, row: int, parent: int) -> bytes:
        """The message of operation n."""

    def status(self, n: int, kind: str) -> bytes:
        """The question what became of operation n."""

    def number(self, request_id: str) -> tuple[int, bool] | None:
        """(n, whether it answers a status question) of an answer."""


class State(Enum):
    """Where a replay stands."""

    RUNNING = "running"
    DRAINING = "draining"
    DONE = "done"


class Engine:
    """One replay of one schedule; call `tick` at least once a millisecond until `state` is DONE."""

    def __init__(
        self,
        schedule: Schedule,
        start_ns: int,
        transport: Transport,
        renderer: Renderer,
        clock: Callable[[], int],
        *,
        outage: Outage,
        timeout_ns: int,
        seed: int = 1,
        cursor: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.decided = Decided()
        self.lags_ns: list[int] = []  # of the operations handled since somebody cleared it
        self.state = State.RUNNING
        self.next = 0  # rows of the schedule that were begun
        self.scheduled = [0, 0, 0]  # operations whose time has come, by kind
        self.sent = [0, 0, 0]  # operations with at least one attempt, by kind
        self.undecided: dict[int, Op] = {}
        self._schedule, self._start_ns = schedule, start_ns
        self._transport, self._renderer, self._clock, self._cursor = transport, renderer, clock, cursor
        self._outage: Outage = outage
        self._timeout_ns = timeout_ns
        self._random = random.Random(seed)
        self._kinds = [KINDS.index(kind) for kind in schedule.trace.table["op"].to_pylist()]
        self._again: list[tuple[int, int, int, Op]] = []  # due, n, tries when queued
        self._held: list[deque[Op]] = [deque() for _ in range(schedule.sessions)]
        self._in_flight: list[dict[int, Op]] = [{} for _ in range(schedule.sessions)]
        self._deadlines: deque[tuple[int, int, Op]] = deque()  # deadline, tries when sent; all have one timeout
        self._batch: dict[int, list[Op]] = {}
        self._budget = Budget(AGAIN_PER_S, 50)
        self._block: list[tuple[int, int, int, int, int]] = []
        self._at = 0
        self._drain_until_ns = 0
        self._stopping = False

    def tick(self) -> None:
        """Handle what arrived, what timed out and what is due, and send it: one write a session."""
        now = self._clock()
        self._renderer.tick()
        for event in self._transport.poll(now):
            if isinstance(event, Answer):
                self._answer(event.message, now)
            elif isinstance(event, Up):
                self._up(event.session, now)
            else:
                self._down(event.session, now)
        self._expire(now)
        if self.state is State.RUNNING:
            self._begin_due(now)
        self._send_again(now)
        self._flush()
        if self.state is State.DRAINING and (not self.undecided or now >= self._drain_until_ns):
            self._finish_all(now)

    def stop(self) -> None:
        """Send nothing new and nothing again; what is in flight may be answered for one more timeout."""
        if self.state is State.DONE or self._stopping:
            return
        now = self._clock()
        if self.state is State.RUNNING:
            self._begin_due(now)  # up to this instant the schedule holds
            self._flush()
        self.state, self._stopping = State.DRAINING, True
        self._drain_until_ns = now + self._timeout_ns
        for op in list(self.undecided.values()):
            if op.phase is not Phase.IN_FLIGHT and not op.asking:
                self._give_up(op, now)

    # -- what is due -------------------------------------------------------------------------------------------------

    def _begin_due(self, now: int) -> None:
        elapsed = now - self._start_ns
        begun = self.next
        while True:
            if self._at == len(self._block) and not self._load_block():
                self.state = State.DRAINING
                self._drain_until_ns = now + 2 * (HORIZON_NS + self._timeout_ns)
                break
            offset, row, session, parent, prior = self._block[self._at]
            if offset > elapsed:
                break
            self._at += 1
            op = Op(self.next, row, self._kinds[row], session, parent, prior, self._start_ns + offset)
            op.until_ns = _NEVER if self._outage == "queue" else op.intended_ns + HORIZON_NS
            self.next += 1
            self.scheduled[op.kind] += 1
            self.undecided[op.n] = op
            self._begin(op, now)
        if self.next != begun:
            # before the first byte leaves: a row behind the cursor was surely not sent, one before it may have been
            self._cursor(self.next)

    def _load_block(self) -> bool:
        schedule, low = self._schedule, self.next
        if low >= len(schedule):
            return False
        columns = (schedule.offset_ns, schedule.row, schedule.session, schedule.parent, schedule.prior)
        self._block = list(zip(*(column[low : low + _BLOCK].tolist() for column in columns), strict=True))
        self._at = 0
        return True

    def _begin(self, op: Op, now: int) -> None:
        if self._transport.ready(op.session):
            self._attempt(op, now)
            return
        self.lags_ns.append(now - op.intended_ns)
        if self._outage == "drop":
            self._decide(op, UNKNOWN, -1, error="unsent")
        else:
            self._hold(op)

    # -- sending -----------------------------------------------------------------------------------------------------

    def _attempt(self, op: Op, now: int) -> None:
        """Send with this tick's batch; what still waits to be sent again on the same order goes before it."""
        chain = [op]
        before = None if op.asking else self.undecided.get(op.prior)
        while before and before.phase is Phase.WAITING and not before.asking and now < before.until_ns:
            chain.append(before)
            before = self.undecided.get(before.prior)
        for one in reversed(chain):
            one.phase = Phase.IN_FLIGHT
            one.tries += 1
            self._in_flight[one.session][one.n] = one
            self._batch.setdefault(one.session, []).append(one)

    def _flush(self) -> None:
        if not self._batch:
            return
        renderer = self._renderer
        for session, ops in self._batch.items():
            payloads = [
                renderer.status(op.n, KINDS[op.kind]) if op.asking else renderer.operation(op.n, op.row, op.parent)
                for op in ops
            ]
            now = self._clock()
            for op in ops:
                if not op.asking:
                    op.attempts += 1
                    if op.sent_ns is None:
                        op.sent_ns = now
                        self.sent[op.kind] += 1
                        if not op.held:
                            self.lags_ns.append(now - op.intended_ns)
                self._deadlines.append((now + self._timeout_ns, op.tries, op))
            self._transport.send(session, payloads)
        self._batch.clear()

    def _send_again(self, now: int) -> None:
        self._budget.refill(now)
        queue = self._again
        while queue and queue[0][0] <= now:
            _, _, tries, op = queue[0]
            if op.phase is not Phase.WAITING or tries != op.tries or op.n not in self.undecided:
                heapq.heappop(queue)
                continue
            if now >= op.until_ns:
                heapq.heappop(queue)
                self._give_up(op, now)
                continue
            if not self._budget.take():
                return
            heapq.heappop(queue)
            if self._transport.ready(op.session):
                self._attempt(op, now)
            else:
                self._hold(op)

    def _hold(self, op: Op) -> None:
        op.phase, op.held = Phase.HELD, True
        self._held[op.session].append(op)

    def _wait(self, op: Op, due_ns: int) -> None:
        op.phase = Phase.WAITING
        heapq.heappush(self._again, (due_ns, op.n, op.tries, op))

    # -- what happened -----------------------------------------------------------------------------------------------

    def _up(self, session: int, now: int) -> None:
        held, self._held[session] = self._held[session], deque()
        for op in held:
            if op.n in self.undecided:
                self._wait(op, now)

    def _down(self, session: int, now: int) -> None:
        lost, self._in_flight[session] = self._in_flight[session], {}
        for op in lost.values():
            self._failed(op, now, "disconnected", sure=False)

    def _expire(self, now: int) -> None:
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            _, tries, op = deadlines.popleft()
            if op.phase is Phase.IN_FLIGHT and op.tries == tries and op.n in self.undecided:
                self._failed(op, now, "timeout", sure=False)
        for held in self._held:
            while held and (held[0].n not in self.undecided or now >= held[0].until_ns):
                op = held.popleft()
                if op.n in self.undecided:
                    self._give_up(op, now)

    def _answer(self, message: dict[str, Any], now: int) -> None:
        found = self._renderer.number(str(message.get("reqId", "")))
        op = self.undecided.get(found[0]) if found else None
        if found is None or op is None:
            return  # a pong, or a late answer to what is decided
        code = int(message.get("retCode", -1))
        data = message.get("data") or {}
        if found[1]:
            self._status(op, code, data, now)
            return
        meaning = classify(code)
        if meaning is Meaning.OK:
            self._decide(op, OK, now, data)
        elif meaning is Meaning.REJECT:
            self._decide(op, REJECT, now, data, str(code))
        elif op.asking or op.phase is not Phase.IN_FLIGHT:
            return  # of an attempt that was given up before; the next one tells
        elif meaning is Meaning.DUPLICATE:
            op.cause = str(code)
            self._ask(op, now)
        else:
            self._failed(op, now, str(code), sure=meaning is Meaning.UNAVAILABLE)

    def _status(self, op: Op, code: int, data: dict[str, Any], now: int) -> None:
        if not op.asking:
            return
        if classify(code) is not Meaning.OK:
            self._failed(op, now, str(code), sure=True)
        elif not data.get("found"):
            self._decide(op, UNKNOWN, -1, error=op.cause)
        elif data.get("code"):
            self._decide(op, REJECT, now, data, str(data["code"]))
        else:
            self._decide(op, OK, now, data)

    def _failed(self, op: Op, now: int, cause: str, *, sure: bool) -> None:
        """An attempt, or a question, came to nothing; `sure`: it was certainly not executed."""
        self._in_flight[op.session].pop(op.n, None)
        if not op.asking:
            op.doubt = op.doubt or not sure
            op.cause = cause
        again = op.asking or (self._outage == "retry-idempotent" and not self._stopping)
        if not again or now >= op.until_ns:
            self._give_up(op, now)
            return
        back_off = min(LAST_BACK_OFF_NS, FIRST_BACK_OFF_NS << min(op.failures, 8))
        op.failures += 1
        self._wait(op, now + round(back_off * (0.75 + 0.5 * self._random.random())))

    def _give_up(self, op: Op, now: int) -> None:
        if op.asking:
            self._decide(op, UNKNOWN, -1, error="unresolved")
        elif op.sent_ns is None:
            self._decide(op, UNKNOWN, -1, error="unsent")
        elif op.doubt:
            self._ask(op, now)
        else:
            self._decide(op, REJECT, now, error=op.cause)

    def _ask(self, op: Op, now: int) -> None:
        self._in_flight[op.session].pop(op.n, None)
        op.asking, op.failures, op.until_ns = True, 0, now + HORIZON_NS
        self._wait(op, now)

    def _decide(
        self, op: Op, outcome: int, answered_ns: int, data: dict[str, Any] | None = None, error: str | None = None
    ) -> None:
        del self.undecided[op.n]
        self._in_flight[op.session].pop(op.n, None)
        data = data or {}
        self.decided.add(op, outcome, answered_ns, data.get("seq"), data.get("epoch"), error)

    def _finish_all(self, now: int) -> None:
        for op in list(self.undecided.values()):
            op.asking = op.asking or op.doubt or op.phase is Phase.IN_FLIGHT
            self._give_up(op, now)
        self.state = State.DONE
