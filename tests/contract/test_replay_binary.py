"""A whole replay over the sandbox's binary protocol, against the gateway's own session and an engine behind it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from drills.errors import DefinitionError, Refused
from loadgen import synth, trace
from loadgen.config import LoadConfig, Outage
from loadgen.engine.replay import Replay
from tests.contract.test_binary_both_sides import HOST, MASTER, Gateway
from tests.contract.test_binary_both_sides import gateway as gateway
from tests.contract.test_venue_replay import play


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "flow.parquet"
    trace.write(synth.generate(4, 1000, 5), path)
    return path


def configured(made: Gateway, flow: Path, folder: Path, **fields: Any) -> LoadConfig:  # noqa: ANN401 - of LoadConfig
    (folder / "secret").write_bytes(MASTER)
    venue = {
        "type": "sandbox-binary",
        "binary": [f"tcp://{HOST}:{made.port}"],
        "secret_file": str(folder / "secret"),
    }
    base = {"run_id": "run-1", "run_dir": folder / "run-1", "trace": str(flow), "venue": venue, "duration_s": 1.0}
    return LoadConfig.model_validate({**base, **fields})


def journal(made: Gateway) -> list[str]:
    """Op ids in the order in which the engine took them."""
    return [row.op_id for row in made.engine.market.journal.rows()]


def test_every_operation_is_answered_with_its_place_in_the_journal(
    gateway: Gateway, flow: Path, tmp_path: Path
) -> None:
    rows = play(configured(gateway, flow, tmp_path))
    assert [row["op_id"] for row in rows] == [f"run-1-{n:010d}" for n in range(len(rows))]
    assert {row["outcome"] for row in rows} <= {"ok", "reject"}
    assert Counter(row["outcome"] for row in rows)["ok"] > 0.5 * len(rows)
    assert {row["attempts"] for row in rows} == {1}
    taken = {op_id: seq for seq, op_id in enumerate(journal(gateway), 1)}
    assert taken.keys() == {row["op_id"] for row in rows}
    assert all(row["server_seq"] == taken[row["op_id"]] for row in rows if row["outcome"] == "ok")
    assert all(row["intended_ns"] <= row["sent_ns"] <= row["answered_ns"] for row in rows)
    assert {row["error"] for row in rows if row["outcome"] == "reject"} <= {"110001", "110301", "110072"}


def test_the_operations_of_a_session_keep_their_order(gateway: Gateway, flow: Path, tmp_path: Path) -> None:
    rows = play(configured(gateway, flow, tmp_path, duration_s=0.5, speed=8))
    place_of = {op_id: at for at, op_id in enumerate(journal(gateway))}
    sessions: dict[str, list[int]] = {}
    for row in rows:
        sessions.setdefault(row["session"], []).append(place_of[row["op_id"]])
    assert len(sessions) > 1
    assert all(places == sorted(places) for places in sessions.values())


@pytest.mark.parametrize("outage", ["queue", "retry-idempotent"])
def test_sessions_that_lose_their_connections_come_back_and_nothing_runs_twice(
    gateway: Gateway, flow: Path, tmp_path: Path, outage: Outage
) -> None:
    cut: list[int] = []

    def each(t: float, replay: Replay) -> None:
        if not cut and replay.engine is not None and replay.engine.next > 100 and replay._pool is not None:
            cut.append(replay._pool.disconnect(0.5, replay._clock()))

    rows = play(configured(gateway, flow, tmp_path, outage=outage), each)
    assert cut
    assert cut[0] > 0
    executed = Counter(row.op_id for row in gateway.engine.market.journal.rows() if not row.code)
    assert executed.most_common(1)[0][1] == 1
    outcomes = {row["op_id"]: row["outcome"] for row in rows}
    assert {op_id for op_id, outcome in outcomes.items() if outcome == "ok"} <= executed.keys()
    assert {outcomes[op_id] for op_id in executed} <= {"ok", "unknown"}
    if outage == "retry-idempotent":
        assert {row["outcome"] for row in rows} <= {"ok", "reject"}


def test_a_wrong_secret_is_one_line(gateway: Gateway, flow: Path, tmp_path: Path) -> None:
    config = configured(gateway, flow, tmp_path)
    (tmp_path / "secret").write_bytes(b"another")
    replay = Replay(config, lambda work: work())
    assert replay._pool is not None
    while replay.step():
        if "sign-in refused" in replay._pool.last_error:
            replay._connect_until_ns = 0
    assert replay.failure is not None
    assert replay.failure.endswith(f"{HOST}:{gateway.port}: sign-in refused: 10004")
    assert journal(gateway) == []


def test_an_address_that_is_none_or_not_of_this_machine(gateway: Gateway, flow: Path, tmp_path: Path) -> None:
    config = configured(gateway, flow, tmp_path)
    for addresses, error in (
        (["tcp://127.0.0.1"], DefinitionError),
        (["ws://127.0.0.1:1"], DefinitionError),
        ([], DefinitionError),
        (["tcp://192.0.2.1:9"], Refused),
    ):
        wrong = config.model_copy(update={"venue": {**config.venue, "binary": addresses}})
        with pytest.raises(error):
            Replay(wrong, lambda work: work())
