"""The connections of a replay on sockets that are none: opening, pinging, giving up, and bytes in their order."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.engine.pool import DEAD_NS, MS, OPEN_TIMEOUT_NS, QUIET_NS, Down, Up
from loadgen.venues.wire import Endpoint, ProtocolError
from tests.unit.poolbench import HERE, SECOND, Bench, Net, talk


def paced(net: Net, per_second: float) -> bool:
    """Whether no second saw more new connections than the budget, and what may be saved up: a tenth of it."""
    times = np.array([at for at, _ in net.made])
    until = np.searchsorted(times, times + SECOND)
    return bool((until - np.arange(len(times)) <= per_second * 1.1 + 6).all())


def test_a_thousand_sessions_come_in_at_the_budgets_pace() -> None:
    bench = Bench(1000)
    bench.run(1000)
    assert 400 <= bench.net.opened_by(bench.net.now) <= 556
    assert not bench.pool.all_ready()
    bench.run(1100)
    assert bench.pool.all_ready()
    assert bench.pool.opened == 1000
    assert sorted(up.session for up in bench.of(Up)) == list(range(1000))
    assert paced(bench.net, 500)
    assert Counter(peer.target[0] for peer in bench.peers()) == {"10.0.0.1": 500, "10.0.0.2": 500}


def test_a_thousand_that_are_hung_up_at_once_come_back_at_the_budgets_pace() -> None:
    bench = Bench(1000)
    bench.run(2500)
    before = bench.pool.opened
    for peer in bench.peers():
        peer.ended = True
    bench.poll()
    assert sorted(down.session for down in bench.of(Down)) == list(range(1000))
    began = bench.net.now
    bench.run(2200)
    assert bench.pool.all_ready()
    assert bench.pool.opened - before == 1000
    assert paced(bench.net, 500)
    assert len(bench.of(Up)) == 2000
    assert began + 1.7 * SECOND < max(at for at, event in bench.events if isinstance(event, Up))


def test_a_venue_that_refuses_is_not_knocked_at_faster() -> None:
    bench = Bench(300, connects_per_s=100)
    bench.net.down = {"10.0.0.1", "10.0.0.2"}
    bench.run(3000)
    assert paced(bench.net, 100)
    assert bench.of(Up) == []
    assert bench.net.open.keys() <= {3, *range(4, 20)}
    assert "ECONNREFUSED" in bench.pool.last_error
    bench.net.down = set()
    bench.run(3300)
    assert bench.pool.all_ready()


def test_after_a_refusal_the_next_endpoint_is_tried_50_ms_later() -> None:
    bench = Bench(1)
    bench.net.down = {"10.0.0.1"}
    bench.run(200)
    (first, one), (second, other) = bench.net.made
    assert [one.target[0], other.target[0]] == ["10.0.0.1", "10.0.0.2"]
    assert 50 * MS <= second - first <= 70 * MS
    assert bench.pool.ready(0)


def test_an_endpoint_that_swallows_everything_is_given_up_after_a_second() -> None:
    bench = Bench(1)
    bench.net.hole = {"10.0.0.1"}
    bench.run(1200)
    assert bench.net.made[1][0] - bench.net.made[0][0] <= OPEN_TIMEOUT_NS + 70 * MS
    assert bench.pool.ready(0)
    assert bench.pool.last_error == "10.0.0.1:1: no answer while connecting"


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_name_that_does_not_resolve_is_a_failure_like_others(error: Exception) -> None:
    bench = Bench(1, endpoints=HERE[:1])
    bench.net.unknown = {"10.0.0.1": error}
    bench.run(300)
    assert not bench.pool.all_ready()
    assert bench.pool.last_error.startswith("10.0.0.1:1: ")
    assert str(error).rpartition("] ")[2] in bench.pool.last_error
    assert bench.net.open == {}


def test_too_many_open_files_are_a_failure_like_others() -> None:
    bench = Bench(5)
    bench.net.files = 3
    bench.run(300)
    assert len(bench.of(Up)) == 3
    assert not bench.pool.all_ready()
    assert bench.pool.last_error.endswith(": Too many open files")
    bench.net.files = 5
    bench.run(100)
    assert bench.pool.all_ready()


def test_an_address_of_either_family_is_dialled() -> None:
    bench = Bench(2, endpoints=(Endpoint("::1", 1), Endpoint("127.0.0.1", 1)))
    bench.run(20)
    assert {peer.target[0]: peer.family for peer in bench.peers()} == {
        "::1": socket.AF_INET6,
        "127.0.0.1": socket.AF_INET,
    }


class Shaking:
    """TLS whose handshake takes one more message of the venue."""

    def __init__(self) -> None:
        self.ready = False

    def start(self) -> bytes:
        return b"hello"

    def write(self, data: bytes) -> bytes:
        return data if self.ready else b""

    def read(self, data: bytes) -> tuple[bytes, bytes]:
        if data == b"bad certificate":
            raise ProtocolError("TLS: certificate refused: self-signed")
        self.ready = True
        return b"", b""


def test_a_connection_is_not_ready_before_its_venue_has_proved_who_it_is() -> None:
    tls: Any = lambda host: Shaking()  # noqa: E731
    bench = Bench(1, serial=True, endpoints=(Endpoint("10.0.0.1", 1, tls=True),), tls=tls)
    bench.run(30)
    assert bytes(bench.peers()[0].outbound) == b"hello"
    assert not bench.pool.all_ready()
    bench.peers()[0].inbound += b"bad certificate"
    bench.run(2)
    assert bench.of(Up) == []
    assert bench.pool.last_error == "10.0.0.1:1: TLS: certificate refused: self-signed"
    bench.run(80)
    bench.peers()[0].inbound += b"good one"
    bench.run(2)
    assert bench.of(Up) == [Up(0)]
    assert bench.pool.all_ready()


# -- silence -----------------------------------------------------------------------------------------------------------


def test_a_quiet_connection_is_pinged_and_one_that_answers_stays() -> None:
    bench = Bench(1)
    bench.run(20)
    bench.run(6000)
    assert 11 <= bench.peers()[0].outbound.count(b"PING\n") <= 12
    assert bench.of(Down) == []
    assert bench.pool.opened == 1


def test_a_frozen_peer_is_pinged_then_given_up_for_the_next_endpoint() -> None:
    bench = Bench(1)
    bench.run(20)
    bench.net.hear = lambda peer, data: None
    frozen, since = bench.peers()[0], bench.net.now
    bench.run(QUIET_NS / MS - 20)
    assert b"PING" not in frozen.outbound
    bench.run((DEAD_NS - QUIET_NS) / MS)
    assert frozen.outbound.count(b"PING\n") == 2
    assert bench.of(Down) == []
    bench.run(60)
    assert bench.of(Down) == [Down(0, "silent")]
    assert frozen.closed
    assert bench.peers()[0].target[0] == "10.0.0.2"
    assert DEAD_NS <= bench.events[-1][0] - since + 20 * MS <= DEAD_NS + 60 * MS


@pytest.mark.parametrize("stall_ms", [1500, 1600, 5000, 60_000])
def test_a_generator_that_stood_still_does_not_take_its_peers_for_dead(stall_ms: int) -> None:
    bench = Bench(20)
    bench.run(480)
    bench.net.now += stall_ms * MS
    bench.poll()
    bench.run(3000)
    assert bench.of(Down) == []
    assert bench.pool.opened == 20


def test_after_a_stall_a_frozen_peer_has_half_a_second_to_answer_a_ping() -> None:
    bench = Bench(1)
    bench.run(100)
    bench.net.hear = lambda peer, data: None
    bench.net.now += 5 * SECOND
    bench.poll()
    bench.run(480)
    assert bench.of(Down) == []
    bench.run(60)
    assert bench.of(Down) == [Down(0, "silent")]


# -- bytes -------------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["write", "send", "room"]), st.integers(0, 3000)), max_size=40))
def test_bytes_keep_their_order_however_little_the_kernel_takes(acts: list[tuple[str, int]]) -> None:
    bench = Bench(1)
    bench.run(20)
    peer = bench.peers()[0]
    bench.net.hear = lambda peer, data: None
    peer.room, expected, start = 0, bytearray(), len(peer.outbound)
    for number, (act, size) in enumerate(acts):
        data = bytes([number % 251]) * size
        if act == "room":
            peer.room += size
            bench.run(1)
            continue
        expected += data
        if act == "write":
            bench.pool.write(0, memoryview(data))
        else:
            bench.pool.send(0, [number], [data])
        assert bytes(expected).startswith(bytes(peer.outbound[start:]))
    peer.room = None
    bench.run(2)
    assert bytes(peer.outbound[start:]) == bytes(expected)


@pytest.mark.parametrize("room", [None, 0, 5])
def test_a_reset_while_writing_is_told_once_and_what_was_left_is_forgotten(room: int | None) -> None:
    bench = Bench(1)
    bench.run(100)
    peer = bench.peers()[0]
    bench.net.hear = lambda peer, data: None
    peer.room = room
    bench.pool.write(0, memoryview(b"1234567890"))
    peer.broken = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
    bench.pool.write(0, memoryview(b"abc"))
    bench.pool.send(0, [1], [b"def"])
    peer.ended = True
    bench.net.hear = talk
    bench.run(30)
    assert bench.of(Down) == [Down(0, "closed by the venue")]
    assert bytes(bench.peers()[0].outbound) == b"HI\n"


# -- hanging up --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.1, 4), (0.5, 20), (1.0, 40)])
def test_a_share_of_the_connections_is_hung_up_and_comes_back(share: float, expected: int) -> None:
    bench = Bench(40)
    bench.run(200)
    assert bench.pool.disconnect(share, bench.net.now) == expected
    assert sum(bench.pool.ready(session) for session in range(40)) == 40 - expected
    bench.run(300)
    downs = bench.of(Down)
    assert len({down.session for down in downs}) == len(downs) == expected
    assert {down.reason for down in downs} <= {"hung up by the replay"}
    assert bench.pool.all_ready()
    assert bench.pool.opened == 40 + expected


def test_which_ones_are_hung_up_follows_the_seed() -> None:
    def gone(seed: int) -> set[int]:
        bench = Bench(40, seed=seed)
        bench.run(200)
        bench.pool.disconnect(0.25, bench.net.now)
        return {session for session in range(40) if not bench.pool.ready(session)}

    assert gone(1) == gone(1) != gone(2)


def test_close_closes_everything_twice_as_well() -> None:
    bench = Bench(5)
    bench.run(20)
    bench.pool.close()
    bench.pool.close()
    assert bench.net.open == {}
