"""Open-loop replay: every operation goes out at its intended time, whatever became of those before it.

The engine holds no socket, no clock and no thread of its own: a transport, a clock and a seed are given, `tick` does
what is due. All that goes smoothly is done in bulk, a tick and a poll at a time, on columns; whatever does not (no
connection, a timeout, an answer other than a plain yes or no) is looked after one by one (`loadgen.engine.watch`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from itertools import starmap

import numpy as np

from loadgen.engine.ops import DECIDED, IN_FLIGHT, KINDS, OK, REJECT, UNTOUCHED, WATCHED, Decided, Op, Phase, Progress
from loadgen.engine.signals import Down, Event, Heard, Lost, Up, Written, columns
from loadgen.engine.transport import Transport
from loadgen.engine.watch import HORIZON_NS, MS, Terms, Watch
from loadgen.engine.windows import STALE_NS, Group, Tick, Window, Windows
from loadgen.schedule import Schedule, op_number
from loadgen.venues.wire import Answer, Ints, Meaning, Wire

SLICE_NS = 5 * MS
"""A generator that is late goes on sending for so long before it reads answers again."""
AHEAD_NS = 50 * MS
"""Windows are rendered so far ahead of their time, where there is time for it."""


class State(Enum):
    """Where a replay stands."""

    RUNNING = "running"
    DRAINING = "draining"
    DONE = "done"


class Engine:
    """One replay of one schedule; call `tick` at least once a millisecond until `state` is DONE.

    Between ticks `prepare` renders what comes next; without it that is done when it is due.
    """

    def __init__(
        self,
        schedule: Schedule,
        start_ns: int,
        transport: Transport,
        wire: Wire,
        clock: Callable[[], int],
        terms: Terms,
        *,
        wall: Callable[[], float],
        cursor: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.state = State.RUNNING
        self.next = 0  # rows of the schedule that were begun
        self.scheduled = np.zeros(len(KINDS), np.int64)  # operations whose time has come, by kind
        self.sent = np.zeros(len(KINDS), np.int64)  # operations with at least one attempt, by kind
        self.progress = Progress(len(schedule))
        codes, names = schedule.trace.codes("op")
        self.kinds = np.array([KINDS.index(name) for name in names], np.int8)[codes][schedule.row]
        self._schedule, self._start_ns = schedule, start_ns
        self._transport, self._wire, self._clock, self._cursor = transport, wire, clock, cursor
        self._timeout_ns = terms.timeout_ns
        self.watch = Watch(schedule, self.progress, self.kinds, start_ns, transport, wire, clock, terms, self.sent)
        self._windows = Windows(schedule, wire, start_ns, clock, wall)
        self._ready: deque[Window] = deque()
        self._tick_at = 0  # of the first window that is ready
        self._base = op_number(schedule.shard[0], 0)
        self._flying = 0  # operations in flight that nobody watches
        self._deadlines: deque[tuple[int, Ints]] = deque()
        self._decided: list[Ints] = []
        self._lags: list[Ints] = []
        self._place = np.zeros(len(schedule), np.int32)  # scratch: finds an answer that came twice in one poll
        self._drain_until_ns = 0
        self._stopping = False

    @property
    def start_ns(self) -> int:
        """When the schedule begins."""
        return self._start_ns

    @property
    def undecided(self) -> int:
        """Operations that were begun and are not over."""
        return self._flying + len(self.watch.ops)

    def tick(self) -> None:
        """Send what is due, one write a session; then handle what arrived and what timed out.

        What is due goes first: reading a few hundred answers takes longer than sending as many operations.
        """
        now = self._clock()
        self._wire.tick()
        if self.state is State.RUNNING:
            self._begin_due(now)
            now = self._clock()  # an answer cannot have come before its operation was sent
        heard, events = self._transport.poll(now)
        self._hear(heard)
        if events:
            self._happened(events, now)
        self._expire(now)
        self.watch.tick(now)
        self.watch.flush()
        if self.state is State.DRAINING and (not self.undecided or now >= self._drain_until_ns):
            self._finish(now)

    def prepare(self) -> bool:
        """Render one window ahead of its time; False where there is nothing to do yet."""
        if self.state is not State.RUNNING or self._windows.exhausted:
            return False
        if (
            self._ready
            and self._schedule.offset_ns[self._ready[-1].end - 1] > self._clock() - self._start_ns + AHEAD_NS
        ):
            return False
        self._ready.append(self._windows.make())
        return True

    def stop(self) -> None:
        """Send nothing new and nothing again; what is in flight may be answered for one more timeout."""
        if self.state is State.DONE or self._stopping:
            return
        now = self._clock()
        if self.state is State.RUNNING:
            self._begin_due(now)
            # up to this instant the schedule holds
            until = max(self.next, int(np.searchsorted(self._schedule.offset_ns, now - self._start_ns, side="right")))
            rest = range(self.next, until)
            self._begun(until)
            for n in rest:
                self.scheduled[self.kinds[n]] += 1
                self.watch.begin(n, now)
            self.watch.flush()
        self.state, self._stopping = State.DRAINING, True
        self._drain_until_ns = now + self._timeout_ns
        self.watch.stop(now)

    @property
    def news(self) -> int:
        """Operations decided since `take`, save for watched ones."""
        return sum(map(len, self._decided))

    def take(self) -> Decided | None:
        """Columns of what was decided since the last call, None where nothing was."""
        noted = self.watch.noted
        if noted.decided:
            self._decided.append(np.array(noted.decided, np.int64))
            noted.decided = []
        if not self._decided:
            return None
        n = self._decided[0] if len(self._decided) == 1 else np.concatenate(self._decided)
        self._decided = []
        return self.progress.take(n, self.kinds, self._schedule.offset_ns[n] + self._start_ns)

    def take_lags(self) -> Ints:
        """Send lags in ns of the operations handled since the last call."""
        self._lags.append(np.array(self.watch.noted.lags_ns, np.int64))
        lags, self._lags, self.watch.noted.lags_ns = self._lags, [], []
        return np.concatenate(lags)

    # -- what is due -------------------------------------------------------------------------------------------------

    def _begin_due(self, now: int) -> None:
        while True:
            if not self._ready:
                if self._windows.exhausted:
                    self.state = State.DRAINING
                    self._drain_until_ns = now + 2 * (HORIZON_NS + self._timeout_ns)
                    return
                if self._schedule.offset_ns[self._windows.next] > self._clock() - self._start_ns:
                    return
                self._ready.append(self._windows.make())
            window = self._ready[0]
            elapsed = self._clock() - self._start_ns  # anew: one that was made just now ends now
            while self._tick_at < len(window.ticks):
                tick = window.ticks[self._tick_at]
                if tick.due_ns > elapsed:
                    return
                if elapsed - max(tick.due_ns, window.rendered_ns) > STALE_NS:
                    self._windows.again(window)
                self._tick_at += 1
                self._begin(tick, window)
            self._ready.popleft()
            self._tick_at = 0
            if self._clock() - now > SLICE_NS:
                return

    def _begun(self, count: int) -> None:
        # before the first byte leaves: a row behind the cursor was surely not sent, one before it may have been
        self.next = count
        self._cursor(count)

    def _begin(self, tick: Tick, window: Window) -> None:
        self._begun(tick.end)
        n = window.n[tick.low : tick.high]
        counts = np.bincount(self.kinds[n], minlength=len(KINDS))
        self.scheduled += counts
        odd = self._odd(n, window.sessions[tick.low : tick.high]) if self.watch.ops else frozenset()
        ready, send = self._transport.ready, self._send if self._wire.prerendered else self._render_and_send
        times, careful = [], []
        for group in tick.groups:
            if ready(group.session) and group.session not in odd:
                send(group, window)
                times.append(self._clock())
            else:
                times.append(0)
                careful.append(group)
        sizes = [group.high - group.low for group in tick.groups]
        sent = np.repeat(np.array(times, np.int64), sizes)
        if careful:
            whole = sent > 0
            n, sent = n[whole], sent[whole]
            counts = np.bincount(self.kinds[n], minlength=len(KINDS))
        self._flown(n, sent, counts)
        now = self._clock()
        for group in careful:
            for each in window.n[group.low : group.high].tolist():
                self.watch.begin(each, now)

    def _flown(self, n: Ints, sent: Ints, counts: Ints) -> None:
        if not len(n):
            return
        progress = self.progress
        if self._wire.needs_server_id:
            mine = progress.state[n] == UNTOUCHED  # rendering one by one may have found an order without an id
            n, sent = n[mine], sent[mine]
            counts = np.bincount(self.kinds[n], minlength=len(KINDS))
            if not len(n):
                return
        progress.sent_ns[n], progress.state[n], progress.attempts[n] = sent, IN_FLIGHT, 1
        self.sent += counts
        self._flying += len(n)
        self._lags.append(sent - self._start_ns - self._schedule.offset_ns[n])
        self._deadlines.append((int(sent[-1]) + self._timeout_ns, n))

    def _send(self, group: Group, window: Window) -> None:
        self._transport.write(group.session, window.data[group.start : group.stop])

    def _render_and_send(self, group: Group, window: Window) -> None:
        schedule, base, ids = self._schedule, self._base, self.progress.server_ids
        numbers, payloads = [], []
        for n in window.n[group.low : group.high].tolist():
            parent = int(schedule.parent[n])
            if self._wire.needs_server_id and parent >= 0 and parent not in ids:
                self.watch.begin(n, self._clock())
                continue
            named = base + parent if parent >= 0 else -1
            row = int(schedule.row[n])
            payloads.append(self._wire.operation(base + n, row, named, group.session, ids.get(parent)))
            numbers.append(base + n)
        if numbers:
            self._transport.send(group.session, numbers, payloads)

    def _odd(self, n: Ints, sessions: Ints) -> frozenset[int]:
        """Sessions with an operation on an order that is watched: its second attempt has to go first."""
        prior = self._schedule.prior[n]
        followed = (prior >= 0) & (self.progress.state[prior] == WATCHED)
        return frozenset(sessions[followed].tolist())

    # -- what happened -----------------------------------------------------------------------------------------------

    def _hear(self, heard: Heard) -> None:
        for numbers, seq, epoch, at_ns in starmap(columns, heard.texts):
            self._oks(numbers, seq, epoch, at_ns)
        if heard.bulk:
            came_ns, *parts = zip(*heard.bulk, strict=True)
            numbers, seq, epoch = map(np.concatenate, parts)
            self._oks(numbers, seq, epoch, np.repeat(np.array(came_ns), [len(part) for part in parts[0]]))
        if heard.answers:
            self._answers(heard.answers)

    def _answers(self, answers: Sequence[tuple[int, Answer]]) -> None:
        """Answers one by one, save for the plain oks among them."""
        plain: list[tuple[int, int, int, int]] = []
        for at_ns, answer in answers:
            if answer.meaning is Meaning.OK and not answer.asked and answer.server_id is None:
                plain.append((answer.number, answer.seq or 0, answer.epoch or 0, at_ns))
                continue
            if plain:  # of two answers to one operation the first counts
                self._oks(*np.array(plain, np.int64).T)
                plain = []
            self._answer(answer, at_ns)
        if plain:
            self._oks(*np.array(plain, np.int64).T)

    def _oks(self, numbers: Ints, seq: Ints, epoch: Ints, at_ns: Ints) -> None:
        """Plain oks; those of watched operations go the long way."""
        progress, n = self.progress, numbers - self._base
        known = (n >= 0) & (n < self.next)
        if not known.all():
            n, seq, epoch, at_ns = n[known], seq[known], epoch[known], at_ns[known]
        state = progress.state[n]
        plain = state == IN_FLIGHT
        if not plain.all():
            for k in np.flatnonzero(state == WATCHED).tolist():
                op = self.watch.ops.get(int(n[k]))
                if op is not None:
                    found = Answer(int(n[k]), Meaning.OK, seq=int(seq[k]), epoch=int(epoch[k]))
                    self.watch.answer(op, found, int(at_ns[k]))
            n, seq, epoch, at_ns = n[plain], seq[plain], epoch[plain], at_ns[plain]
        order = np.arange(len(n), dtype=np.int32)
        self._place[n] = order
        once = self._place[n] == order
        if not once.all():
            n, seq, epoch, at_ns = n[once], seq[once], epoch[once], at_ns[once]
        progress.state[n], progress.outcome[n], progress.answered_ns[n] = DECIDED, OK, at_ns
        progress.seq[n], progress.epoch[n] = seq, epoch
        self._flying -= len(n)
        if len(n):
            self._decided.append(n)

    def _answer(self, answer: Answer, now: int) -> None:
        n, progress = answer.number - self._base, self.progress
        if not 0 <= n < self.next:
            return
        state = int(progress.state[n])
        if state == WATCHED:
            op = self.watch.ops.get(n)
            if op is not None:
                self.watch.answer(op, answer, now)
        elif state == IN_FLIGHT and not answer.asked:
            if answer.meaning in (Meaning.OK, Meaning.REJECT):
                self._settled(n, answer, now)
            else:
                self._flying -= 1
                self.watch.answer(self.watch.adopt(n), answer, now)

    def _settled(self, n: int, answer: Answer, now: int) -> None:
        progress, ok = self.progress, answer.meaning is Meaning.OK
        progress.state[n], progress.outcome[n], progress.answered_ns[n] = DECIDED, OK if ok else REJECT, now
        progress.seq[n], progress.epoch[n] = answer.seq or 0, answer.epoch or 0
        progress.error[n] = 0 if ok else progress.code(answer.code)
        if answer.server_id is not None:
            progress.server_ids[n] = answer.server_id
        self._flying -= 1
        self._decided.append(np.array([n], np.int64))
        self.watch.order_decided(n, now)

    def _happened(self, events: Sequence[Event], now: int) -> None:
        gone = [event.session for event in events if isinstance(event, Down)]
        if gone:
            self._lost(self._in_flight(gone), now, "disconnected", unsent=False)
        for event in events:
            if isinstance(event, Up):
                self.watch.up(event.session, now)
            elif isinstance(event, Down):
                self.watch.down(event.session, now)
            elif isinstance(event, Lost):
                self._lost([number - self._base for number in event.numbers], now, event.reason, unsent=event.unsent)
            else:
                self._written(event)

    def _written(self, event: Written) -> None:
        """What had to wait for a connection has its whole timeout before it."""
        n = event.number - self._base
        if self.progress.state[n] == IN_FLIGHT:
            self.progress.sent_ns[n] = event.at_ns
            self._deadlines.append((event.at_ns + self._timeout_ns, np.array([n], np.int64)))
        elif (op := self.watch.ops.get(n)) is not None and op.phase is Phase.IN_FLIGHT:
            self.watch.written(op, event.at_ns)

    def _lost(self, numbers: Sequence[int], now: int, why: str, *, unsent: bool) -> None:
        failed: Callable[[Op, int, str], None] = self.watch.unsent if unsent else partial(self.watch.failed, sure=False)
        for n in numbers:
            if self.progress.state[n] == IN_FLIGHT:
                self._flying -= 1
                failed(self.watch.adopt(n), now, why)
            elif (op := self.watch.ops.get(n)) is not None and op.phase is Phase.IN_FLIGHT:
                failed(op, now, why)

    def _in_flight(self, sessions: Sequence[int]) -> list[int]:
        """Unwatched operations of sessions that wait for their answer; thousands of sessions may be cut off at once."""
        if not self._deadlines:
            return []
        n = np.concatenate([part for _, part in self._deadlines])
        n = n[self.progress.state[n] == IN_FLIGHT]
        return n[np.isin(self._schedule.session[n], sessions)].tolist()  # type: ignore[no-any-return]

    def _expire(self, now: int) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            _, n = self._deadlines.popleft()
            for late in n[self.progress.state[n] == IN_FLIGHT].tolist():
                if self.progress.sent_ns[late] + self._timeout_ns > now:
                    continue  # it had to wait for a connection, and has another deadline
                self._flying -= 1
                self.watch.failed(self.watch.adopt(late), now, "timeout", sure=False)

    def _finish(self, now: int) -> None:
        for part in [part for _, part in self._deadlines]:
            for n in part[self.progress.state[part] == IN_FLIGHT].tolist():
                self._flying -= 1
                self.watch.adopt(n)
        self.watch.finish(now)
        self.state = State.DONE
