"""What an engine shows over HTTP, and how it refuses to start."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from signal import SIGKILL

import orjson
import pytest

from tests.sandbox.engine_box import engine_box, until
from tests.sandbox.engine_traffic import Traffic

pytestmark = pytest.mark.sandbox


def test_status_metrics_and_audit(tmp_path: Path) -> None:
    with engine_box(tmp_path) as box:
        with Traffic(box.orders, 1000) as traffic:
            until("more than two checkpoints of the hash chain", lambda: len(traffic.ok()) > 1100)
        box.wait_equal("engine-0", "engine-1")
        status = box.status("engine-0")
        total = status["applied_seq"]
        assert (status["role"], status["epoch"], status["leader"]) == ("primary", 1, "engine-0")
        assert status["stream_seq"] > 1
        assert status["lease_age_ms"] < 1000
        watermark = orjson.loads(box.get("engine-1", "/audit/watermark") or b"")
        assert watermark == {
            "instance": "engine-1",
            "role": "standby",
            "epoch": 1,
            "seq": total,
            "hash": status["hash"],
        }
        hashes = orjson.loads(box.get("engine-1", "/audit/hashes") or b"")
        assert hashes["every"] == 500
        assert list(hashes["hashes"])[:2] == ["500", "1000"]

        part = [orjson.loads(line) for line in (box.get("engine-0", "/audit/journal?from=400&to=799") or b"").split()]
        assert [row["seq"] for row in part] == list(range(400, 800))
        fills = [orjson.loads(line) for line in (box.get("engine-0", "/audit/fills?from=400&to=799") or b"").split()]
        assert fills
        assert all(400 <= fill["seq"] <= 799 for fill in fills)
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(f"http://127.0.0.1:{box.http['engine-0']}/audit/journal?from=x", timeout=5)

        metrics = (box.get("engine-0", "/metrics") or b"").decode()
        assert "exchange_engine_role 2.0" in metrics
        assert f"exchange_engine_applied_seq {float(total)}" in metrics
        for name in (
            "epoch",
            "stream_seq",
            "batches_total",
            "batch_size_sum",
            "publish_seconds_bucket",
            "stepdowns_total",
        ):
            assert f"\nexchange_engine_{name}" in metrics


def test_engine_is_not_ready_without_the_bus_and_ends_on_sigterm(tmp_path: Path) -> None:
    with engine_box(tmp_path) as box:
        for name in ("nats-0", "nats-1", "nats-2", "engine-1"):
            box.signal(name, SIGKILL)
        box.start_engine("engine-1", "b")
        assert until("it serves", lambda: box.status("engine-1"))["role"] == "starting"
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"http://127.0.0.1:{box.http['engine-1']}/healthz", timeout=5)
        until("the leader gives up", lambda: box.role("engine-0") == "standby", 10)
        for name in ("engine-0", "engine-1"):
            box.processes[name].terminate()
            assert box.processes[name].wait(5) == 0


def test_a_missing_variable_is_one_line_and_bad_use() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MUSTER_")}
    command = [sys.executable, "-m", "sandbox.exchange.engine"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "MUSTER_INSTANCE is missing" in ended.stderr
