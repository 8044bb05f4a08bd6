"""The stub venue of the benchmarks answers what the sandbox's gateways answer."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Any

import orjson
import pytest
import requests
import websocket

from benchmarks.stub.venue import Stall, Stub, stub

ORDER, ANSWER = Struct("<HBBBBBxQQqqqH14x"), Struct("<HBBiQQIBB2x")
DATA = ["orderId", "orderLinkId", "seq", "epoch", "status", "filled"]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stub]:
    with stub(tmp_path_factory.mktemp("stub")) as running:
        yield running


def connect(target: Stub) -> websocket.WebSocket:
    return websocket.create_connection(f"ws://127.0.0.1:{target.ports['ws']}/v5/trade", timeout=5)


def ask(client: websocket.WebSocket, op: str, **fields: str) -> dict[str, Any]:
    client.send(orjson.dumps({"reqId": "run-0000000001", "op": op, "args": [fields]}).decode())
    answer: dict[str, Any] = orjson.loads(client.recv())
    return answer


def test_websocket_answers_like_a_gateway(target: Stub) -> None:
    client = connect(target)
    assert list(ask(client, "auth")) == ["reqId", "retCode", "retMsg", "op", "connId"]
    placed = ask(client, "order.create", orderLinkId="run-0000000001")
    assert list(placed) == ["reqId", "retCode", "retMsg", "op", "data"]
    assert (placed["reqId"], placed["retCode"], placed["op"]) == ("run-0000000001", 0, "order.create")
    assert list(placed["data"]) == DATA
    assert placed["data"]["orderLinkId"] == "run-0000000001"
    cancelled = ask(client, "order.cancel", orderLinkId="run-0000000001")
    assert cancelled["data"]["status"] == "Cancelled"
    assert cancelled["data"]["seq"] > placed["data"]["seq"]
    assert ask(client, "order.status", orderLinkId="run-0000000001")["data"]["found"] is True
    assert ask(client, "ping")["op"] == "pong"
    client.close()


def test_websocket_reads_messages_of_every_length(target: Stub) -> None:
    client = connect(target)
    for size in (0, 1, 40, 125, 126, 5000, 70_000):
        assert ask(client, "order.create", orderLinkId="x", pad="p" * size)["retCode"] == 0
    client.close()


def test_messages_that_come_in_pieces_and_in_heaps(target: Stub) -> None:
    place = ORDER.pack(ORDER.size, 16, 1, 1, 1, 1, 7, 0, 100, 100, 0, 0)
    with socket.create_connection(("127.0.0.1", target.ports["binary"]), 5) as client:
        client.sendall(place[:10])
        client.sendall(place[10:] + place * 4000)
        received = b""
        while len(received) < 4001 * ANSWER.size:
            received += client.recv(1 << 16)
    answers = list(ANSWER.iter_unpack(received))
    seqs = [answer[5] for answer in answers]
    assert {answer[:5] for answer in answers} == {(32, 144, 1, 0, 7)}
    assert seqs == list(range(seqs[0], seqs[0] + 4001))


def test_binary_logs_in_and_answers_a_ping(target: Stub) -> None:
    with socket.create_connection(("127.0.0.1", target.ports["binary"]), 5) as client:
        login = Struct("<HBBIq32s32s32s")
        client.sendall(login.pack(login.size, 1, 1, 0, 0, b"", b"acct-0", b"run-"))
        assert ANSWER.unpack(client.recv(32))[:4] == (32, 129, 1, 0)
        client.sendall(Struct("<HBB20s").pack(24, 2, 1, b"BTCUSDT") + Struct("<HBB").pack(4, 3, 1))
        assert ANSWER.unpack(client.recv(32))[:4] == (32, 130, 1, 0)


def test_rest_keeps_the_connection_and_answers_like_a_gateway(target: Stub) -> None:
    with requests.Session() as session:
        before = target.answered()
        placed = session.post(f"{target.rest}/v5/order/create", json={"orderLinkId": "a-1"}, timeout=5)
        cancelled = session.post(f"{target.rest}/v5/order/cancel", json={"orderLinkId": "a-1"}, timeout=5)
        asked = session.get(f"{target.rest}/v5/order/realtime?orderLinkId=a-1", timeout=5)
        assert session.get(f"{target.rest}/", timeout=5).status_code == 200
    assert list(placed.json()) == ["retCode", "retMsg", "result", "time"]
    assert list(placed.json()["result"]) == DATA
    assert placed.json()["result"]["orderLinkId"] == "a-1"
    assert cancelled.json()["result"]["status"] == "Cancelled"
    assert asked.json()["result"]["found"] is True
    assert target.answered() == before + 3


def test_in_a_stall_orders_wait_for_its_end_and_pings_do_not(tmp_path: Path) -> None:
    with stub(tmp_path, Stall(0.0, 0.3)) as target:
        client = connect(target)
        ask(client, "order.create", orderLinkId="first")  # begins the stall
        client.send('{"reqId":"b","op":"order.create","args":[{"orderLinkId":"b"}]}')
        client.send('{"reqId":"c","op":"ping"}')
        heard = [(orjson.loads(client.recv())["reqId"], time.monotonic_ns()) for _ in range(2)]
        begin, end = target.stalled()
        client.close()
    assert [name for name, _ in heard] == ["c", "b"]
    assert end - begin >= 300_000_000
    assert heard[1][1] >= end


def test_the_stub_ends_with_its_standard_input(tmp_path: Path) -> None:
    with stub(tmp_path) as target:
        port = target.ports["rest"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)
