"""The binary protocol at the gateway, without a socket: every byte of a message, what is refused, who is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from struct import pack, unpack
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.errors import BadUse
from sandbox.exchange import binary
from sandbox.exchange.binary import Type
from sandbox.exchange.codes import RetCode
from sandbox.exchange.commands import MAX8, UNIT, Command
from sandbox.exchange.gateway import GatewayConfig
from sandbox.exchange.gateway_binary import BinaryDoor, BinarySession
from sandbox.exchange.gateway_desk import Desk
from sandbox.exchange.gateway_links import Router
from sandbox.exchange.gateway_metrics import GatewayMetrics
from sandbox.exchange.gateway_outbox import Outbox
from sandbox.exchange.market import Market
from sandbox.exchange.signing import Keyring, account_secret, sign
from sandbox.exchange.wire import Lines, encode

MASTER = b"test-master"
NOW_MS = 1_700_000_000_000


class Loop:
    """Gathers callbacks until `tick`."""

    def __init__(self) -> None:
        self._soon: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

    def tick(self) -> None:
        while self._soon:
            soon, self._soon = self._soon, []
            for callback in soon:
                callback()


class Truth:
    """Keeps every recorded reply."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []

    def append(self, records: list[dict[str, Any]]) -> None:
        self.rows += [row for record in records for row in record["r"]]


class Transport:
    """Keeps what is written; `unread` is what the other end has not taken."""

    def __init__(self) -> None:
        self.written, self.unread, self.closed, self.aborted = b"", 0, False, False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True


class Rig:
    """A gateway's binary side in front of a market, nothing real around them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop, self.truth, self.metrics, self.market = Loop(), Truth(), GatewayMetrics(), Market()
        loop = cast(asyncio.AbstractEventLoop, self.loop)
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
        monkeypatch.setattr("time.time_ns", lambda: NOW_MS * 1_000_000)
        outbox = Outbox(loop, self.truth, self.metrics, lambda error: pytest.fail(str(error)))
        self.router = Router("gateway-0", {"engine-0": ("127.0.0.1", 1)}, outbox, self.metrics)
        self.door = BinaryDoor(Desk(self.router, outbox, self.metrics, Keyring(MASTER)))
        self.commands: list[Command] = []
        [self._link] = self.router.links
        self._engine = Transport()
        self._link.connection_made(cast(asyncio.Transport, self._engine))
        self.leads(1)

    def leads(self, epoch: int) -> None:
        status = {"instance": "engine-0", "leader": epoch > 0, "epoch": epoch, "applied": 0}
        self._link.data_received(encode({"s": status}))
        self._engine.written = b""

    def work(self) -> None:
        """Let the engine carry out what it was sent, and the answers leave."""
        self.loop.tick()
        lines, self._engine.written = self._engine.written, b""
        for message in Lines().feed(lines):
            for rid, *row in message.get("c", []):
                self.commands.append(Command(*row))
                self._link.data_received(encode({"r": [[rid, *self.market.apply(1, Command(*row)).to_row()]]}))
            for rid, *question in message.get("q", []):
                self._link.data_received(encode({"a": [[rid, self.market.status_of(*question)]]}))
        self.loop.tick()

    def client(self, *, prefix: bytes = b"run-1-", logged_in: bool = True) -> Client:
        client = Client(self, self.door.accept())
        if logged_in:
            client.says(login(prefix=prefix) + symbols(b"BTCUSDT", b"ETHUSDT", b"btc"))
            assert client.heard() == [(32, 129, 1, 0, 0, 0, 0, 0, 0)]
        return client


class Client:
    """One connection."""

    def __init__(self, rig: Rig, session: BinarySession) -> None:
        self._rig, self.session, self.transport = rig, session, Transport()
        session.connection_made(cast(asyncio.Transport, self.transport))

    def says(self, data: bytes) -> None:
        self.session.data_received(data)
        self._rig.work()

    def heard(self) -> list[tuple[int, ...]]:
        """Answers since the last call: length, type, version, code, number, seq, epoch, found, status."""
        written, self.transport.written = self.transport.written, b""
        assert len(written) % 32 == 0
        return [unpack("<HBBiQQIBBxx", written[at : at + 32]) for at in range(0, len(written), 32)]

    def asks(self, data: bytes) -> tuple[int, ...]:
        """Code, seq, epoch, found and status of the one answer to a message."""
        self.says(data)
        [(_, _, _, code, _, *rest)] = self.heard()
        return (code, *rest)

    def farewell(self) -> tuple[int, str]:
        """Code and reason of the last message."""
        size, kind, version, code, text = unpack("<HBBi24s", self.transport.written[-32:])
        assert (size, kind, version) == (32, 255, 1)
        assert self.transport.closed
        return code, text.rstrip(b"\0").decode()


def login(
    account: bytes = b"acct-1", prefix: bytes = b"run-1-", expires: int = NOW_MS + 5000, window: int = 5000
) -> bytes:
    signature = bytes.fromhex(sign(account_secret(MASTER, account.decode("latin-1")), f"GET/realtime{expires}"))
    return pack("<HBBIq32s32s32s", 112, 1, 1, window, expires, signature, account, prefix)


def symbols(*names: bytes) -> bytes:
    return pack("<HBB", 4 + 20 * len(names), 2, 1) + b"".join(name.ljust(20, b"\0") for name in names)


def order(kind: Type, number: int = 1, **fields: int) -> bytes:
    """A place unless told otherwise: Buy, Limit, GTC, 0.5 at 100, first symbol."""
    values = {"side": 1, "type": 1, "tif": 1, "parent": 0, "price8": 100 * UNIT, "qty8": UNIT // 2, "symbol": 0}
    values |= {"sent": NOW_MS} | fields
    head = pack("<HBBBBBx", 64, kind, 1, values["side"], values["type"], values["tif"])
    body = (number, values["parent"], values["price8"], values["qty8"], values["sent"], values["symbol"])
    return head + pack("<QQqqqH14x", *body)


PING = pack("<HBB", 4, 3, 1)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


class TestOrders:
    def test_a_life_of_an_order(self, rig: Rig) -> None:
        client = rig.client()
        assert client.asks(order(Type.PLACE, 7)) == (0, 1, 1, 0, 1)
        assert client.asks(order(Type.PLACE, 7)) == (110072, 2, 1, 0, 5)
        assert client.asks(order(Type.AMEND, 8, parent=7, price8=99 * UNIT, qty8=0)) == (0, 3, 1, 0, 1)
        assert client.asks(order(Type.CANCEL, 9, parent=7)) == (0, 4, 1, 0, 4)
        assert client.asks(order(Type.CANCEL, 10, parent=7)) == (110001, 5, 1, 0, 5)
        place, _, amend, cancel, _ = rig.commands
        at, first = place.t_ns, "run-1-0000000007"
        both = ("acct-1", first, "BTCUSDT", "Buy", "Limit", "GTC", 100 * UNIT, UNIT // 2, first, None)
        assert place == Command(at, "place", *both)
        assert (amend.op_id, amend.parent, amend.price8, amend.qty8) == ("run-1-0000000008", first, 99 * UNIT, 0)
        assert (cancel.op_id, cancel.parent, cancel.price8, cancel.qty8) == ("run-1-0000000009", first, None, 0)
        assert [row[:5] for row in rig.truth.rows] == [
            [first, "place", 0, 1, 1],
            [first, "place", 110072, 2, 1],
            ["run-1-0000000008", "amend", 0, 3, 1],
            ["run-1-0000000009", "cancel", 0, 4, 1],
            ["run-1-0000000010", "cancel", 110001, 5, 1],
        ]

    def test_a_market_order_has_neither_price_nor_time_in_force(self, rig: Rig) -> None:
        rig.client().says(order(Type.PLACE, type=2, tif=3, price8=-5, side=2, symbol=1))
        [command] = rig.commands
        assert (command.symbol, command.side, command.type, command.tif, command.price8) == (
            "ETHUSDT",
            "Sell",
            "Market",
            "IOC",
            None,
        )

    def test_status_of_an_order_and_of_a_request(self, rig: Rig) -> None:
        client = rig.client()
        client.says(order(Type.PLACE, 1) + order(Type.CANCEL, 2, parent=9))
        assert [(row[4], row[3]) for row in client.heard()] == [(1, 0), (2, 110001)]
        assert client.asks(order(Type.ORDER_STATUS, 1)) == (0, 1, 1, 1, 1)
        assert client.asks(order(Type.REQUEST_STATUS, 2)) == (110001, 2, 1, 1, 5)
        assert client.asks(order(Type.REQUEST_STATUS, 3)) == (0, 0, 0, 0, 0)
        client.says(order(Type.ORDER_STATUS, 1))
        assert client.heard()[0][:2] == (32, Type.STATUS)
        rig.leads(0)
        assert client.asks(order(Type.ORDER_STATUS, 1)) == (RetCode.UNAVAILABLE, 0, 0, 0, 0)
        assert client.asks(order(Type.PLACE, 5)) == (RetCode.UNAVAILABLE, 0, 0, 0, 0)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"side": 0},
            {"side": 3},
            {"type": 0},
            {"type": 3},
            {"tif": 4},
            {"price8": 0},
            {"price8": -1},
            {"price8": MAX8 + 1},
            {"qty8": 0},
            {"qty8": MAX8 + 1},
            {"symbol": 2},  # declared, but no symbol
            {"symbol": 3},  # not declared
            {"number": 10**10},
            {"kind": Type.CANCEL, "parent": 10**10},
            {"kind": Type.CANCEL, "side": 9},
            {"kind": Type.AMEND, "price8": 0, "qty8": 0},
            {"kind": Type.AMEND, "price8": -1},
            {"kind": Type.AMEND, "qty8": -1},
            {"kind": Type.ORDER_STATUS, "number": 10**10},
        ],
    )
    def test_a_wrong_field_is_refused_and_the_connection_goes_on(self, rig: Rig, wrong: dict[str, Any]) -> None:
        client = rig.client()
        assert client.asks(order(**({"kind": Type.PLACE} | wrong))) == (RetCode.BAD_REQUEST, 0, 0, 0, 0)
        assert rig.commands == []
        assert client.asks(order(Type.PLACE)) == (0, 1, 1, 0, 1)

    @pytest.mark.parametrize(
        ("sent", "code"),
        [(NOW_MS - 5000, 0), (NOW_MS - 5001, 10002), (NOW_MS + 999, 0), (NOW_MS + 1000, 10002), (-1, 10002)],
    )
    def test_every_message_has_to_be_fresh(self, rig: Rig, sent: int, code: int) -> None:
        assert rig.client().asks(order(Type.PLACE, sent=sent))[0] == code

    def test_the_prefix_of_the_ids_is_the_connections_own(self, rig: Rig) -> None:
        one, other = rig.client(), rig.client(prefix=b"x" * 26)
        one.says(order(Type.PLACE))
        other.says(order(Type.PLACE, 9_999_999_999))
        assert [command.op_id for command in rig.commands] == ["run-1-0000000001", "x" * 26 + "9999999999"]
        assert (one.heard()[0][3], other.heard()[0][3]) == (0, 0)


class TestConnections:
    def test_a_ping_needs_no_login(self, rig: Rig) -> None:
        client = rig.client(logged_in=False)
        client.says(PING)
        assert client.heard() == [(32, 130, 1, 0, 0, 0, 0, 0, 0)]

    @pytest.mark.parametrize(
        ("message", "code"),
        [
            (login(b"No Such"), 10003),
            (login(b"\xff\xfe"), 10003),
            (login(expires=NOW_MS - 1), 10002),
            (login()[:16] + bytes(32) + login()[48:], 10004),
        ],
    )
    def test_whoever_may_not_come_in_is_told_why(self, rig: Rig, message: bytes, code: int) -> None:
        client = rig.client(logged_in=False)
        client.says(message + symbols(b"BTCUSDT"))
        assert unpack("<HBBi", client.transport.written[:8]) == (32, Type.LOGGED_IN, 1, code)
        assert client.farewell() == (code, "log-in refused")

    @pytest.mark.parametrize(
        ("data", "code", "reason"),
        [
            (order(Type.PLACE), 10003, "log in first"),
            (symbols(b"BTCUSDT"), 10003, "log in first"),
            (login() + login(), 10001, "logged in already"),
            (login(prefix=b"a b"), 10001, "bad prefix of ids"),
            (login(prefix=b"x" * 27), 10001, "bad prefix of ids"),
            (pack("<HBB", 64, 77, 1), 10001, "unknown type 77"),
            (pack("<HBB", 32, 144, 1), 10001, "unknown type 144"),
            (pack("<HBB", 63, 16, 1), 10001, "type 16 of 63 bytes"),
            (pack("<HBB", 65535, 18, 1), 10001, "type 18 of 65535 bytes"),
            (pack("<HBB", 0, 3, 1), 10001, "type 3 of 0 bytes"),
            (pack("<HBB", 4, 2, 1), 10001, "type 2 of 4 bytes"),
            (pack("<HBB", 25, 2, 1), 10001, "type 2 of 25 bytes"),
            (pack("<HBB", 64, 16, 2), 10001, "version 2, not 1"),
            (b"GET / HTTP/1.1\r\n", 10001, "version 32, not 1"),
        ],
    )
    def test_who_makes_no_sense_is_told_so_and_sent_away(self, rig: Rig, data: bytes, code: int, reason: str) -> None:
        client = rig.client(logged_in=False)
        client.says(data)
        assert client.farewell() == (code, reason)
        assert rig.truth.rows[-1][:3] == ["", "other", code]
        client.transport.written = b""
        client.says(PING)
        assert client.transport.written == b""

    def test_what_came_before_the_nonsense_is_carried_out(self, rig: Rig) -> None:
        client = rig.client()
        client.says(order(Type.PLACE, 1) + b"\0\0\0\0")
        assert [command.op_id for command in rig.commands] == ["run-1-0000000001"]
        assert client.farewell() == (10001, "version 0, not 1")

    def test_symbols_may_come_in_several_messages_up_to_a_limit(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(binary, "MAX_SYMBOLS", 5)
        client = rig.client()
        client.says(symbols(b"SOLUSDT") + symbols(b"10000000AIDOGEUSDT12") + order(Type.PLACE, symbol=4))
        assert [command.symbol for command in rig.commands] == ["10000000AIDOGEUSDT12"]
        client.says(symbols(b"XRPUSDT"))
        assert client.farewell() == (10001, "too many symbols")

    def test_a_client_that_does_not_read_is_cut_off(self, rig: Rig) -> None:
        client = rig.client()
        client.transport.unread = 5 * 1024 * 1024
        client.says(PING)
        assert (client.transport.aborted, client.transport.written) == (True, b"")
        client.says(order(Type.PLACE))
        assert client.transport.written == b""

    def test_who_has_gone_is_neither_answered_nor_recorded(self, rig: Rig) -> None:
        client = rig.client()
        client.session.data_received(order(Type.PLACE))
        client.session.connection_lost(None)
        rig.work()
        assert [command.op_id for command in rig.commands] == ["run-1-0000000001"]
        assert (client.heard(), rig.truth.rows, rig.door.sessions) == ([], [], set())

    def test_a_gateway_that_stops_says_so(self, rig: Rig) -> None:
        client = rig.client()
        assert rig.metrics.registry.get_sample_value("exchange_binary_connections") == 1
        rig.door.close()
        assert client.farewell() == (0, "the gateway stops")
        client.says(order(Type.PLACE))
        assert rig.commands == []


class TestPort:
    @pytest.fixture
    def env(self, tmp_path: Path) -> dict[str, str]:
        (tmp_path / "secret").write_text("s3cret")
        ports = {"MUSTER_REST_PORT": "1", "MUSTER_WS_PORT": "2", "MUSTER_ENGINES": "engine-0=h:3"}
        files = {"MUSTER_SECRET_FILE": str(tmp_path / "secret"), "MUSTER_TRUTH": str(tmp_path / "truth")}
        return {"MUSTER_INSTANCE": "gateway-0", "MUSTER_ZONE": "tyo-a", **ports, **files}

    def test_without_a_port_there_is_no_binary_protocol(self, env: dict[str, str]) -> None:
        assert GatewayConfig.from_env(env).binary_port is None
        assert GatewayConfig.from_env(env | {"MUSTER_BINARY_PORT": "4"}).binary_port == 4

    def test_a_wrong_port_is_named(self, env: dict[str, str]) -> None:
        with pytest.raises(BadUse, match="MUSTER_BINARY_PORT is not a port: '0'"):
            GatewayConfig.from_env(env | {"MUSTER_BINARY_PORT": "0"})


@given(st.binary(min_size=60, max_size=60), st.sampled_from([16, 17, 18, 19, 20]))
def test_no_order_message_brings_the_gateway_down(body: bytes, kind: int) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        rig = Rig(monkeypatch)
        client = rig.client()
        for data in (body, body[:36] + pack("<q", NOW_MS) + body[44:46] + bytes(14)):
            client.says(pack("<HBB", 64, kind, 1) + data)
        assert len(client.heard()) == 2
