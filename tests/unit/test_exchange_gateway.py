"""The gateway's parts without a socket: request checks, replies, routing, time-outs, and truth before answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import BadUse
from sandbox.exchange import gateway_links
from sandbox.exchange.codes import RetCode
from sandbox.exchange.gateway import GatewayConfig
from sandbox.exchange.gateway_desk import Desk
from sandbox.exchange.gateway_links import EngineLink, Router
from sandbox.exchange.gateway_metrics import GatewayMetrics
from sandbox.exchange.gateway_outbox import Asked, Outbox
from sandbox.exchange.gateway_requests import (
    Query,
    command,
    status_reply,
)
from sandbox.exchange.gateway_sessions import Session
from sandbox.exchange.signing import Keyring
from sandbox.exchange.wire import Lines, WireError, encode

ORDER = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderType": "Limit",
    "qty": "0.5",
    "price": "100",
    "timeInForce": "PostOnly",
    "orderLinkId": "run-1",
}


class Truth:
    """Keeps what is appended, or fails like a full disk."""

    def __init__(self, log: list[Any]) -> None:
        self.log, self.full = log, False

    def append(self, records: list[dict[str, Any]]) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.log.append(records)


class Loop:
    """Gathers callbacks until `tick`."""

    def __init__(self) -> None:
        self._soon: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

    def tick(self) -> None:
        soon, self._soon = self._soon, []
        for callback in soon:
            callback()


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True


class Rig:
    """A router with two links, an outbox and nothing real around them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop, self.log, self.fatal = Loop(), list[Any](), list[OSError]()
        self.now = 100.0
        self.truth, self.metrics = Truth(self.log), GatewayMetrics()
        loop = cast(asyncio.AbstractEventLoop, self.loop)
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        self.outbox = Outbox(loop, self.truth, self.metrics, self.fatal.append)
        engines = {"engine-0": ("127.0.0.1", 1), "engine-1": ("127.0.0.1", 2)}
        self.router = Router("gateway-0", engines, self.outbox, self.metrics)
        self.first, self.second = self.router.links
        self.transports: dict[str, Transport] = {}

    def connect(self, link: EngineLink, epoch: int = 0) -> Transport:
        transport = self.transports[link.name] = Transport()
        link.connection_made(cast(asyncio.Transport, transport))
        self.says(link, epoch)
        transport.written = b""
        return transport

    def says(self, link: EngineLink, epoch: int, leader: bool = True) -> None:
        leader = leader and epoch > 0
        link.data_received(encode({"s": {"instance": link.name, "leader": leader, "epoch": epoch, "applied": 0}}))

    def submit(self, ident: str = "a", alive: Callable[[], bool] = lambda: True) -> None:
        wanted = command("place", "acct-1", None, ORDER | {"orderLinkId": ident}, 7)
        asked = Asked("place", ident, ident, 7, lambda reply: self.log.append((ident, reply.code)), alive)
        self.router.submit(asked, wanted)

    def sent(self, link: EngineLink) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.transports[link.name].written.splitlines()]

    def answers(self) -> list[tuple[str, int]]:
        return [entry for entry in self.log if isinstance(entry, tuple)]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


class TestRouting:
    def test_without_a_leader_nothing_is_executed(self, rig: Rig) -> None:
        rig.connect(rig.first)
        rig.submit()
        rig.loop.tick()
        assert rig.answers() == [("a", RetCode.UNAVAILABLE)]
        assert rig.sent(rig.first) == []

    def test_the_highest_epoch_leads_and_a_silent_leader_keeps_the_lead_until_then(self, rig: Rig) -> None:
        rig.connect(rig.first, 3)
        rig.connect(rig.second)
        assert (rig.router.leader, rig.router.epoch) == ("engine-0", 3)
        rig.says(rig.second, 4)
        assert (rig.router.leader, rig.router.epoch) == ("engine-1", 4)
        rig.says(rig.first, 3)  # an old leader that woke up and does not know yet
        assert rig.router.leader == "engine-1"
        rig.second.connection_lost(None)
        assert rig.router.leader == "engine-0"
        rig.says(rig.first, 4, leader=False)
        assert rig.router.leader is None
        assert rig.router.epoch == 0

    def test_commands_of_one_tick_leave_in_one_line(self, rig: Rig) -> None:
        rig.connect(rig.first, 1)
        rig.submit("a")
        rig.submit("b")
        assert rig.sent(rig.first) == []
        rig.loop.tick()
        [message] = rig.sent(rig.first)
        assert [(row[0], row[4]) for row in message["c"]] == [(1, "a"), (2, "b")]

    def test_answers_are_recorded_in_one_piece_before_any_is_sent(self, rig: Rig) -> None:
        rig.connect(rig.first, 1)
        rig.submit("a")
        rig.submit("b")
        rig.loop.tick()
        rig.first.data_received(encode({"r": [[2, 0, 1, 1, "O1", "New", 0], [1, 110301, 2, 1, "O2", "Rejected", 0]]}))
        assert rig.log == []
        rig.loop.tick()
        [[record], *answers] = rig.log
        assert (record["e"], record["r"]) == ("reply", [["b", "place", 0, 1, 1, 7], ["a", "place", 110301, 2, 1, 7]])
        assert answers == [("b", 0), ("a", 110301)]

    def test_a_client_that_has_gone_is_neither_answered_nor_recorded(self, rig: Rig) -> None:
        rig.submit(alive=lambda: False)
        rig.loop.tick()
        assert rig.log == []

    def test_no_answer_leaves_when_the_truth_cannot_be_written(self, rig: Rig) -> None:
        rig.truth.full = True
        rig.submit()
        rig.loop.tick()
        assert rig.answers() == []
        assert [error.errno for error in rig.fatal] == [28]

    def test_after_two_seconds_the_outcome_is_unknown_and_a_late_answer_is_dropped(self, rig: Rig) -> None:
        rig.connect(rig.first, 1)
        rig.submit()
        rig.loop.tick()
        rig.first.sweep(rig.now + 1.99)
        assert rig.router.pending == 1
        rig.first.sweep(rig.now + 2.0)
        rig.first.data_received(encode({"r": [[1, 0, 1, 1, "O1", "New", 0]]}))
        rig.loop.tick()
        assert rig.answers() == [("a", RetCode.TIMEOUT)]
        assert rig.metrics.registry.get_sample_value("exchange_late_replies_total") == 1

    def test_a_lost_connection_leaves_the_written_unknown_and_the_unwritten_not_executed(self, rig: Rig) -> None:
        rig.connect(rig.first, 1)
        rig.submit("written")
        rig.loop.tick()
        rig.submit("unwritten")
        rig.first.connection_lost(None)
        rig.loop.tick()
        assert rig.answers() == [("written", RetCode.TIMEOUT), ("unwritten", RetCode.UNAVAILABLE)]
        assert rig.router.leader is None

    def test_too_many_unanswered_requests_are_refused(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gateway_links, "MAX_PENDING", 1)
        rig.connect(rig.first, 1)
        rig.submit("a")
        rig.submit("b")
        rig.loop.tick()
        rig.loop.tick()
        assert rig.answers() == [("b", RetCode.UNAVAILABLE)]

    @pytest.mark.parametrize(
        "data", [b"nonsense\n", b"[]\n", b'{"r":[[1]]}\n', b'{"s":{}}\n', b'{"r":5}\n', b'{"r":[5]}\n']
    )
    def test_an_engine_that_talks_nonsense_is_dropped(self, rig: Rig, data: bytes) -> None:
        transport = rig.connect(rig.first, 1)
        rig.submit()
        rig.loop.tick()
        rig.first.data_received(data)
        assert transport.aborted
        rig.first.connection_lost(None)
        rig.loop.tick()
        assert rig.answers() == [("a", RetCode.TIMEOUT)]

    def test_a_question_is_answered_by_the_leader(self, rig: Rig) -> None:
        rig.connect(rig.first, 1)
        asked = Asked("status", "a", "", 7, lambda reply: rig.log.append(reply.data), lambda: True)
        rig.router.ask(asked, Query("acct-1", "order", "a"), status_reply)
        rig.loop.tick()
        assert rig.sent(rig.first) == [{"q": [[1, "acct-1", "order", "a"]]}]
        rig.first.data_received(encode({"a": [[1, None]]}))
        rig.loop.tick()
        assert rig.log[1:] == [{"found": False}]

    def test_a_question_to_an_engine_that_no_longer_leads_is_unavailable_at_once(self, rig: Rig) -> None:
        rig.connect(rig.first, 1)
        codes: list[int] = []
        asked = Asked("status", "a", "", 7, lambda reply: codes.append(reply.code), lambda: True)
        rig.router.ask(asked, Query("acct-1", "order", "a"), status_reply)
        rig.loop.tick()
        rig.first.data_received(encode({"x": [1]}))
        rig.loop.tick()
        assert codes == [RetCode.UNAVAILABLE]


class Socket:
    """A WebSocket transport whose client reads nothing once `unread` is large."""

    def __init__(self) -> None:
        self.unread, self.sent, self.cut = 0, list[bytes](), False
        self.underlying_transport = self

    def get_write_buffer_size(self) -> int:
        return self.unread

    def send(self, _kind: object, message: bytes) -> None:
        self.sent.append(message)

    def disconnect(self, graceful: bool) -> None:
        self.cut = not graceful


def test_a_client_that_does_not_read_is_cut_off(rig: Rig) -> None:
    sessions, transport = set[Session](), Socket()
    session = Session(Desk(rig.router, rig.outbox, rig.metrics, Keyring(b"x")), sessions)
    session.on_ws_connected(cast(Any, transport))
    session._message(b'{"op":"ping"}')
    assert len(transport.sent) == 1
    transport.unread = 5 * 1024 * 1024
    session._message(b'{"op":"ping"}')
    assert (len(transport.sent), transport.cut, len(sessions)) == (1, True, 1)
    session.on_ws_disconnected(cast(Any, transport))
    session._message(b"nonsense")
    rig.loop.tick()
    assert (len(transport.sent), rig.log, sessions) == (1, [], set())


class TestWire:
    @given(
        st.lists(st.dictionaries(st.text(max_size=5), st.integers(0, 99), max_size=3), max_size=8), st.integers(1, 9)
    )
    def test_any_cut_of_the_stream_gives_the_same_messages(self, messages: list[dict[str, int]], size: int) -> None:
        stream, lines, out = b"".join(map(encode, messages)), Lines(), list[dict[str, Any]]()
        for start in range(0, len(stream), size):
            out += lines.feed(stream[start : start + size])
        assert out == messages

    def test_an_endless_line_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sandbox.exchange.wire.MAX_LINE", 10)
        with pytest.raises(WireError, match="longer"):
            Lines().feed(b"x" * 11)


class TestEnvironment:
    @pytest.fixture
    def env(self, tmp_path: Path) -> dict[str, str]:
        (tmp_path / "secret").write_text("s3cret\n")
        return {
            "MUSTER_INSTANCE": "gateway-0",
            "MUSTER_ZONE": "tyo-a",
            "MUSTER_REST_PORT": "8001",
            "MUSTER_WS_PORT": "8002",
            "MUSTER_ENGINES": "engine-0=127.0.0.1:9001,engine-1=127.0.0.1:9002",
            "MUSTER_SECRET_FILE": str(tmp_path / "secret"),
            "MUSTER_TRUTH": str(tmp_path / "truth.ndjson"),
        }

    def test_it_is_read(self, env: dict[str, str]) -> None:
        config = GatewayConfig.from_env(env)
        assert config.engines == {"engine-0": ("127.0.0.1", 9001), "engine-1": ("127.0.0.1", 9002)}
        assert (config.rest_port, config.ws_port, config.master) == (8001, 8002, b"s3cret")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("MUSTER_REST_PORT", "http"),
            ("MUSTER_WS_PORT", "70000"),
            ("MUSTER_ENGINES", "engine-0"),
            ("MUSTER_ENGINES", "engine-0=127.0.0.1:x"),
            ("MUSTER_SECRET_FILE", "/nowhere/secret"),
            ("MUSTER_SECRET_FILE", "/dev/null"),
            ("MUSTER_TRUTH", ""),
        ],
    )
    def test_a_wrong_variable_is_named(self, env: dict[str, str], name: str, value: str) -> None:
        with pytest.raises(BadUse, match=name):
            GatewayConfig.from_env(env | {name: value})
