"""Connections that carry one request at a time: what waits for one, and what becomes of it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.engine.pool import MS, Down, Lost, Written
from tests.unit.poolbench import Http


def test_one_request_a_connection_and_more_connections_as_they_are_needed() -> None:
    bench = Http()
    assert len(bench.peers()) == 1
    bench.put(1)
    assert list(bench.busy()) == [1]
    assert len(bench.peers()) == 1
    bench.put(2, 3, 4, 5)
    bench.run(5)
    assert sorted(bench.busy()) == [1, 2, 3]
    assert len(bench.peers()) == 3
    assert bench.of(Written) == [Written(2, bench.of(Written)[0].at_ns), Written(3, bench.of(Written)[1].at_ns)]
    bench.run(500)
    assert len(bench.peers()) == 3, "no more than the maximum"
    bench.answer(2)
    bench.run(1)
    assert bench.answers() == [2]
    assert sorted(bench.busy()) == [1, 3, 4]
    assert bench.of(Written)[-1] == Written(4, bench.net.now)
    for number in (1, 3, 4):
        bench.answer(number)
    bench.run(1)
    bench.answer(5)
    bench.run(1)
    assert sorted(bench.answers()) == [1, 2, 3, 4, 5]
    assert bench.of(Lost) == []


def test_no_more_connections_than_there_is_work() -> None:
    bench = Http(connections=8)
    for number in range(50):
        bench.put(number)
        bench.answer(number)
        bench.run(1)
    assert len(bench.peers()) == bench.pool.opened == 1
    assert bench.of(Written) == []


def test_what_finds_no_connection_in_time_never_leaves() -> None:
    bench = Http(connections=2, timeout_ns=100 * MS)
    bench.put(1, 2, 3, 4)
    bench.run(99)
    assert bench.of(Lost) == []
    bench.run(1)
    assert bench.of(Lost)[0] == Lost([3, 4], "no-connection", True)
    bench.run(150)
    assert bench.busy() == {}
    assert Counter(number for lost in bench.of(Lost) if not lost.unsent for number in lost.numbers) == {1: 1, 2: 1}


def test_a_queue_behind_another_session_expires_in_its_own_time() -> None:
    bench = Http(sessions=3, connections=1, timeout_ns=100 * MS)
    bench.put(1, 2, session=0)
    bench.run(40)
    bench.put(11, 12, session=1)
    bench.run(30)
    bench.answer(1)
    bench.run(20)
    bench.put(13, session=1)
    bench.run(49)
    lost = [(event.numbers, at) for at, event in bench.events if isinstance(event, Lost) and event.unsent]
    assert lost == []
    bench.run(1)
    lost = [(event.numbers, at) for at, event in bench.events if isinstance(event, Lost) and event.unsent]
    assert lost == [([12], bench.net.now)]
    assert bench.of(Written) == [Written(2, bench.net.now - 70 * MS + MS)]


def test_a_connection_that_dies_with_a_request_leaves_it_in_doubt() -> None:
    bench = Http()
    bench.put(1)
    bench.busy()[1].ended = True
    bench.run(1)
    assert bench.of(Lost) == [Lost([1], "disconnected", False)]
    assert bench.of(Down) == []
    bench.run(80)
    assert bench.pool.ready(0)


def test_no_answer_within_the_timeout_gives_the_connection_up() -> None:
    bench = Http(timeout_ns=100 * MS)
    bench.put(1)
    bench.run(120)
    assert bench.of(Lost) == [Lost([1], "disconnected", False)]
    assert bench.pool.last_error.endswith("no answer to a request")


@pytest.mark.parametrize(
    ("more", "length", "end"),
    [(b"Connection: close\r\n", True, False), (b"Connection: close\r\n", True, True), (b"", False, True)],
    ids=["announced", "announced and done", "by its end alone"],
)
def test_an_answer_that_ends_with_its_connection_is_an_answer(more: bytes, length: bool, end: bool) -> None:
    bench = Http(connections=1)
    for number in range(10):
        bench.put(number)
        bench.answer(number, more, length=length, end=end)
        bench.run(5)
    assert bench.answers() == list(range(10))
    assert bench.of(Lost) == []
    assert bench.pool.opened == 11
    assert [at - before for (before, _), (at, _) in zip(bench.net.made[1:], bench.net.made[2:], strict=False)] == (
        [5 * MS] * 9
    ), "each connection was of use, so the next one is opened at once"


def test_a_venue_that_closes_after_every_answer_does_not_stop_a_queue() -> None:
    bench = Http(connections=4)
    bench.put(*range(60))
    for _ in range(400):
        for number in list(bench.busy()):
            bench.answer(number, b"Connection: close\r\n", end=True)
        bench.run(1)
    assert sorted(bench.answers()) == list(range(60))
    assert sorted([0, *(written.number for written in bench.of(Written))]) == list(range(60))
    assert bench.of(Lost) == []


def test_a_connection_that_never_is_of_use_is_opened_less_often() -> None:
    bench = Http(connections=1)
    for _ in range(200):
        for peer in bench.peers():
            peer.ended = True
        bench.run(1)
    assert bench.pool.opened <= 6


def test_what_still_waits_can_be_taken_back() -> None:
    bench = Http(connections=1, sessions=2)
    bench.put(1, 2, 3)
    bench.put(11, 12, session=1)
    bench.pool.withdraw()
    bench.run(1)
    assert bench.of(Lost) == [Lost([2, 3, 12], "no-connection", True)]
    bench.answer(1)
    bench.answer(11)
    bench.run(50)
    assert bench.busy() == {}
    assert sorted(bench.answers()) == [1, 11]
    bench.put(4)
    assert list(bench.busy()) == [4]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_request_is_answered_or_lost_exactly_once(data: st.DataObject) -> None:
    bench = Http(sessions=2, connections=3, timeout_ns=60 * MS)
    put = 0
    acts = ("put", "put", "answer", "answer", "close", "die", "nothing")
    for act in data.draw(st.lists(st.sampled_from(acts), max_size=60)):
        if act == "put":
            count, session = data.draw(st.integers(1, 4)), data.draw(st.integers(0, 1))
            if bench.pool.ready(session):
                bench.put(*range(put, put + count), session=session)
                put += count
        elif bench.busy():
            number = data.draw(st.sampled_from(sorted(bench.busy())))
            if act == "die":
                bench.busy()[number].ended = True
                bench.busy()[number].outbound.clear()
            else:
                bench.answer(number, b"Connection: close\r\n" if act == "close" else b"", end=act == "close")
        bench.run(data.draw(st.integers(1, 30)))
    bench.run(200)
    lost = [number for event in bench.of(Lost) for number in event.numbers]
    assert sorted([*bench.answers(), *lost]) == list(range(put))
    written = [event.number for event in bench.of(Written)]
    never = [number for event in bench.of(Lost) if event.unsent for number in event.numbers]
    assert len(set(written)) == len(written)
    assert not set(written) & set(never)
