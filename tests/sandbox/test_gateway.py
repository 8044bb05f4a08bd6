"""The gateway as a process: clients on one side, fake engines on the other."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path

import aiohttp
import pytest

from tests.sandbox.gateway_box import ORDER, GatewayBox, header, now_ms, until

pytestmark = pytest.mark.sandbox


def run(test: Coroutine[object, object, None]) -> None:
    asyncio.run(test)


def test_orders_over_websocket(tmp_path: Path) -> None:
    async def test() -> None:
        async with GatewayBox(tmp_path) as box:
            session = await box.session()
            placed = await session.order("order.create", "r-1")
            assert placed == {
                "reqId": "r-1",
                "retCode": 0,
                "retMsg": "OK",
                "op": "order.create",
                "data": {
                    "orderId": "O1",
                    "orderLinkId": "r-1",
                    "seq": 1,
                    "epoch": 1,
                    "status": "New",
                    "filled": "0",
                },
            }
            assert (await session.order("order.create", "r-1"))["retCode"] == 110072
            amended = await session.order("order.amend", "r-2", orderLinkId="r-1", qty="3")
            assert (amended["retCode"], amended["data"]["seq"]) == (0, 3)
            assert (await session.order("order.cancel", "r-3", orderLinkId="r-1"))["data"]["status"] == "Cancelled"
            assert (await session.order("order.cancel", "r-4", orderLinkId="r-1"))["retCode"] == 110001
            status = await session.order("order.status", "q", orderLinkId="r-1")
            assert (status["data"]["found"], status["data"]["seq"], status["data"]["qty"]) == (True, 1, "3")
            status = await session.order("order.status", "q", reqId="r-4")
            assert (status["data"]["found"], status["data"]["seq"], status["data"]["code"]) == (True, 5, 110001)
            assert (await session.order("order.status", "q", reqId="never"))["data"] == {"found": False}
            other = await box.session("acct-2")
            assert (await other.order("order.status", "q", orderLinkId="r-1"))["data"] == {"found": False}
            assert (await session.ask({"op": "ping"}))["op"] == "pong"
            assert [row[:5] for row in box.truth()][:5] == [
                ["r-1", "place", 0, 1, 1],
                ["r-1", "place", 110072, 2, 1],
                ["r-2", "amend", 0, 3, 1],
                ["r-3", "cancel", 0, 4, 1],
                ["r-4", "cancel", 110001, 5, 1],
            ]

    run(test())


def test_orders_over_rest_and_the_pages(tmp_path: Path) -> None:
    async def test() -> None:
        async with GatewayBox(tmp_path) as box:
            placed = await box.call("/v5/order/create", ORDER | {"category": "linear", "orderLinkId": "r-1"})
            assert (placed["retCode"], placed["result"]["seq"]) == (0, 1)
            amend = {"symbol": "BTCUSDT", "orderLinkId": "r-1", "price": "99.5", "reqId": "r-2"}
            assert (await box.call("/v5/order/amend", amend))["retCode"] == 0
            book = await box.page("/v5/market/orderbook?symbol=BTCUSDT&limit=1")
            assert (book["result"]["b"], book["result"]["a"], book["result"]["u"]) == ([["99.5", "1"]], [], 2)
            found = await box.call("/v5/order/realtime?orderLinkId=r-1")
            assert (found["result"]["found"], found["result"]["price"]) == (True, "99.5")
            assert (await box.call("/v5/order/realtime?reqId=r-9"))["result"] == {"found": False}
            cancel = {"symbol": "BTCUSDT", "orderLinkId": "r-1", "reqId": "r-3"}
            assert (await box.call("/v5/order/cancel", cancel))["result"]["status"] == "Cancelled"
            assert abs(int((await box.page("/v5/market/time"))["time"]) - now_ms()) < 5000
            status = await box.page("/status")
            assert abs(status.pop("clock") * 1000 - now_ms()) < 5000
            assert status == {
                "instance": "gateway-0",
                "zone": "tyo-a",
                "leader": "engine-0",
                "epoch": 1,
                "connections": 0,
            }
            async with box.http.get(f"{box.rest}/metrics") as response:
                metrics = await response.text()
            assert 'exchange_requests_total{code="0",op="place"} 1.0' in metrics
            assert "exchange_leader_epoch 1.0" in metrics
            assert re.search(r'exchange_request_seconds_bucket\{le="0\.001",op="cancel"\}', metrics)

    run(test())


def test_rest_requests_are_checked_one_by_one(tmp_path: Path) -> None:
    async def test() -> None:
        async with GatewayBox(tmp_path) as box:
            order = ORDER | {"orderLinkId": "r-1"}
            create = "/v5/order/create"
            assert (await box.call(create, order, sign="00"))["retCode"] == 10004
            assert (await box.call(create, order, account="No Such"))["retCode"] == 10003
            assert (await box.call(create, order, timestamp=str(now_ms() - 6000)))["retCode"] == 10002
            assert (await box.call(create, order, timestamp=str(now_ms() + 2000)))["retCode"] == 10002
            assert (await box.call("/v5/order/realtime?orderLinkId=r-1", sign="00"))["retCode"] == 10004
            for body in (b"", b"{", b"[]", b"\xff\xfe", b'"text"', b"x" * 200_000, order | {"qty": "NaN"}):
                assert (await box.call(create, body))["retCode"] == 10001, body
            assert (await box.page("/v5/market/orderbook?symbol=btc"))["retCode"] == 10001
            assert (await box.call("/v5/order/cancel", order))["retMsg"].startswith("reqId is missing")
            assert box.engines[0].received == []
            assert (await box.call(create, order))["retCode"] == 0

    run(test())


BAD = [
    b"{",
    b"",
    b"[]",
    b"null",
    b'"\\ud800"',
    b"[" * 2000,
    b"x" * 100_000,
    {"op": "no.such.op"},
    {"op": ["order.create"]},
    {"op": {"a": 1}, "reqId": {}},
    {"op": "auth", "args": []},
    {"op": "auth", "args": {"a": 1}},
    {"op": "order.create"},
    {"op": "order.create", "header": [], "args": [{}]},
    {"op": "order.create", "header": header(), "args": []},
    {"op": "order.create", "header": header(), "args": ["x"]},
    {"op": "order.create", "header": header(), "args": [ORDER]},
    {"op": "order.create", "header": header(), "args": [ORDER | {"orderLinkId": "a", "price": "1e400"}]},
    {"op": "order.create", "header": header(), "args": [ORDER | {"orderLinkId": "a", "qty": 1.5}]},
    {"op": "order.cancel", "reqId": 5, "header": header(), "args": [{"symbol": "BTCUSDT", "orderLinkId": "a"}]},
    {"op": "order.status", "header": header(), "args": [{}]},
    {"op": "order.status", "header": header(), "args": [None]},
]


def test_bad_messages_are_answered_and_hurt_nobody(tmp_path: Path) -> None:
    async def test() -> None:
        async with GatewayBox(tmp_path) as box:
            session = await box.session()
            for message in BAD:
                if isinstance(message, dict) and isinstance(message.get("header"), dict):
                    message["header"] = header()
                answer = await session.ask(message)
                assert answer["retCode"] == 10001, (message, answer)
            assert (await session.order("order.create", "r-1"))["retCode"] == 0
            assert len(box.engines[0].received) == 1

    run(test())


def test_websocket_sessions_log_in_and_every_request_is_in_time(tmp_path: Path) -> None:
    async def test() -> None:
        async with GatewayBox(tmp_path) as box:
            session = await box.connect()
            assert (await session.order("order.create", "r-1"))["retCode"] == 10003
            login = {"reqId": "l", "op": "auth", "args": ["acct-1", now_ms() + 5000, "00"]}
            assert (await session.ask(login))["retCode"] == 10004
            assert (await session.order("order.create", "r-1"))["retCode"] == 10003
            good = await box.session()
            late = {"reqId": "r-1", "op": "order.create", "args": [ORDER | {"orderLinkId": "r-1"}]}
            late_header = {"X-BAPI-TIMESTAMP": str(now_ms() - 5100), "X-BAPI-RECV-WINDOW": "5000"}
            assert (await good.ask(late | {"header": late_header}))["retCode"] == 10002
            assert (await good.ask(late | {"header": {}}))["retCode"] == 10002
            assert box.engines[0].received == []
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await box.http.ws_connect(f"ws://127.0.0.1:{box.ws_port}/v5/elsewhere")

    run(test())


def test_a_frame_beyond_all_measure_ends_that_connection_only(tmp_path: Path) -> None:
    async def test() -> None:
        async with GatewayBox(tmp_path) as box:
            session, other = await box.session(), await box.session("acct-2")
            await session.ws.send_bytes(b"x" * (2 * 1024 * 1024))
            message = await session.ws.receive(timeout=5)
            assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            assert (await other.order("order.create", "r-1"))["retCode"] == 0

    run(test())


def test_clients_that_vanish_with_requests_in_flight_do_no_harm(tmp_path: Path) -> None:
    async def test() -> None:
        async with GatewayBox(tmp_path) as box:
            engine, session = box.engines[0], await box.session()
            engine.silent = True
            await session.send("order.create", "r-1")
            await until(lambda: len(engine.received) == 1, "the order arrives")
            session.ws.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            status = {"connections": 1}
            while status["connections"]:
                status = await box.page("/status")
            engine.answer(engine.received[0][0], 0)
            engine.silent = False
            other = await box.session("acct-2")
            assert (await other.order("order.create", "r-2"))["retCode"] == 0
            assert [row[0] for row in box.truth()] == ["r-2"]

    run(test())


def test_a_silent_leader_makes_outcomes_unknown_after_two_seconds(tmp_path: Path) -> None:
    async def test() -> None:
        async with GatewayBox(tmp_path) as box:
            session, loop = await box.session(), asyncio.get_running_loop()
            box.engines[0].silent = True
            began = loop.time()
            assert (await session.order("order.create", "r-1"))["retCode"] == 10000
            assert 1.9 < loop.time() - began < 3.0
            assert [row[:3] for row in box.truth()] == [["r-1", "place", 10000]]

    run(test())


def test_a_failover_moves_the_traffic_and_a_cut_leaves_outcomes_unknown(tmp_path: Path) -> None:
    async def test() -> None:
        async with GatewayBox(tmp_path, engines=2) as box:
            first, second = box.engines
            session = await box.session()
            first.silent = True
            await session.send("order.create", "r-1")
            await until(lambda: len(first.received) == 1, "the order arrives")
            port = first.port
            await first.stop()
            assert (await session.answer())["retCode"] == 10000
            assert (await session.order("order.create", "r-2"))["retCode"] == 10016
            await box.healthy(503)
            second.leader, second.epoch = True, 2
            second.announce()
            await box.healthy(200)
            answer = await session.order("order.create", "r-3")
            assert (answer["retCode"], answer["data"]["epoch"]) == (0, 2)
            await first.start(port)  # the old leader comes back and still believes in its epoch
            await until(lambda: len(first.connections) == 1, "the gateway reconnects")
            answer = await session.order("order.create", "r-4")
            assert answer["data"]["epoch"] == 2

    run(test())


def test_an_engine_that_talks_nonsense_is_connected_to_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with GatewayBox(tmp_path) as box:
            [engine] = box.engines
            before = engine.connections[0]
            engine.raw(b"{nonsense\n")
            await until(lambda: engine.connections != [before] and len(engine.connections) == 1, "a new connection")
            await box.healthy(200)

    run(test())


def test_sigterm_waits_for_answers_and_says_goodbye(tmp_path: Path) -> None:
    async def test() -> None:
        async with GatewayBox(tmp_path) as box:
            engine, session = box.engines[0], await box.session()
            engine.silent = True
            await session.send("order.create", "r-1")
            await until(lambda: len(engine.received) == 1, "the order arrives")
            ending = asyncio.create_task(box.terminate())
            await asyncio.sleep(0)
            engine.answer(engine.received[0][0], 0)
            assert (await session.answer())["retCode"] == 0
            assert (await session.ws.receive(timeout=5)).type == aiohttp.WSMsgType.CLOSE
            await session.ws.close()
            assert await ending == 0

    run(test())


def test_a_port_in_use_and_a_wrong_environment_are_one_line(tmp_path: Path) -> None:
    async def test() -> None:
        async with GatewayBox(tmp_path) as box:
            for change, code, says in (
                ({}, 70, "address already in use"),
                ({"MUSTER_ENGINES": "x"}, 2, "MUSTER_ENGINES"),
            ):
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "sandbox.exchange.gateway",
                    env={**os.environ, **box.env, **change},
                    stderr=subprocess.PIPE,
                )
                _, stderr = await asyncio.wait_for(process.communicate(), 15)
                assert process.returncode == code, stderr
                [line] = [line for line in stderr.decode().splitlines() if says in line]
                assert "Traceback" not in stderr.decode(), line

    run(test())
