"""A whole replay over REST: one request a connection at a time, several connections a session, and honest latencies."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from aiohttp import web

from drills.evidence import RunDir
from loadgen import synth, trace
from loadgen.builder import Row, build
from tests.contract.fakevenue import FakeVenue
from tests.contract.test_venue_replay import configured, play

MS = 1_000_000


class RestVenue(FakeVenue):
    """The fake venue by REST: its answers as the sandbox writes them, and how its connections are used."""

    def __init__(self, folder: Path, gateways: int = 1) -> None:
        super().__init__(folder, gateways=gateways)
        self.delay_s = 0.0
        self.close_after_each = False
        self.fail_next = 0  # so many requests are executed and then cut off without an answer
        self.again = 0  # requests with an id that was executed before
        self.arrived: dict[str, int] = {}  # op id: when it was here first, in ns of CLOCK_MONOTONIC
        self.connections_of: dict[str, set[int]] = {}  # account
        self.used: Counter[int] = Counter()  # requests by connection
        self._kept: list[object] = []  # so that no two connections have one id

    @property
    def venue(self) -> dict[str, Any]:
        return {**super().venue, "transport": "rest"}

    def _gateway(self, number: int) -> web.Application:
        app = super()._gateway(number)
        app.router.add_get("/v5/order/realtime", self._status)
        return app

    def _note(self, request: web.Request) -> None:
        self._kept.append(request.transport)
        line = id(request.transport)
        self.used[line] += 1
        self.connections_of.setdefault(request.headers["X-BAPI-API-KEY"], set()).add(line)

    async def _order(self, request: web.Request) -> web.Response:
        self._note(request)
        args = orjson.loads(await request.text())
        op_id = args.get("reqId", args["orderLinkId"])
        self.arrived.setdefault(op_id, time.monotonic_ns())
        if op_id in self.executed():
            self.again += 1
            return web.json_response({"retCode": 110072, "result": {}})
        await asyncio.sleep(self.delay_s)
        body = (await super()._order(request)).body
        assert isinstance(body, bytes)
        told = orjson.loads(body)
        if self.fail_next > 0:
            self.fail_next -= 1
            assert request.transport is not None
            request.transport.close()
        answer = web.json_response({"retCode": told["retCode"], "result": {**told.get("data", {}), "epoch": 1}})
        if self.close_after_each:
            answer.force_close()
        return answer

    async def _status(self, request: web.Request) -> web.Response:
        wanted = request.query.get("orderLinkId") or request.query["reqId"]
        row = next((row for row in self.journals[0] if row["op_id"] == wanted), None)
        result = {"found": False} if row is None else {"found": True, "code": 0, "seq": row["seq"], "epoch": 1}
        return web.json_response({"retCode": 0, "result": result})


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[RestVenue]:
    with RestVenue(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "flow.parquet"
    trace.write(synth.generate(2, 200, 5), path)
    return path


def burst(folder: Path, count: int) -> Path:
    """So many orders of one session at the same instant."""
    rows = [Row(0, 0, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 10**8, 10**8, f"c{n}") for n in range(count)]
    path = folder / "burst.parquet"
    trace.write(build("burst", rows, {}), path)
    return path


def opened(folder: Path) -> int:
    """Connections that the load has opened in all."""
    return int(orjson.loads((RunDir(folder / "run-1").load / "histograms.json").read_bytes())["connections_opened"])


def test_every_operation_is_sent_once_and_answered(venue: RestVenue, flow: Path, tmp_path: Path) -> None:
    rows = play(configured(venue, flow, tmp_path))
    assert venue.problems == []
    assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}
    assert [row["op_id"] for row in rows] == [f"run-1-{n:010d}" for n in range(len(rows))]
    assert {row["op_id"]: row["server_seq"] for row in rows} == {op: n for n, op in enumerate(venue.executed(), 1)}
    assert {row["epoch"] for row in rows} == {1}
    assert all(row["intended_ns"] <= row["sent_ns"] <= row["answered_ns"] for row in rows)


def test_a_slow_venue_gets_as_many_connections_as_are_allowed(venue: RestVenue, tmp_path: Path) -> None:
    venue.delay_s = 0.05
    rows = play(configured(venue, burst(tmp_path, 24), tmp_path, duration_s=0.001, connections=6))
    assert venue.problems == []
    assert Counter(row["outcome"] for row in rows) == {"ok": 24}
    assert len(venue.connections_of["acct-0"]) == opened(tmp_path) == 6
    assert len(venue.executed()) == 24


def test_one_connection_is_enough_for_a_fast_venue(venue: RestVenue, tmp_path: Path) -> None:
    rows = [Row(n * 40 * MS, 0, "a", "place", "BTCUSDT", "Buy", "Limit", "GTC", 1, 1, f"c{n}") for n in range(8)]
    trace.write(build("slow", rows, {}), tmp_path / "slow.parquet")
    play(configured(venue, tmp_path / "slow.parquet", tmp_path, duration_s=0.29))
    assert len(venue.executed()) == 8
    assert max(venue.used.values()) >= 2


def test_latencies_from_the_schedule_hold_the_queue_and_those_from_the_send_do_not(
    venue: RestVenue, tmp_path: Path
) -> None:
    venue.delay_s = 0.05
    rows = play(configured(venue, burst(tmp_path, 12), tmp_path, duration_s=0.001, connections=1))
    assert Counter(row["outcome"] for row in rows) == {"ok": 12}
    sent = np.array([row["sent_ns"] for row in rows])
    answered = np.array([row["answered_ns"] for row in rows])
    intended = np.array([row["intended_ns"] for row in rows])
    assert len(set(intended.tolist())) == 1
    assert (np.diff(sent[1:]) >= 49 * MS).all()
    assert (sent[1:] >= answered[:-1]).all(), "each left when the one before was answered"
    assert (answered - intended)[-1] >= 12 * 49 * MS
    arrived = np.array([venue.arrived[row["op_id"]] for row in rows])
    assert (sent <= arrived)[1:].all(), "sent_ns is the time of the write"
    kinds = orjson.loads((RunDir(tmp_path / "run-1").load / "histograms.json").read_bytes())["kinds"]
    from_schedule, from_send = (kinds["place"][name] for name in ("from_schedule", "from_send"))
    assert from_schedule["max_ms"] >= 12 * 49
    assert from_schedule["p50_ms"] >= 6 * 48
    assert from_send["max_ms"] < from_schedule["max_ms"] - 500


def test_a_venue_that_closes_after_every_answer_answers_all(venue: RestVenue, flow: Path, tmp_path: Path) -> None:
    venue.close_after_each = True
    rows = play(configured(venue, flow, tmp_path, duration_s=0.5, connects_per_s=5000))
    assert venue.problems == []
    assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}
    assert {row["attempts"] for row in rows} == {1}
    assert sorted(venue.executed()) == sorted(row["op_id"] for row in rows)
    assert max(venue.used.values()) == 1


@pytest.mark.parametrize("outage", ["drop", "retry-idempotent"])
def test_a_request_whose_connection_dies_is_asked_for(
    venue: RestVenue, flow: Path, tmp_path: Path, outage: str
) -> None:
    venue.fail_next = 5
    fields: dict[str, Any] = {"outage": outage, "duration_s": 0.5}
    rows = play(configured(venue, flow, tmp_path, **fields))
    assert venue.problems == []
    assert venue.fail_next == 0
    assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}
    assert {row["op_id"]: row["server_seq"] for row in rows} == {op: n for n, op in enumerate(venue.executed(), 1)}
    assert Counter(row["attempts"] > 1 for row in rows)[True] == venue.again == (0 if outage == "drop" else 5)


def test_what_never_got_a_connection_was_never_sent(venue: RestVenue, tmp_path: Path) -> None:
    venue.delay_s = 0.15
    fields: dict[str, Any] = {"outage": "drop", "duration_s": 0.001, "connections": 1, "timeout_ms": 400}
    rows = play(configured(venue, burst(tmp_path, 10), tmp_path, **fields))
    sent = [row for row in rows if row["sent_ns"] is not None]
    assert sorted(row["op_id"] for row in sent) == sorted(venue.arrived)
    assert 1 <= len(sent) <= 3
    assert {row["outcome"] for row in sent} == {"ok"}
    never = [row for row in rows if row["sent_ns"] is None]
    assert {(row["outcome"], row["error"], row["attempts"]) for row in never} == {("unknown", "no-connection", 0)}
    line = orjson.loads(RunDir(tmp_path / "run-1").live.read_bytes().splitlines()[-1])
    assert line["flows"]["place"]["scheduled"] == 10
    assert line["flows"]["place"]["sent"] == len(sent)


def test_with_two_gateways_a_dead_one_costs_nothing(flow: Path, tmp_path: Path) -> None:
    with RestVenue(tmp_path, gateways=2) as venue:
        described = {**venue.venue, "rest": ["http://127.0.0.1:9", venue.venue["rest"][1]]}
        config = configured(venue, flow, tmp_path, duration_s=0.5).model_copy(update={"venue": described})
        rows = play(config)
        assert Counter(row["outcome"] for row in rows) == {"ok": len(rows)}
        assert venue.problems == []
