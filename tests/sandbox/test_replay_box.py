"""The load against the whole exchange: an engine dies under it, nothing is lost, and what was executed is recorded."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from chaoslib_ext.cli.main import run as muster
from drills.evidence import RunDir
from loadgen import launch, trace, venues, witness
from loadgen.config import LoadConfig
from tests.sandbox.box import TestBox, exchange, until

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestBox]:
    with exchange(tmp_path_factory.mktemp("box")) as made:
        yield made


def played(box: TestBox, folder: Path, venue: dict[str, Any]) -> RunDir:
    """A load of seven seconds, in the third of which the leading engine is killed and held down."""
    config = LoadConfig(
        run_id="run-1", run_dir=folder / "run-1", trace="linear-perp-1m", speed=0.5, venue=venue, duration_s=7
    )
    path, run = config.save(), RunDir(config.run_dir)
    load = subprocess.Popen(launch.command(path), env=launch.environment(path), stderr=subprocess.PIPE)
    try:
        until(lambda: _placed(run) > 600, 60)
        box.act("engine-0", "kill", {"signal": "KILL", "hold": True})
        assert load.communicate(timeout=60)[1] == b""
        assert load.returncode == 0
    finally:
        load.kill()
        load.communicate()
        box.act("engine-0", "release")
    return run


def _placed(run: RunDir) -> int:
    lines = run.live.read_bytes().split(b"\n")[:-1] if run.live.exists() else []
    return int(orjson.loads(lines[-1])["flows"]["place"]["ok"]) if lines else 0


def test_a_killed_engine_costs_time_and_nothing_else(
    box: TestBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    venue = box.describe()["venue"]
    run = played(box, tmp_path, venue)
    rows = pq.read_table(witness.consolidate(run.path)).to_pylist()
    audit = venues.get("sandbox").audit(venue, run.path, 30)
    assert audit.complete, audit.reason
    assert (audit.diverged_at, audit.foreign) == (None, 0)
    executed = Counter(pq.read_table(run.commands)["op_id"].to_pylist())
    assert {op_id for op_id, count in executed.items() if count > 1} == set()
    assert executed.keys() == {row["op_id"] for row in rows if row["outcome"] == "ok"}
    assert max(row["attempts"] for row in rows) > 1
    assert Counter(row["outcome"] for row in rows)["unknown"] == 0
    assert {row["epoch"] for row in rows if row["outcome"] == "ok"} == {1, 2}

    monkeypatch.setenv("MUSTER_HOME", str(box.home))
    assert muster(["trace", "record", "-o", str(tmp_path / "again.parquet")]) == 0
    assert f"{tmp_path / 'again.parquet'}: " in capsys.readouterr().out
    recorded = trace.read(tmp_path / "again.parquet")
    # a cancel that overtook its order while both were tried again was refused, and is no row: it names no order yet
    assert len(executed) <= recorded.table.num_rows <= len(rows)
    assert recorded.sessions == 16
