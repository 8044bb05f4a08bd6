"""Operations that did not go smoothly, looked after one by one until each is decided.

What becomes of an operation follows the outage behaviour:

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
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from loadgen.config import Outage, Unanswered
from loadgen.engine.ops import DECIDED, OK, REJECT, UNKNOWN, WATCHED, Budget, Op, Phase, Progress
from loadgen.schedule import Schedule, op_number
from loadgen.venues.wire import Answer, Ints, Meaning, Wire

MS = 1_000_000
HORIZON_NS = 10_000 * MS
FIRST_BACK_OFF_NS, LAST_BACK_OFF_NS = 50 * MS, 400 * MS
AGAIN_PER_S = 2000
_NEVER = 1 << 62


class Sender(Protocol):
    """What is needed of the connections."""

    def ready(self, session: int) -> bool:
        """Whether a session may send."""

    def send(self, session: int, numbers: Sequence[int], payloads: Sequence[bytes]) -> None:
        """Send rendered messages of a ready session in one write."""


@dataclass(slots=True)
class Correlation:
    """Cancels and amends whose order had no id of the venue yet when their time came."""

    held: int = 0
    skipped: int = 0
    sent_anyway: int = 0


@dataclass(slots=True)
class Terms:
    """How a replay treats its operations; times in ns."""

    outage: Outage
    timeout_ns: int
    unanswered: Unanswered = "hold"
    seed: int = 1


@dataclass(slots=True)
class Noted:
    """What happened to watched operations since somebody looked."""

    decided: list[int] = field(default_factory=list)  # n
    lags_ns: list[int] = field(default_factory=list)


class Watch:
    """The watched operations of one replay."""

    def __init__(
        self,
        schedule: Schedule,
        progress: Progress,
        kinds: npt.NDArray[np.int8],
        start_ns: int,
        sender: Sender,
        wire: Wire,
        clock: Callable[[], int],
        terms: Terms,
        sent: Ints,
    ) -> None:
        self.ops: dict[int, Op] = {}
        self.noted = Noted()
        self.correlation = Correlation()
        self.stopping = False
        self._schedule, self._progress, self._kinds, self._start_ns = schedule, progress, kinds, start_ns
        self._sender, self._wire, self._clock, self._terms = sender, wire, clock, terms
        self._sent = sent  # operations with at least one attempt, by kind: the engine's own
        self._base = op_number(schedule.shard[0], 0)
        self._random = random.Random(terms.seed)
        self._again: list[tuple[int, int, int, Op]] = []  # due, n, tries when queued
        self._held: dict[int, deque[Op]] = {}  # by session
        self._in_flight: dict[int, dict[int, Op]] = {}  # by session
        self._orphans: dict[int, deque[Op]] = {}  # by the n of the order whose id they wait for
        self._deadlines: deque[tuple[int, int, Op]] = deque()  # deadline, tries when sent; all have one timeout
        self._batch: dict[int, list[Op]] = {}
        self._budget = Budget(AGAIN_PER_S, 50)

    def adopt(self, n: int) -> Op:
        """Look after an operation whose first attempt is on its way."""
        op = self._make(n)
        op.sent_ns, op.attempts, op.tries, op.phase = int(self._progress.sent_ns[n]), 1, 1, Phase.IN_FLIGHT
        self._in_flight.setdefault(op.session, {})[n] = op
        return op

    def begin(self, n: int, now: int) -> None:
        """Look after an operation from its beginning."""
        op = self._make(n)
        if self._waits_for_its_order(op, now):
            return
        if self._sender.ready(op.session):
            self._attempt(op, now)
            return
        self.noted.lags_ns.append(now - op.intended_ns)
        if self._terms.outage == "drop":
            self._decide(op, UNKNOWN, 0, error="unsent")
        else:
            self._hold(op)

    def tick(self, now: int) -> None:
        """Give up what is too late, send again what is due; `flush` does the writing."""
        self._expire(now)
        self._send_again(now)

    def flush(self) -> None:
        """Write what is to be sent, one write a session."""
        batch, self._batch = self._batch, {}
        for session, taken in batch.items():
            # the answer to an earlier attempt, or the end of the connection, may have come since they were taken
            ops = [op for op in taken if op.n in self.ops and op.phase is Phase.IN_FLIGHT]
            rendered = [(op, payload) for op in ops if (payload := self._render(op)) is not None]
            now = self._clock()
            for op, _ in rendered:
                if not op.asking:
                    self._left(op, now)
                self._deadlines.append((now + self._terms.timeout_ns, op.tries, op))
            for op in ops:
                if op.asking and not any(op is one for one, _ in rendered):
                    self._decide(op, UNKNOWN, 0, error=op.cause)  # the venue cannot be asked
            if rendered:
                self._sender.send(session, [self._base + op.n for op, _ in rendered], [text for _, text in rendered])

    def stop(self, now: int) -> None:
        """Nothing is sent again; what is in flight or asked for may still be answered."""
        self.stopping = True
        for op in list(self.ops.values()):
            if op.phase is not Phase.IN_FLIGHT and not op.asking:
                self._give_up(op, now)

    def finish(self, now: int) -> None:
        """Decide everything as it stands."""
        for op in list(self.ops.values()):
            op.asking = op.asking or op.doubt or op.phase is Phase.IN_FLIGHT
            self._give_up(op, now)

    # -- sending -----------------------------------------------------------------------------------------------------

    def _make(self, n: int) -> Op:
        schedule = self._schedule
        op = Op(
            n,
            int(schedule.row[n]),
            int(self._kinds[n]),
            int(schedule.session[n]),
            int(schedule.parent[n]),
            int(schedule.prior[n]),
            self._start_ns + int(schedule.offset_ns[n]),
        )
        op.until_ns = _NEVER if self._terms.outage == "queue" else op.intended_ns + HORIZON_NS
        self.ops[n] = op
        self._progress.state[n] = WATCHED
        return op

    def _waits_for_its_order(self, op: Op, now: int) -> bool:
        """Whether an operation cannot go out, as its order has no id of the venue yet."""
        if not self._wire.needs_server_id or op.parent < 0 or op.parent in self._progress.server_ids:
            return False
        order = int(self._progress.state[op.parent])
        if self._terms.unanswered == "hold" and order != DECIDED:
            self.correlation.held += 1
            op.phase, op.held, op.cause = Phase.HELD, True, "no-order-id"
            self._orphans.setdefault(op.parent, deque()).append(op)
            return True
        if self._terms.unanswered == "send-anyway":
            self.correlation.sent_anyway += 1
            return False
        self.correlation.skipped += 1
        self.noted.lags_ns.append(now - op.intended_ns)
        self._decide(op, UNKNOWN, 0, error="no-order-id")
        return True

    def order_decided(self, n: int, now: int) -> None:
        """What waited for the id of order n goes out, or, if it has none, never will."""
        for op in self._orphans.pop(n, ()):
            if op.n not in self.ops:
                continue
            if n in self._progress.server_ids:
                self._wait(op, now)
            else:
                self.correlation.skipped += 1
                self._decide(op, UNKNOWN, 0, error="no-order-id")

    def _attempt(self, op: Op, now: int) -> None:
        """Send with this tick's batch; what still waits to be sent again on the same order goes before it."""
        chain = [op]
        before = None if op.asking else self.ops.get(op.prior)
        while before and before.phase is Phase.WAITING and not before.asking and now < before.until_ns:
            chain.append(before)
            before = self.ops.get(before.prior)
        for one in reversed(chain):
            one.phase = Phase.IN_FLIGHT
            one.tries += 1
            self._in_flight.setdefault(one.session, {})[one.n] = one
            self._batch.setdefault(one.session, []).append(one)

    def _render(self, op: Op) -> bytes | None:
        number = self._base + op.n
        if op.asking:
            return self._wire.status(number, op.row, op.session)
        parent = self._base + op.parent if op.parent >= 0 else -1
        server_id = self._progress.server_ids.get(op.parent)
        return self._wire.operation(number, op.row, parent, op.session, server_id)

    def _left(self, op: Op, now: int) -> None:
        op.attempts += 1
        if op.sent_ns == 0:
            op.sent_ns = now
            self._progress.sent_ns[op.n] = now
            self._sent[op.kind] += 1
            if not op.held:
                self.noted.lags_ns.append(now - op.intended_ns)

    def _send_again(self, now: int) -> None:
        self._budget.refill(now)
        queue = self._again
        while queue and queue[0][0] <= now:
            _, _, tries, op = queue[0]
            if op.phase is not Phase.WAITING or tries != op.tries or op.n not in self.ops:
                heapq.heappop(queue)
                continue
            if now >= op.until_ns:
                heapq.heappop(queue)
                self._give_up(op, now)
                continue
            if not self._budget.take():
                return
            heapq.heappop(queue)
            if self._sender.ready(op.session):
                self._attempt(op, now)
            else:
                self._hold(op)

    def _hold(self, op: Op) -> None:
        op.phase, op.held = Phase.HELD, True
        self._held.setdefault(op.session, deque()).append(op)

    def _wait(self, op: Op, due_ns: int) -> None:
        op.phase = Phase.WAITING
        heapq.heappush(self._again, (due_ns, op.n, op.tries, op))

    # -- what happened -----------------------------------------------------------------------------------------------

    def up(self, session: int, now: int) -> None:
        """A session has a connection again: what was held for it goes out, paced."""
        for op in self._held.pop(session, ()):
            if op.n in self.ops:
                self._wait(op, now)

    def down(self, session: int, now: int) -> None:
        """A session has lost its connection, and the answers to come with it."""
        for op in self._in_flight.pop(session, {}).values():
            self.failed(op, now, "disconnected", sure=False)

    def _expire(self, now: int) -> None:
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            _, tries, op = deadlines.popleft()
            if op.phase is Phase.IN_FLIGHT and op.tries == tries and op.n in self.ops:
                self.failed(op, now, "timeout", sure=False)
        for held in (*self._held.values(), *self._orphans.values()):
            while held and (held[0].n not in self.ops or now >= held[0].until_ns):
                op = held.popleft()
                if op.n in self.ops:
                    self._give_up(op, now)

    def answer(self, op: Op, answer: Answer, now: int) -> None:
        """An answer to a watched operation."""
        if op.sent_ns == 0:
            return  # to somebody else's of the same name: this one never left
        if answer.asked:
            self._status(op, answer, now)
        elif answer.meaning is Meaning.OK:
            self._decide(op, OK, now, answer)
        elif answer.meaning is Meaning.REJECT:
            self._decide(op, REJECT, now, answer, answer.code)
        elif op.asking or op.phase is not Phase.IN_FLIGHT:
            return  # of an attempt that was given up before; the next one tells
        elif answer.meaning is Meaning.DUPLICATE:
            op.cause = answer.code or "duplicate"
            self._ask(op, now)
        else:
            self.failed(op, now, answer.code or "unknown", sure=answer.meaning is Meaning.UNAVAILABLE)

    def _status(self, op: Op, answer: Answer, now: int) -> None:
        if not op.asking:
            return
        if answer.meaning in (Meaning.UNAVAILABLE, Meaning.UNKNOWN):
            self.failed(op, now, answer.code or "unknown", sure=True)
        elif not answer.found:
            self._decide(op, UNKNOWN, 0, error=op.cause)
        elif answer.meaning is Meaning.OK:
            self._decide(op, OK, now, answer)
        else:
            self._decide(op, REJECT, now, answer, answer.code)

    def failed(self, op: Op, now: int, cause: str, *, sure: bool) -> None:
        """An attempt, or a question, came to nothing; `sure`: it was certainly not executed."""
        self._in_flight.get(op.session, {}).pop(op.n, None)
        if not op.asking:
            op.doubt = op.doubt or not sure
            op.cause = cause
        held = op.sent_ns == 0 and self._terms.outage == "queue"
        again = op.asking or ((held or self._terms.outage == "retry-idempotent") and not self.stopping)
        if not again or now >= op.until_ns:
            self._give_up(op, now)
            return
        back_off = min(LAST_BACK_OFF_NS, FIRST_BACK_OFF_NS << min(op.failures, 8))
        op.failures += 1
        self._wait(op, now + round(back_off * (0.75 + 0.5 * self._random.random())))

    def unsent(self, op: Op, now: int, cause: str) -> None:
        """An attempt, or a question, never left."""
        if not op.asking:
            op.attempts -= 1
            if not op.attempts:
                op.sent_ns, op.held = 0, True
                self._progress.sent_ns[op.n] = 0
                self._sent[op.kind] -= 1
        self.failed(op, now, cause, sure=True)

    def written(self, op: Op, at_ns: int) -> None:
        """An attempt, or a question, that had to wait for a connection has left; its timeout begins anew."""
        if op.attempts == 1 and not op.asking:
            op.sent_ns = at_ns
            self._progress.sent_ns[op.n] = at_ns
        op.tries += 1
        self._deadlines.append((at_ns + self._terms.timeout_ns, op.tries, op))

    def _give_up(self, op: Op, now: int) -> None:
        if op.asking:
            self._decide(op, UNKNOWN, 0, error="unresolved")
        elif op.sent_ns == 0:
            self._decide(op, UNKNOWN, 0, error=op.cause)
        elif op.doubt:
            self._ask(op, now)
        else:
            self._decide(op, REJECT, now, error=op.cause)

    def _ask(self, op: Op, now: int) -> None:
        self._in_flight.get(op.session, {}).pop(op.n, None)
        op.asking, op.failures, op.until_ns = True, 0, now + HORIZON_NS
        self._wait(op, now)

    def _decide(
        self, op: Op, outcome: int, answered_ns: int, answer: Answer | None = None, error: str | None = None
    ) -> None:
        progress, n = self._progress, op.n
        del self.ops[n]
        self._in_flight.get(op.session, {}).pop(n, None)
        progress.state[n], progress.outcome[n], progress.answered_ns[n] = DECIDED, outcome, answered_ns
        progress.attempts[n], progress.error[n] = min(op.attempts, 255), progress.code(error)
        if answer is not None:
            progress.seq[n], progress.epoch[n] = answer.seq or 0, answer.epoch or 0
            if answer.server_id is not None:
                progress.server_ids[n] = answer.server_id
        self.noted.decided.append(n)
        if self._orphans:
            self.order_decided(n, answered_ns or self._clock())
