"""What is said of a finished replay: figures by kind, and the reasons for which they do not count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drills.errors import ComponentError
from drills.evidence import WITNESS, RunDir
from loadgen import clocks, outcome, schedule, stand_in, synth, trace, witness
from loadgen.clocks import Offset
from loadgen.collect import Parcels
from loadgen.config import LoadConfig
from loadgen.engine.files import LoadFiles
from loadgen.merged import Merged, Share

MS = 1_000_000
START = 10_000_000_000
Make = Callable[..., RunDir]


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "flow.parquet"
    trace.write(synth.generate(2, 200, 5), path)
    return path


def configured(folder: Path, flow: Path, **fields: Any) -> LoadConfig:  # noqa: ANN401 - of LoadConfig
    base: dict[str, Any] = {"run_id": "run-1", "trace": str(flow), "venue": {"type": "sandbox"}, "duration_s": 1.0}
    config = LoadConfig.model_validate({**base, **fields, "run_dir": folder / "run-1"})
    config.save()
    return config


def row(n: int, kind: str = "place", **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - of a witness row
    intended = START + n * MS
    return {
        "op_id": f"run-1-{n:010d}",
        "kind": kind,
        "session": f"acct-{n % 4}",
        "key": "X",
        "intended_ns": intended,
        "sent_ns": intended + MS,
        "answered_ns": intended + 5 * MS,
        "outcome": "ok",
        "attempts": 1,
        **fields,
    }


@pytest.fixture
def make(tmp_path: Path, flow: Path) -> Make:
    def made(
        rows: list[dict[str, Any]],
        last: dict[str, Any] | None = None,
        lag_ms: float = 0.5,
        **fields: Any,  # noqa: ANN401 - of LoadConfig
    ) -> RunDir:
        config = configured(tmp_path, flow, **fields)
        run = RunDir(config.run_dir)
        schedule.write(plan(config), LoadFiles(run, config.worker).schedule, "run-1", START)
        pq.write_table(pa.Table.from_pylist(rows, WITNESS), run.witness)
        run.live.write_bytes(orjson.dumps({"t_ns": START, "state": "done", "flows": {}, **(last or {})}) + b"\n")
        orders = {"held": 3, "skipped": 1, "sent_anyway": 0}
        said = {"lag": {"p99_ms": lag_ms}, "kinds": {}, "without_order_id": orders, "connections_opened": 5}
        (run.load / "histograms.json").write_bytes(orjson.dumps(said))
        return run

    return made


def plan(config: LoadConfig) -> schedule.Schedule:
    recorded = trace.read(config.trace)
    return schedule.build(recorded, duration_s=config.duration_s, seed=config.seed, shard=config.shard)


def test_figures_by_kind(make: Make) -> None:
    rows = [row(n) for n in range(20)] + [row(20, "cancel", outcome="reject", error="110001")]
    rows += [row(21, answered_ns=None, outcome="unknown"), row(22, sent_ns=None, answered_ns=None, outcome="unknown")]
    found = outcome.read(make(rows).path)
    place, cancel = found.kinds["place"], found.kinds["cancel"]
    assert (place.offered, place.sent, place.answered, place.ok, place.unknown) == (22, 21, 20, 20, 2)
    assert place.from_schedule == {"p50_ms": 5.0, "p99_ms": 5.0, "p999_ms": 5.0}
    assert place.from_send == {"p50_ms": 4.0, "p99_ms": 4.0, "p999_ms": 4.0}
    assert (cancel.offered, cancel.reject, cancel.ok) == (1, 1, 0)
    assert (found.sessions, found.connections, found.held, found.skipped) == (4, 5, 3, 1)
    assert found.lag_p99_ms == 0.5
    assert found.drift_ms == 0.0
    assert found.valid
    assert orjson.loads(orjson.dumps(found.to_dict()))["valid"] is True


def test_reads_count_too_and_nothing_answered_has_no_latency(make: Make) -> None:
    run = make([row(n, answered_ns=None, outcome="unknown") for n in range(3)])
    pq.write_table(pa.Table.from_pylist([row(9, "read")], WITNESS), run.reads)
    found = outcome.read(run.path)
    assert list(found.kinds) == ["place", "read"]
    assert found.kinds["place"].from_send == {"p50_ms": None, "p99_ms": None, "p999_ms": None}


def test_a_late_generator_and_a_schedule_that_was_not_sent_do_not_count(make: Make) -> None:
    late = outcome.read(make([row(0)], lag_ms=60.0).path)
    assert late.reasons == ("the generator was late: its own lag p99 was 60.0 ms, at most 50 ms counts",)
    slow = [row(n, sent_ns=None, answered_ns=None, outcome="unknown") for n in range(10)]
    short = outcome.read(make([*slow, *(row(n) for n in range(10, 100))]).path)
    assert short.reasons == ("only 90.0% of the schedule was sent, 95% is needed",)
    assert outcome.read(make([]).path).reasons == ("nothing was due to be sent before it was stopped",)


def test_later_sends_from_one_end_to_the_other_are_drift(make: Make) -> None:
    rows = [row(n) for n in range(100)]
    for n, one in enumerate(rows):
        one["sent_ns"] = one["intended_ns"] + n * MS // 10
    assert outcome.read(make(rows).path).drift_ms == 9.0


def test_a_failed_load_says_why(make: Make) -> None:
    lost = {"state": "failed", "lost_workers": [1], "reason": "worker 1 was killed by signal 9 (SIGKILL)"}
    assert outcome.read(make([row(0)], lost).path).reasons == ("worker 1 was killed by signal 9 (SIGKILL)",)
    assert outcome.read(make([row(0)], {"state": "running"}).path).reasons == ("the load died before its end",)


def test_workers_without_their_master_count_if_each_came_to_its_end(make: Make, tmp_path: Path, flow: Path) -> None:
    run = make([row(n) for n in range(9)], {"state": "running"}, workers=2)
    (run.load / "schedule.arrow").unlink()
    for k in range(2):
        config = configured(tmp_path, flow, workers=2, worker=k)
        schedule.write(plan(config), LoadFiles(run, k).schedule, "run-1", START)
        LoadFiles(run, k).live.write_bytes(orjson.dumps({"t_ns": START, "state": "done", "run_lag_p99_ms": 1.5}))
    found = outcome.read(run.path)
    assert found.valid
    assert any("the master was lost" in note for note in found.notes)
    assert found.lag_p99_ms == 1.5
    LoadFiles(run, 1).live.write_bytes(orjson.dumps({"t_ns": START, "state": "running"}) + b'{"t_ns": 1')
    assert outcome.read(run.path).reasons == ("worker 1 died before its end",)


def test_clocks_that_are_not_known_well_do_not_count(make: Make) -> None:
    run = make([row(0)])
    (run.load / "clocks.json").write_bytes(orjson.dumps({"error_ns": 7 * MS}))
    found = outcome.read(run.path)
    assert found.reasons == ("the clocks of the workers are known to ±7.0 ms only, at most 5 ms counts",)


def test_the_offset_of_a_clock_is_that_of_the_shortest_round() -> None:
    # asked, read there, heard: 5 s ahead, once with a way back that took 40 ms
    assert clocks.offset([(0, 5_020, 40), (100, 5_102, 104)]) == Offset(5_000, 2)
    assert clocks.offset([(10, 10, 10)]) == Offset(0, 0)
    with pytest.raises(ValueError, match="empty"):
        clocks.offset([])
    assert clocks.identity() == clocks.identity()


# -- what a master puts together -------------------------------------------------------------------------------------


def line(t_ns: int, state: str = "running", sent: int = 0, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - of a line
    flow = {"scheduled": sent, "sent": sent, "answered": sent, "ok": sent, "reject": 0, "unknown": 0, "good": sent}
    base = {"p50_ms": 1.0, "p99_ms": 2.0, "lag_p99_ms": 0.1, "run_lag_p99_ms": 0.2}
    return {"t_ns": t_ns, "state": state, "flows": {"place": flow}, **base, **fields}


def test_flows_add_up_and_percentiles_are_those_of_the_slowest(tmp_path: Path) -> None:
    shares = {0: Share(), 1: Share()}
    merged = Merged(tmp_path / "live.ndjson", shares)
    assert merged.write(0, lost={})["state"] == "starting"
    shares[0].add([line(1, sent=5), line(2, sent=10, p99_ms=9.0)])
    assert merged.write(2, lost={})["state"] == "starting"
    shares[1].add([line(3, sent=7, p99_ms=4.0, run_lag_p99_ms=3.0)])
    told = merged.write(3, lost={})
    assert told["flows"]["place"] == {**line(0, sent=17)["flows"]["place"]}
    assert (told["state"], told["p99_ms"], told["run_lag_p99_ms"]) == ("running", 9.0, 3.0)
    shares[0].add([line(4, "done", sent=12)])
    shares[1].add([line(4, "draining", sent=7)])
    assert merged.write(4, lost={})["state"] == "draining"
    raw = (tmp_path / "live.ndjson").read_bytes().splitlines()
    assert [orjson.loads(one)["t_ns"] for one in raw] == [0, 2, 3, 4]


def test_the_share_of_a_lost_worker_goes_on_to_fall_due(tmp_path: Path, flow: Path) -> None:
    config = configured(tmp_path, flow, workers=2, worker=1)
    files = LoadFiles(RunDir(config.run_dir), 1)
    stand_in.write(config, START, START + 500 * MS)
    whole = plan(config)
    share = Share()
    share.add([line(START + 500 * MS, sent=3)])
    share.lose(files)
    merged = Merged(tmp_path / "live.ndjson", {1: share})
    told = merged.write(START + 2_000 * MS, lost={1: "gone"}, reason="gone")
    assert sum(flow["scheduled"] for flow in told["flows"].values()) == len(whole)
    assert (told["flows"]["place"]["sent"], told["lost_workers"], told["reason"]) == (3, [1], "gone")


def test_a_worker_lost_with_its_files_stands_in_the_witness(tmp_path: Path, flow: Path) -> None:
    config = configured(tmp_path, flow, workers=2, worker=1)
    run = RunDir(config.run_dir)
    stand_in.write(config, START, START + 500 * MS)
    stand_in.write(config, START, START + 900 * MS)  # the first word counts
    run.live.write_bytes(orjson.dumps({"t_ns": START + 2_000 * MS, "state": "failed", "flows": {}}) + b"\n")
    rows = pq.read_table(witness.consolidate(run.path)).to_pylist()
    assert len(rows) == len(plan(config))
    for one in rows:
        assert one["error"] == ("unresolved" if one["intended_ns"] <= START + 501 * MS else "unsent")


def test_files_arrive_in_pieces(tmp_path: Path) -> None:
    parcels = Parcels(tmp_path)
    assert not parcels.take("load/schedule-00.arrow", 0, b"abc", last=False)
    assert not (tmp_path / "load" / "schedule-00.arrow").exists()
    assert parcels.take("load/schedule-00.arrow", 3, b"de", last=True)
    assert (tmp_path / "load" / "schedule-00.arrow").read_bytes() == b"abcde"
    assert parcels.take("witness/chunk-01-00003.arrow", 0, b"", last=True)
    with pytest.raises(ComponentError, match="was lost on its way"):
        parcels.take("load/live-00.ndjson", 7, b"x", last=True)


@pytest.mark.parametrize("name", ["../x", "load/../../x.json", "/etc/passwd", "plan.json", "load/x.py", ""])
def test_a_worker_cannot_write_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(ComponentError, match="no file of a replay"):
        Parcels(tmp_path).take(name, 0, b"x", last=True)
