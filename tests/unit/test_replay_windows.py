"""What goes out when: every row once, in its tick, in one write, with a fresh timestamp, whatever the clock does."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen import schedule
from loadgen.builder import build
from loadgen.engine import windows
from loadgen.engine.core import SLICE_NS, Engine, State
from loadgen.engine.signals import Event, Heard
from loadgen.engine.watch import MS, Terms
from loadgen.engine.windows import LARGE, SMALL, TICK_NS, Windows
from loadgen.schedule import Schedule
from loadgen.venues.wire import Ints
from tests.unit.replaybench import START, WALL, place

RECORD = struct.Struct("<qqqq")
STALE_MS = windows.STALE_NS // MS


class Records:
    """A wire whose messages are four numbers: number, row, parent, timestamp in ms."""

    prerendered = True
    needs_server_id = False

    def __init__(self) -> None:
        self.windows = 0

    def tick(self) -> None:
        pass

    def status(self, number: int, row: int, session: int) -> None:
        """Nobody answers here, and nobody can be asked."""

    def window(self, numbers: Ints, rows: Ints, parents: Ints, sent_ms: Ints) -> tuple[bytearray, Ints]:
        self.windows += 1
        data = np.stack([numbers, rows, parents, sent_ms], axis=1).astype("<i8").tobytes()
        return bytearray(data), np.arange(0, len(data) + 1, RECORD.size)


class Bench:
    """An engine that writes records to sessions that are always ready; the test moves the clock."""

    def __init__(self, plan: Sequence[tuple[int, int]]) -> None:
        """`plan`: offset in µs and session of each row."""
        rows = [place(offset / 1000, f"x{k}", session) for k, (offset, session) in enumerate(plan)]
        recorded = build("t", rows, {})
        self.schedule: Schedule = schedule.build(recorded, duration_s=max(offset for offset, _ in plan) / 1e6 + 1e-6)
        self.now = START - 20 * MS
        self.call_ns = 0  # so much time passes with every look at the clock
        self.cursor = 0
        self.wire = Records()
        self.writes: list[tuple[int, int, list[tuple[int, ...]]]] = []  # when, session, records
        wire: Any = self.wire
        self.engine = Engine(
            self.schedule,
            START,
            self,
            wire,
            self.clock,
            Terms("drop", 2000 * MS),
            wall=self.wall,
            cursor=self.move,
        )

    def clock(self) -> int:
        self.now += self.call_ns
        return self.now

    def move(self, count: int) -> None:
        self.cursor = count

    def wall(self) -> float:
        return WALL + (self.now - START) / 1e9

    def ready(self, session: int) -> bool:
        return True

    def send(self, session: int, numbers: Sequence[int], payloads: Sequence[bytes]) -> None:
        raise AssertionError("nothing is rendered one by one here")

    def poll(self, now_ns: int) -> tuple[Heard, Sequence[Event]]:
        return Heard(), []

    def write(self, session: int, data: memoryview) -> None:
        records = list(RECORD.iter_unpack(data))
        assert self.cursor > max(record[0] for record in records)
        self.writes.append((self.now, session, records))

    def tick(self) -> None:
        self.engine.tick()

    def records(self) -> list[tuple[int, int, int, int, int]]:
        """(number, row, timestamp, session, when) in the order of sending."""
        return [
            (number, row, stamp, session, when)
            for when, session, records in self.writes
            for number, row, _, stamp in records
        ]


plans = st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 3)), min_size=1, max_size=80).map(
    lambda plan: sorted(plan, key=lambda one: one[0])
)
sparse = st.lists(st.tuples(st.integers(0, 9_000_000), st.integers(0, 3)), min_size=1, max_size=40).map(
    lambda plan: sorted(plan, key=lambda one: one[0])
)
steps = st.one_of(
    st.integers(1, 2_500_000),  # about a tick
    st.integers(1, 60_000_000),
    st.integers(900 * MS, 4_000 * MS),  # a generator that stood still
)


def due(bench: Bench, n: int) -> int:
    """The time of the first tick that is not before the intended time of a row."""
    return START + -(-int(bench.schedule.offset_ns[n]) // TICK_NS) * TICK_NS


@settings(max_examples=200, deadline=None)
@given(plans | sparse, st.lists(steps, max_size=60), st.data())
def test_whatever_the_clock_does_every_row_leaves_once_in_its_tick(
    plan: list[tuple[int, int]], pauses: list[int], data: st.DataObject
) -> None:
    with mock.patch.multiple(windows, SMALL=8, LARGE=32):
        bench = Bench(plan)
        ticks: list[int] = []
        pauses = [*pauses, *[10 * MS] * 1100]
        for pause in pauses:
            if bench.engine.state is not State.RUNNING:
                break
            bench.now += pause
            for _ in range(data.draw(st.integers(0, 3)) if len(ticks) < 20 else 1):
                bench.engine.prepare()
            ticks.append(bench.now)
            bench.tick()
    _check(bench, ticks)


def _check(bench: Bench, ticks: list[int]) -> None:
    sent = bench.records()
    count = len(bench.schedule)
    assert sorted(number for number, *_ in sent) == list(range(count))
    writes: dict[tuple[int, int], set[int]] = defaultdict(set)  # of a session and tick
    of_session: dict[int, list[int]] = defaultdict(list)
    for at, (when, session, records) in enumerate(bench.writes):
        for number, row, _, stamp in records:
            assert row == bench.schedule.row[number]
            assert session == bench.schedule.session[number]
            assert when == min(tick for tick in ticks if tick >= due(bench, number))
            age = WALL * 1000 + (when - START) / MS - stamp
            assert -1 <= age <= STALE_MS + 1
            writes[session, due(bench, number)].add(at)
            of_session[session].append(number)
    assert all(len(parts) == 1 for parts in writes.values())
    assert all(numbers == sorted(numbers) for numbers in of_session.values())


@pytest.mark.parametrize(("prerendered", "size"), [(True, 5000), (False, 270)])
def test_a_late_window_is_large_unless_each_operation_is_rendered_as_it_is_sent(prerendered: bool, size: int) -> None:
    bench = Bench([(k * 100, k % 2) for k in range(5000)])
    bench.now, bench.wire.prerendered = START + 600 * MS, prerendered
    wire: Any = bench.wire
    window = Windows(bench.schedule, wire, START, lambda: bench.now, bench.wall).make()
    assert SMALL <= window.end <= size
    assert (window.end > LARGE) == prerendered


def test_what_a_stall_has_made_late_goes_out_in_one_write_a_session() -> None:
    bench = Bench([(k * 100, k % 2) for k in range(1000)])
    bench.now = START + 99 * MS
    bench.tick()
    bench.now += MS
    bench.tick()
    assert [(session, len(records)) for _, session, records in bench.writes] == [(0, 496), (1, 495), (0, 4), (1, 5)]


def test_a_late_window_holds_no_tick_that_is_still_to_come() -> None:
    bench = Bench([(k * 100, 0) for k in range(600)])
    bench.now = START + 30 * MS
    bench.tick()
    assert [len(records) for *_, records in bench.writes] == [301]
    for k in range(31, 60):
        bench.now = START + k * MS
        bench.tick()
    assert [len(records) for *_, records in bench.writes] == [301, *[10] * 29]


def test_a_window_that_lies_for_over_a_second_is_rendered_anew() -> None:
    bench = Bench([(0, 0), (100, 1), (1000, 0)])
    bench.engine.prepare()
    bench.now = START + 1500 * MS
    bench.tick()
    assert {stamp for _, _, stamp, _, _ in bench.records()} == {int(WALL * 1000) + 1500}
    assert bench.wire.windows == 2


def test_a_stall_in_the_middle_of_a_window_does_not_send_old_timestamps() -> None:
    bench = Bench([(0, 0), (5000, 0), (6000, 1)])
    bench.now = START
    bench.tick()
    bench.now = START + 7000 * MS
    bench.tick()
    assert [stamp - WALL * 1000 for _, _, stamp, _, _ in bench.records()] == [0, 7000, 7000]


def test_rendering_anew_leaves_what_is_still_to_come_its_own_time() -> None:
    bench = Bench([(0, 0), (20_000_000, 0)])
    bench.engine.prepare()
    bench.now = START + 1500 * MS
    bench.tick()
    bench.now = START + 20_000 * MS
    bench.tick()
    assert [stamp - WALL * 1000 for _, _, stamp, _, _ in bench.records()] == [1500, 20_000]


def test_a_window_in_time_is_rendered_once() -> None:
    bench = Bench([(k * 1000, k % 3) for k in range(SMALL)])
    for k in range(SMALL + 1):
        bench.now = START + k * MS
        bench.tick()
    assert bench.wire.windows == 1
    assert [stamp - WALL * 1000 for _, _, stamp, _, _ in bench.records()] == list(range(SMALL))


@pytest.mark.parametrize("call_us", [1, 30, 300, 900])
@pytest.mark.parametrize("rows", [20, 300, 3000])
def test_what_was_due_at_the_beginning_of_a_tick_leaves_in_it_though_the_tick_takes_its_time(
    call_us: int, rows: int
) -> None:
    bench = Bench([(k * 30_000 // rows, k % 3) for k in range(rows)])
    bench.now, bench.call_ns = START + 20 * MS, call_us * 1000
    with mock.patch.multiple(windows, SMALL=64, LARGE=256):
        while bench.engine.state is State.RUNNING:
            began, known = bench.now, len(bench.records())
            bench.tick()
            were_due = sum(due(bench, n) <= began for n in range(rows))
            assert len(bench.records()) > min(known, were_due - 1), "it gets on, however long it takes"
            if bench.now - began <= SLICE_NS:
                assert len(bench.records()) >= were_due
            bench.now += MS
    assert [number for number, *_ in sorted(bench.records())] == list(range(rows))
    assert all(when >= due(bench, number) for number, *_, when in bench.records())


def test_prepare_stays_a_little_ahead_and_ends() -> None:
    bench = Bench([(k * 1000, 0) for k in range(500)])
    bench.now = START - 20 * MS
    with mock.patch.multiple(windows, SMALL=16):
        while bench.engine.prepare():
            pass
        assert bench.wire.windows == 2  # rows 0 to 15 and 16 to 31: the latter end 51 ms from now
        assert bench.writes == []
        for _ in range(520):
            bench.now += MS
            bench.tick()
            while bench.engine.prepare():
                pass
    assert not bench.engine.prepare()
    assert len(bench.records()) == 500


@settings(max_examples=50, deadline=None)
@given(plans, st.integers(-5_000_000, 70_000_000), st.booleans())
def test_stop_begins_what_was_due_and_nothing_else(plan: list[tuple[int, int]], at: int, ahead: bool) -> None:
    bench = Bench(plan)
    bench.now = START + at
    if ahead:
        bench.engine.prepare()
    due_now = int((bench.schedule.offset_ns <= at).sum())
    begun: list[int] = []
    with mock.patch.object(bench.engine.watch, "begin", lambda n, now: begun.append(n)):
        bench.engine.stop()
    assert sorted([*begun, *(number for number, *_ in bench.records())]) == list(range(due_now))
    assert bench.cursor == bench.engine.next == due_now


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 4096, 4097, 9000])
def test_one_tick_is_one_window_however_large(size: int) -> None:
    bench = Bench([(0, k % 5) for k in range(size)])
    wire: Any = bench.wire
    made = Windows(bench.schedule, wire, START, lambda: bench.now, bench.wall)
    window = made.make()
    assert made.exhausted
    assert [(tick.due_ns, tick.end, tick.low, tick.high) for tick in window.ticks] == [(0, size, 0, size)]
    assert [group.session for group in window.ticks[0].groups] == list(range(min(5, size)))
    assert len(window.data) == window.ticks[0].groups[-1].stop == size * RECORD.size
