"""Names: what is asked of a resolver, how long its answer holds, and what connections make of it."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drills.errors import DefinitionError, Refused
from loadgen import dnsmessage
from loadgen.engine.here import here
from loadgen.engine.names import AGAIN_NS, ANSWER_NS, MS, Found, ResolverNames, SystemNames
from loadgen.engine.sendable import check_loopback
from loadgen.engine.signals import Up
from loadgen.venues.endpoints import resolver_of
from loadgen.venues.wire import Endpoint
from sandbox.dns.messages import respond
from sandbox.dns.zone import Zone
from tests.unit.poolbench import Bench

API = "api.exchange.test"
SECOND = 1000 * MS


class Wire:
    """A datagram socket whose other end is the sandbox's own resolver, without a network."""

    def __init__(self, zone: Zone) -> None:
        self.zone, self.asked, self.lost, self.broken = zone, 0, False, False
        self._answers: list[bytes] = []

    def socket(self, family: int, kind: int) -> Any:  # noqa: ANN401 - stands for a socket
        assert kind == socket.SOCK_DGRAM
        return self

    def setblocking(self, flag: bool) -> None:
        assert not flag

    def connect(self, peer: tuple[str, int]) -> None:
        assert peer == ("127.0.0.1", 5300)

    def send(self, data: bytes) -> None:
        self.asked += 1
        answer, _ = respond(self.zone, data)
        if answer is not None and not self.lost:
            self._answers += [b"rubbish", answer[:20], bytes([answer[0] ^ 1]) + answer[1:], answer]

    def recv(self, size: int) -> bytes:
        if self.broken:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        if not self._answers:
            raise BlockingIOError(errno.EAGAIN, "nothing yet")
        return self._answers.pop(0)

    def close(self) -> None:
        pass


def zone_with(*addresses: str, ttl: int = 5) -> Zone:
    zone = Zone("exchange.test")
    zone.put(API, {"ttl": ttl, "values": list(addresses)})
    return zone


@pytest.fixture
def wire() -> Wire:
    return Wire(zone_with("127.0.0.2", "127.0.0.1"))


def names_of(wire: Wire, **options: Any) -> ResolverNames:  # noqa: ANN401
    return ResolverNames("127.0.0.1:5300", make_socket=wire.socket, **options)


def test_an_address_is_valid_as_long_as_the_resolver_says(wire: Wire) -> None:
    names = names_of(wire)
    assert names.look(API, 0) is None
    assert names.look(API, 0) is None, "asked for once, whoever waits"
    assert names.poll(1 * MS) == [Found(API, ("127.0.0.1", "127.0.0.2"))]
    wire.zone.put(API, {"ttl": 5, "values": ["127.0.0.9"]})
    assert names.look(API, 5 * SECOND) == ("127.0.0.1", "127.0.0.2")
    assert wire.asked == 1
    assert names.look(API, 5 * SECOND + 1 * MS) is None
    assert names.poll(5 * SECOND + 2 * MS) == [Found(API, ("127.0.0.9",))]


def test_without_a_time_to_live_each_connection_asks_anew(wire: Wire) -> None:
    wire.zone.put(API, {"ttl": 0, "values": ["127.0.0.3"]})
    names = names_of(wire)
    for at in (0, 1, 2):
        assert names.look(API, at) is None
        assert names.poll(at) == [Found(API, ("127.0.0.3",))]
    assert wire.asked == 3


@pytest.mark.parametrize(("mode", "word"), [("servfail", "SERVFAIL"), ("nxdomain", "NXDOMAIN")])
def test_what_a_resolver_refuses_is_told_in_its_words_and_asked_anew(wire: Wire, mode: str, word: str) -> None:
    names = names_of(wire)
    wire.zone.begin("f", {"mode": mode})
    names.look(API, 0)
    assert names.poll(1) == [Found(API, reason=f"DNS: {word} of 127.0.0.1:5300 for {API}")]
    wire.zone.end("f")
    assert names.look(API, 2) is None
    assert names.poll(3)[0].addresses


def test_a_lost_question_is_put_again_and_given_up_in_time(wire: Wire) -> None:
    names, wire.lost = names_of(wire), True
    names.look(API, 0)
    assert names.poll(AGAIN_NS - 1) == []
    assert names.poll(AGAIN_NS) == []
    assert wire.asked == 2
    wire.lost = False
    assert names.poll(2 * AGAIN_NS) == []
    assert names.poll(2 * AGAIN_NS + 1) == [Found(API, ("127.0.0.1", "127.0.0.2"))]
    wire.zone.begin("f", {"mode": "timeout"})
    names.look(API, 20 * SECOND)
    assert names.poll(20 * SECOND + ANSWER_NS) == [Found(API, reason=f"DNS: no answer of 127.0.0.1:5300 for {API}")]


def test_a_resolver_that_is_not_there_fails_at_once(wire: Wire) -> None:
    names, wire.broken = names_of(wire), True
    names.look(API, 0)
    assert names.poll(1) == [Found(API, reason="DNS: 127.0.0.1:5300: connection refused")]
    wire.broken = False
    names.look(API, 2)
    assert names.poll(3)[0].addresses


def test_a_sandbox_is_never_looked_for_on_other_machines(wire: Wire) -> None:
    wire.zone.put(API, {"ttl": 5, "values": ["127.0.0.1", "192.0.2.7"]})
    names = names_of(wire, only=here())
    names.look(API, 0)
    assert names.poll(1) == [Found(API, reason=f"{API} leads to 192.0.2.7, which is not on this machine")]
    assert names.look(API, 2) is None


def test_the_system_is_asked_on_a_thread_and_never_waited_for() -> None:
    work: list[Callable[[], None]] = []
    names = SystemNames(work.append)
    assert names.look("localhost", 0) is None
    assert names.look("localhost", 0) is None
    assert len(work) == 1
    assert names.poll(1) == []
    work.pop()()
    assert names.poll(2) == [Found("localhost", ("127.0.0.1",))]
    assert names.look("localhost", 900 * MS) == ("127.0.0.1",)


def test_a_label_that_is_too_long_is_a_failure_like_others() -> None:
    work: list[Callable[[], None]] = []
    names = SystemNames(work.append)
    names.look("x" * 70 + ".test", 0)
    work.pop()()
    (found,) = names.poll(1)
    assert not found.addresses
    assert found.reason


# -- connections -----------------------------------------------------------------------------------------------------


def bench_of(wire: Wire, sessions: int = 4, hosts: tuple[str, ...] = (API,), **options: Any) -> Bench:  # noqa: ANN401
    return Bench(sessions, endpoints=tuple(Endpoint(host, 1) for host in hosts), names=names_of(wire), **options)


def test_sessions_spread_over_the_addresses_of_a_name(wire: Wire) -> None:
    bench = bench_of(wire)
    bench.run(20)
    assert len(bench.of(Up)) == 4
    assert sorted(peer.target[0] for peer in bench.peers()) == ["127.0.0.1"] * 2 + ["127.0.0.2"] * 2
    assert wire.asked == 1


def test_after_a_refusal_the_next_address_is_tried(wire: Wire) -> None:
    bench = bench_of(wire, 2)
    bench.net.down = {"127.0.0.1"}
    bench.run(200)
    assert bench.pool.all_ready()
    assert {peer.target[0] for peer in bench.peers()} == {"127.0.0.2"}


def test_connections_follow_a_name_when_they_are_opened_anew_and_not_before(wire: Wire) -> None:
    bench = bench_of(wire)
    bench.run(20)
    wire.zone.put(API, {"ttl": 5, "values": ["127.0.0.9"]})
    bench.run(7000, step_ms=10)
    assert {peer.target[0] for peer in bench.peers()} == {"127.0.0.1", "127.0.0.2"}
    bench.pool.disconnect(1.0, bench.net.now)
    bench.run(100)
    assert [peer.target[0] for peer in bench.peers()] == ["127.0.0.9"] * 4
    assert bench.pool.all_ready()


def test_a_reconnect_within_the_time_to_live_still_goes_to_the_old_address(wire: Wire) -> None:
    bench = bench_of(wire)
    bench.run(20)
    wire.zone.put(API, {"ttl": 5, "values": ["127.0.0.9"]})
    bench.run(2000, step_ms=10)
    bench.pool.disconnect(1.0, bench.net.now)
    bench.run(100)
    assert {peer.target[0] for peer in bench.peers()} == {"127.0.0.1", "127.0.0.2"}


def test_a_failing_resolver_is_a_failed_connect_counted_and_tried_again(wire: Wire) -> None:
    wire.zone.begin("f", {"mode": "servfail"})
    bench = bench_of(wire)
    bench.run(500)
    assert not bench.of(Up)
    assert bench.net.made == []
    assert bench.pool.last_error == f"{API}:1: DNS: SERVFAIL of 127.0.0.1:5300 for {API}"
    assert 4 * 5 <= bench.pool.unresolved <= 4 * 10, "each 50 ms"
    wire.zone.end("f")
    bench.run(100)
    assert bench.pool.all_ready()


def test_those_that_come_back_are_paced_whatever_the_resolver_did(wire: Wire) -> None:
    wire.zone.begin("f", {"mode": "timeout"})
    bench = bench_of(wire, 100, connects_per_s=100.0)
    bench.run(1500)
    wire.zone.end("f")
    made = len(bench.net.made)
    bench.run(1000)
    assert len(bench.net.made) - made <= 112
    bench.run(2500)
    assert bench.pool.all_ready()


def test_with_a_silent_resolver_nothing_else_stands_still(wire: Wire) -> None:
    wire.zone.begin("f", {"mode": "timeout"})
    bench = bench_of(wire, 2, hosts=(API, "127.0.0.5"))
    bench.run(20)
    assert [peer.target[0] for peer in bench.peers()] == ["127.0.0.5"]
    bench.run(1100)
    assert bench.pool.all_ready(), "the other went on to the next endpoint"


def test_closing_while_a_name_is_looked_up_leaves_nothing(wire: Wire) -> None:
    wire.zone.begin("f", {"mode": "timeout"})
    bench = bench_of(wire)
    bench.run(20)
    bench.pool.close()
    assert bench.net.open == {}


# -- what a venue may say --------------------------------------------------------------------------------------------


def test_a_resolver_is_told_by_address() -> None:
    assert resolver_of({}) is None
    assert resolver_of({"resolver": "127.0.0.1:5300"}) == "127.0.0.1:5300"
    assert resolver_of({"resolver": "[::1]:53"}) == "[::1]:53"
    for wrong in ("localhost:53", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:x", 53):
        with pytest.raises(DefinitionError, match=r"venue\.resolver"):
            resolver_of({"resolver": wrong})


def test_a_sandbox_by_name_needs_a_resolver_of_this_machine() -> None:
    class Named:
        endpoints = (Endpoint(API, 1),)

    wire: Any = Named()
    check_loopback("sandbox", wire, "127.0.0.1:5300")
    for resolver in (None, "192.0.2.1:53"):
        with pytest.raises(Refused, match="not on this machine"):
            check_loopback("sandbox", wire, resolver)
    check_loopback("bybit-v5", wire, None)


def test_no_name_makes_a_message_that_is_none() -> None:
    for wrong in ("", ".", "a..b", "x" * 64 + ".test", ".".join(["abcdefgh"] * 40), "müster.test"):
        with pytest.raises(ValueError, match="host name"):
            dnsmessage.question(1, wrong)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_answer_are_a_value_error(data: bytes) -> None:
    for message in (data, b"\0\1\x80\0\0\1\0\2\0\0\0\1" + data):
        with contextlib.suppress(ValueError):
            dnsmessage.read(message)
