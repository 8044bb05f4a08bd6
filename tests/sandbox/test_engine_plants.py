"""Each planted weakness shows from outside, and only in the build that has it."""

import socket
import time
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP
from typing import Any

import orjson
import pytest

from tests.sandbox.engine_box import EngineBox, engine_box, until
from tests.sandbox.engine_traffic import Traffic

pytestmark = pytest.mark.sandbox


def executed(box: EngineBox, name: str) -> list[str]:
    return [row["op_id"] for row in box.journal(name) if row["outcome"] == "ok"]


def answered(traffic: Traffic, epoch: int, count: int) -> bool:
    return sum(op.epoch == epoch for op in traffic.ok()) >= count


def test_w01_loses_what_it_answered_early(tmp_path: Path) -> None:
    with engine_box(tmp_path, plant="W01") as box:
        with Traffic(box.orders, 500) as traffic:
            until("the first epoch answers", lambda: answered(traffic, 1, 300))
            box.signal("engine-0", SIGKILL)
            until("the second epoch answers", lambda: answered(traffic, 2, 100))
            box.start_engine("engine-0", "a")
            until("engine-0 follows", lambda: box.role("engine-0") == "standby")
        box.wait_equal("engine-0", "engine-1")
        lost = {op.op_id for op in traffic.ok()} - set(executed(box, "engine-1"))
        records = box.truth("engine-0")
        early = {op for record in records if record["e"] == "early" for op in record["ops"]}
        written = {op for record in records if record["e"] == "batch" for op in record["ops"]}
        assert lost
        assert lost <= early
        assert not lost & written


def test_w01_drops_its_own_memory_when_it_comes_back_to_a_log_of_another(tmp_path: Path) -> None:
    with engine_box(tmp_path, plant="W01") as box:
        with Traffic(box.orders, 500) as traffic:
            until("the first epoch answers", lambda: answered(traffic, 1, 300))
            box.signal("engine-0", SIGSTOP)
            until("the second epoch answers", lambda: answered(traffic, 2, 100))
            box.signal("engine-0", SIGCONT)
            until("engine-0 follows", lambda: box.role("engine-0") == "standby")
        box.wait_equal("engine-0", "engine-1")
        assert box.journal("engine-0") == box.journal("engine-1")


@pytest.mark.parametrize("plant", ["W03", ""])
def test_w03_acknowledges_after_it_was_replaced(tmp_path: Path, plant: str) -> None:
    with engine_box(tmp_path, plant=plant) as box:
        with Traffic(box.orders, 500) as traffic:
            until("the first epoch answers", lambda: answered(traffic, 1, 200))
            box.signal("engine-0", SIGSTOP)
            until("the second epoch answers", lambda: answered(traffic, 2, 100))
            resumed = time.monotonic()
            box.signal("engine-0", SIGCONT)
            until("the second epoch goes on", lambda: answered(traffic, 2, 300))
            until("engine-0 follows", lambda: box.role("engine-0") == "standby")
            led_on = time.monotonic() - resumed
        box.wait_equal("engine-0", "engine-1")
        zombies = [op for op in traffic.ok() if op.epoch == 1 and op.answered > resumed]
        lost = {op.op_id for op in traffic.ok()} - set(executed(box, "engine-1"))
        assert bool(lost) == bool(plant)
        assert lost <= {op.op_id for op in zombies}
        assert (led_on >= 2.0) == bool(plant)
        assert box.status("engine-1")["role"] == "primary"


@pytest.mark.parametrize(("plant", "codes"), [("W04", [0, 110072, 0]), ("", [0, 110072, 110072])])
def test_w04_executes_a_repeated_id_again_after_a_failover(tmp_path: Path, plant: str, codes: list[int]) -> None:
    with engine_box(tmp_path, plant=plant) as box:
        seen = [place(box.orders["engine-0"]), place(box.orders["engine-0"])]
        box.signal("engine-0", SIGKILL)
        until("engine-1 leads", lambda: box.role("engine-1") == "primary")
        seen.append(place(box.orders["engine-1"]))
        assert seen == codes
        box.start_engine("engine-0", "a")
        until("engine-0 follows", lambda: box.role("engine-0") == "standby")
        box.wait_equal("engine-0", "engine-1")
        assert executed(box, "engine-0") == ["op-1"] * codes.count(0)


def place(port: int) -> int:
    """Send the same order as ever and return its code."""
    row: list[Any] = [7, 1, "place", "acct-1", "op-1", "BTCUSDT", "Buy", "Limit", "GTC", 10**8, 10**8, "op-1", None]
    with socket.create_connection(("127.0.0.1", port), timeout=5) as gateway, gateway.makefile("rb") as lines:
        gateway.sendall(orjson.dumps({"c": [row]}) + b"\n")
        for line in lines:
            for rid, code, *_ in orjson.loads(line).get("r", ()):
                assert rid == 7
                return int(code)
    raise AssertionError("the engine closed the connection")
