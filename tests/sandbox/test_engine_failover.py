"""The engine against a real bus of three nodes: what failovers keep, and how long they take."""

import socket
import time
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any

import orjson
import pytest

from tests.sandbox.engine_box import EngineBox, engine_box, until
from tests.sandbox.engine_traffic import Op, Traffic

pytestmark = pytest.mark.sandbox


def accepted(journal: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Executed commands by op_id; fails when one was executed twice."""
    rows = [row for row in journal if row["outcome"] == "ok"]
    by_op = {row["op_id"]: row for row in rows}
    assert len(by_op) == len(rows)
    return by_op


def assert_nothing_lost(box: EngineBox, ops: list[Op]) -> None:
    """Both engines agree, and every acknowledged command is in their journal where the answer said."""
    box.wait_equal("engine-0", "engine-1")
    journal = box.journal("engine-0")
    assert journal == box.journal("engine-1")
    assert [row["seq"] for row in journal] == list(range(1, len(journal) + 1))
    rows = accepted(journal)
    for op in ops:
        if op.code == 0:
            assert (rows[op.op_id]["seq"], rows[op.op_id]["epoch"]) == (op.seq, op.epoch)
        elif op.code == 10016:
            assert op.op_id not in rows
    assert box.get("engine-0", "/audit/hashes") == box.get("engine-1", "/audit/hashes")
    told = {op for name in ("engine-0", "engine-1") for r in box.truth(name) if r["e"] == "batch" for op in r["ops"]}
    assert told == set(rows)


def answered(traffic: Traffic, epoch: int, count: int) -> bool:
    return sum(op.epoch == epoch for op in traffic.ok()) >= count


def test_killed_leader_is_replaced_within_its_lease_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    with engine_box(tmp_path) as box:
        with Traffic(box.orders, 500) as traffic:
            until("the first epoch answers", lambda: answered(traffic, 1, 300))
            killed = time.monotonic()
            box.signal("engine-0", SIGKILL)
            until("engine-1 leads", lambda: box.role("engine-1") == "primary", 5)
            took = time.monotonic() - killed
            box.start_engine("engine-0", "a")
            until("the second epoch answers", lambda: answered(traffic, 2, 300))
        until("engine-0 follows", lambda: box.role("engine-0") == "standby")
        assert box.status("engine-1")["epoch"] == 2
        assert took < 1.3
        assert_nothing_lost(box, traffic.ops)


def test_paused_leader_steps_down_when_it_goes_on(tmp_path: Path) -> None:
    with engine_box(tmp_path) as box:
        with Traffic(box.orders, 500) as traffic:
            until("the first epoch answers", lambda: answered(traffic, 1, 200))
            with socket.create_connection(("127.0.0.1", box.orders["engine-0"]), timeout=5) as gateway:
                box.signal("engine-0", SIGSTOP)
                paused = time.monotonic()
                until("the second epoch answers", lambda: answered(traffic, 2, 100))
                known = next(op for op in traffic.ok() if op.epoch == 2)
                account = f"acct-{int(known.op_id.split('-')[1]) % 50}"
                gateway.sendall(orjson.dumps({"q": [[1, account, "order", known.op_id]]}) + b"\n")
                until("1.5 s have passed", lambda: time.monotonic() - paused > 1.5)
                box.signal("engine-0", SIGCONT)
                until("engine-0 follows", lambda: box.role("engine-0") == "standby", 3)
                assert query_outcome(gateway, 1) == "cannot answer"  # a stale "not found" would be a lie
            until("the second epoch goes on", lambda: answered(traffic, 2, 400))
        assert any(record["e"] == "stepdown" for record in box.truth("engine-0"))
        assert any(op.code == 10016 for op in traffic.ops)
        assert_nothing_lost(box, traffic.ops)


def query_outcome(gateway: socket.socket, rid: int) -> str:
    """What a query got, read from a raw connection."""
    with gateway.makefile("rb") as lines:
        for line in lines:
            message = orjson.loads(line)
            if rid in message.get("x", ()):
                return "cannot answer"
            if any(row[0] == rid for row in message.get("a", ())):
                return "answered"
    return "closed"


@pytest.mark.parametrize("leads", [True, False], ids=["stream-leader", "follower"])
def test_node_of_the_bus_dies(tmp_path: Path, leads: bool) -> None:
    """Without the stream's Raft leader nothing can be written until the nodes have elected another (4 to 9 s)."""
    with engine_box(tmp_path) as box:
        with Traffic(box.orders, 300) as traffic:
            until("the first epoch answers", lambda: answered(traffic, 1, 200))
            leader = until("the stream has a leader", box.stream_leader)
            box.signal(leader if leads else next(n for n in ("nats-0", "nats-1") if n != leader), SIGKILL)
            killed = time.monotonic()
            until("it answers again", lambda: sum(op.sent > killed + 0.2 for op in traffic.ok()) > 300, 40)
        assert_nothing_lost(box, traffic.ops)


def test_leader_changes_its_link_when_the_node_behind_it_hangs(tmp_path: Path) -> None:
    with engine_box(tmp_path) as box:
        leader = until("the stream has a leader", box.stream_leader)
        node = next(name for name in ("nats-0", "nats-1") if name != leader)
        for name in ("engine-0", "engine-1"):  # make the engines enter by a node that does not lead the stream
            box.signal(name, SIGKILL)
        box.start_engine("engine-0", "abc"[int(node[-1])])
        until("engine-0 leads", lambda: box.role("engine-0") == "primary")
        box.start_engine("engine-1", "abc"[int(leader[-1])])
        until("engine-1 follows", lambda: box.role("engine-1") == "standby")
        with Traffic(box.orders, 300) as traffic:
            until("it answers", lambda: len(traffic.ok()) > 200)
            box.signal(node, SIGSTOP)
            hung = time.monotonic()
            until("it answers again", lambda: sum(op.sent > hung + 0.2 for op in traffic.ok()) > 200, 20)
        box.signal(node, SIGCONT)
        assert_nothing_lost(box, traffic.ops)
