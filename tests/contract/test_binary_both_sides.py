"""The binary protocol has two codecs that do not know each other: what one side writes, the other reads."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.builder import Row, build
from loadgen.venues import sandbox_binary as client
from loadgen.venues.endpoints import endpoint
from loadgen.venues.sandbox_binary import BinaryConversation, SandboxBinary
from loadgen.venues.wire import Answer, Inbox, Meaning, ProtocolError
from sandbox.exchange import binary
from sandbox.exchange.binary import Cutter, OrderMessage, Type
from sandbox.exchange.codes import RetCode, Status
from sandbox.exchange.commands import Command, text8
from sandbox.exchange.gateway_binary import BinaryDoor
from sandbox.exchange.gateway_desk import Desk
from sandbox.exchange.gateway_links import Router
from sandbox.exchange.gateway_metrics import GatewayMetrics
from sandbox.exchange.gateway_outbox import Outbox
from sandbox.exchange.gateway_requests import command
from sandbox.exchange.signing import Keyring, account_secret
from tests.sandbox.fake_engine import FakeEngine

MASTER = b"not really a secret"
HOST = "127.0.0.1"


def secret(session: int) -> tuple[str, bytes]:
    account = f"acct-{session}"
    return account, account_secret(MASTER, account).encode()


def wire(rows: list[Row], url: str = "tcp://127.0.0.1:9") -> SandboxBinary:
    return SandboxBinary(build("t", rows, {}), "run-1", [endpoint(url, "tcp")], secret)


def test_both_sides_number_the_messages_alike() -> None:
    named = {name: getattr(client, name) for name in Type.__members__}
    assert named == {name: int(member) for name, member in Type.__members__.items()}
    assert client.VERSION == binary.VERSION


AMOUNT = st.integers(1, 10**18)
PLACE = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(["BTCUSDT", "ETHUSDT", "10000000AIDOGEUSDT"]),
        "side": st.sampled_from(["Buy", "Sell"]),
        "type": st.sampled_from(["Limit", "Limit", "Market"]),
        "tif": st.sampled_from(["GTC", "IOC", "PostOnly"]),
        "price8": AMOUNT,
        "qty8": AMOUNT,
    }
)
FOLLOW = st.fixed_dictionaries(
    {"op": st.sampled_from(["cancel", "amend"]), "price8": AMOUNT | st.none(), "qty8": AMOUNT | st.none()}
)


def recording(places: list[dict[str, Any]], follows: list[dict[str, Any]]) -> list[Row]:
    rows = [Row(0, 0, "a", "place", **place, client_id=f"c{n}") for n, place in enumerate(places)]
    for row in rows:
        row.price8 = None if row.type == "Market" else row.price8
    for n, follow in enumerate(follows):
        named = n % len(places)
        if follow["op"] == "cancel":
            follow |= {"price8": None, "qty8": None}
        elif follow["price8"] is follow["qty8"] is None:
            follow["qty8"] = 1
        rows.append(Row(0, 0, "a", symbol=rows[named].symbol, parent=f"c{named}", **follow))
    return rows


def over_json(number: int, row: Row) -> Command:
    """The command of the same operation over WebSocket."""
    named = number if row.op == "place" else int(str(row.parent)[1:])
    args: dict[str, Any] = {"symbol": row.symbol, "orderLinkId": f"run-1-{named:010}"}
    args |= {"side": row.side, "orderType": row.type, "timeInForce": row.tif} if row.op == "place" else {}
    args |= {} if row.price8 is None else {"price": text8(row.price8)}
    args |= {} if row.qty8 is None else {"qty": text8(row.qty8)}
    return command(row.op, "acct-0", f"run-1-{number:010}", args, 0)


class Kept(Router):
    """Keeps the commands that a session submits."""

    def __init__(self) -> None:
        self.commands: list[Command] = []

    def submit(self, asked: object, command: Command) -> None:
        self.commands.append(command)


class Nowhere(asyncio.Transport):
    """A transport whose client reads everything and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


@settings(max_examples=50, deadline=None)
@given(st.lists(PLACE, min_size=1, max_size=9), st.lists(FOLLOW, max_size=9))
def test_an_operation_is_the_same_command_as_over_json(
    places: list[dict[str, Any]], follows: list[dict[str, Any]]
) -> None:
    rows = recording(places, follows)
    made, kept, heard = wire(rows), Kept(), Nowhere()
    desk = Desk(kept, None, GatewayMetrics(), Keyring(MASTER))  # type: ignore[arg-type]  # nothing is refused here
    session = BinaryDoor(desk).accept()
    session.connection_made(heard)
    session.data_received(made.converse(0).greet())
    numbers = np.arange(len(rows))
    parents = np.array([-1 if row.parent is None else int(row.parent[1:]) for row in rows])
    data, _ = made.window(numbers, numbers, parents, np.full(len(rows), time.time_ns() // 1_000_000))
    session.data_received(bytes(data))
    conversation = made.converse(0)
    conversation.feed(heard.written, Inbox())
    assert conversation.ready
    for command_ in kept.commands:
        command_.t_ns = 0
    assert kept.commands == [over_json(number, row) for number, row in enumerate(rows)]


def test_a_status_asks_for_what_the_operation_was() -> None:
    rows = recording([{"symbol": "BTCUSDT", "side": "Buy", "type": "Market", "tif": "IOC", "qty8": 1}], [])
    rows += [Row(0, 0, "a", "cancel", "BTCUSDT", parent="c0")]
    made = wire(rows)
    asked = [binary.read_order(message) for _, message in Cutter().feed(made.status(5, 0, 0) + made.status(6, 1, 0))]
    assert [(entry.type, entry.number) for entry in asked] == [(Type.ORDER_STATUS, 5), (Type.REQUEST_STATUS, 6)]
    assert all(isinstance(entry, OrderMessage) for entry in asked)


def test_every_answer_is_understood() -> None:
    inbox, conversation = (
        Inbox(),
        wire([Row(0, 0, "a", "place", "BTCUSDT", "Buy", "Market", "IOC", None, 1, "c")]).converse(0),
    )
    said = binary.logged_in(0) + binary.pong() + binary.answer(1, 0, 9, 2, Status.NEW)
    said += binary.answer(2, RetCode.ORDER_NOT_FOUND, 10, 2, Status.REJECTED)
    said += binary.answer(3, 0, 2**62, 2**32 - 1, Status.FILLED)
    said += binary.status(4, 0, 11, 2, True, Status.PARTIAL) + binary.status(5, 0, 0, 0, False, "")
    said += binary.status(6, RetCode.UNAVAILABLE, 0, 0, False, "")
    conversation.feed(said, inbox)
    assert conversation.ready
    assert [column.tolist() for column in inbox.bulk[0]] == [[1, 3], [9, 2**62], [2, 2**32 - 1]]
    assert inbox.answers == [
        Answer(2, Meaning.REJECT, "110001", seq=10, epoch=2),
        Answer(4, Meaning.OK, asked=True, seq=11, epoch=2),
        Answer(5, Meaning.OK, asked=True, found=False),
        Answer(6, Meaning.UNAVAILABLE, "10016", asked=True),
    ]
    with pytest.raises(ProtocolError, match=r"hung up by the gateway: unknown type 77 \(10001\)"):
        conversation.feed(binary.bye(10001, "unknown type 77"), inbox)
    with pytest.raises(ProtocolError, match="sign-in refused: 10004"):
        conversation.feed(binary.logged_in(RetCode.BAD_SIGNATURE), inbox)


class Quiet:
    """A truth log that forgets."""

    def append(self, records: list[dict[str, Any]]) -> None:
        pass


class Gateway:
    """The binary side of a gateway with an engine behind it, in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.engine, self.metrics = FakeEngine(), GatewayMetrics()
        self.port = 0
        self.door: BinaryDoor

    async def start(self) -> None:
        await self.engine.start()
        outbox = Outbox(self.loop, Quiet(), self.metrics, lambda error: None)
        router = Router("gateway-0", {"engine-0": (HOST, self.engine.port)}, outbox, self.metrics)
        self.links = asyncio.create_task(router.run())
        self.door = BinaryDoor(Desk(router, outbox, self.metrics, Keyring(MASTER)))
        self.server = await self.door.open(HOST, 0)
        self.port = self.server.sockets[0].getsockname()[1]
        while router.leader is None:
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self.server.close()
        self.door.close()
        self.links.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.links
        await self.engine.stop()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()
    thread = threading.Thread(target=made.loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(made.start(), made.loop).result(10)
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(made.stop(), made.loop).result(10)
        made.loop.call_soon_threadsafe(made.loop.stop)
        thread.join()
        made.loop.close()


def read(sock: socket.socket, conversation: BinaryConversation, inbox: Inbox) -> bool:
    """Feed what comes within 5 s; False at the end of the stream."""
    assert select.select([sock], [], [], 5)[0], "nothing came within 5 s"
    data = sock.recv(1 << 16)
    conversation.feed(data, inbox)
    return bool(data)


def test_a_window_over_a_socket_and_the_end_of_the_gateway(gateway: Gateway) -> None:
    count = 500
    rows = [Row(n, 0, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 10**8, 10**8, f"c{n}") for n in range(count)]
    rows += [Row(count + n, 0, "a", "cancel", "BTCUSDT", parent=f"c{n}") for n in range(count)]
    made, inbox = wire(rows, f"tcp://{HOST}:{gateway.port}"), Inbox()
    numbers, conversation = np.arange(2 * count), made.converse(0)
    parents = np.where(numbers < count, -1, numbers - count)
    data, _ = made.window(numbers, numbers, parents, np.full(2 * count, time.time_ns() // 1_000_000))
    with socket.create_connection((HOST, gateway.port)) as sock:
        sock.sendall(conversation.greet() + data)
        while sum(len(piece[0]) for piece in inbox.bulk) < 2 * count:
            assert read(sock, conversation, inbox)
        assert sorted(n for piece in inbox.bulk for n in piece[0].tolist()) == numbers.tolist()
        assert inbox.answers == []
        journal = [row.op_id for row in gateway.engine.market.journal.rows()]
        assert journal == [f"run-1-{number:010}" for number in range(2 * count)]
        gateway.loop.call_soon_threadsafe(gateway.door.close)
        with pytest.raises(ProtocolError, match="hung up by the gateway: the gateway stops"):
            read(sock, conversation, inbox)
        assert sock.recv(1) == b""
