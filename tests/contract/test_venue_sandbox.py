"""The sandbox as a venue: watermark, canaries, and an audit by two clients that must agree."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from drills.errors import ComponentError, DefinitionError
from drills.evidence import COMMANDS, FILLS, RunDir
from loadgen import venues
from loadgen.venues import audit
from tests.contract.fakevenue import FakeVenue

SANDBOX = venues.get("sandbox")
ORDER = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "price": "100.5", "qty": "2"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "STEADY_S", 0.02)
    monkeypatch.setattr(audit, "_POLL_S", 0.005)
    monkeypatch.setattr(audit, "PAGE", 3)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[FakeVenue]:
    with FakeVenue(tmp_path, engines=2) as made:
        yield made


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path / "run-1")
    made.load.mkdir(parents=True)
    return made


def traded(venue: FakeVenue, run: RunDir) -> None:
    """Two commands from before the run, then seven of it, one of them foreign and one a duplicate, and a fill."""
    for n in range(2):
        venue.execute("other", f"older-{n}", "place", {**ORDER, "orderLinkId": f"older-{n}"})
    (run.load / "watermark.json").write_bytes(orjson.dumps({"seq": 2, "t_ns": 1}))
    for n in range(4):
        venue.execute("acct-0", f"run-1-{n}", "place", {**ORDER, "orderLinkId": f"run-1-{n}"})
    venue.execute("acct-0", "run-1-3", "place", {**ORDER, "orderLinkId": "run-1-3"}, outcome="duplicate")
    venue.execute(
        "acct-0", "run-1-4", "amend", {"symbol": "BTCUSDT", "price": "100", "qty": "2", "orderLinkId": "run-1-0"}
    )
    venue.execute("canary", "canary-0", "cancel", {"symbol": "BTCUSDT", "orderLinkId": "run-1-1"})
    fill = {"seq": 4, "exec_id": "4-0", "symbol": "BTCUSDT", "price": "100.5", "qty": "1", "taker_op": "run-1-1"}
    for fills in venue.fills:
        fills.append({**fill, "maker_op": "run-1-0", "taker_side": "Sell"})


def test_the_audit_reads_the_window_of_the_run_from_two_engines(pair: FakeVenue, run: RunDir) -> None:
    traded(pair, run)
    result = SANDBOX.audit(pair.venue, run.path, 5)
    assert result == venues.AuditResult(
        complete=True,
        reason=None,
        clients=tuple(pair.venue["audit"]),
        from_seq=3,
        to_seq=9,
        rows=6,
        foreign=1,
        diverged_at=None,
    )
    commands = pq.read_table(run.commands)
    assert commands.schema.equals(COMMANDS)
    assert [(row["seq"], row["op_id"], row["notional"], row["outcome"]) for row in commands.to_pylist()] == [
        (3, "run-1-0", Decimal("201.00000000"), "New"),
        (4, "run-1-1", Decimal("201.00000000"), "New"),
        (5, "run-1-2", Decimal("201.00000000"), "New"),
        (6, "run-1-3", Decimal("201.00000000"), "New"),
        (8, "run-1-4", Decimal("200.00000000"), "Amended"),
        (9, "canary-0", None, "Cancelled"),
    ]
    fills = pq.read_table(run.fills)
    assert fills.schema.equals(FILLS)
    assert fills["exec_id"].to_pylist() == ["4-0"]
    meta = orjson.loads(run.audit_meta.read_bytes())
    assert (meta["complete"], meta["rows"], meta["hashes"]) == (True, 6, {"engine-0": "00", "engine-1": "00"})


def test_one_engine_is_read_twice(tmp_path: Path, run: RunDir) -> None:
    with FakeVenue(tmp_path) as alone:
        traded(alone, run)
        venue = {**alone.venue, "audit": ["http://127.0.0.1:9", *alone.venue["audit"]]}
        result = SANDBOX.audit(venue, run.path, 5)
    assert result.complete
    assert result.clients == (alone.venue["audit"][0],) * 2


def test_without_a_mark_of_the_load_the_whole_record_is_read(pair: FakeVenue, run: RunDir) -> None:
    traded(pair, run)
    (run.load / "watermark.json").unlink()
    result = SANDBOX.audit(pair.venue, run.path, 5)
    assert (result.from_seq, result.rows, result.foreign) == (1, 8, 3)


def test_engines_that_disagree_diverge_at_the_first_such_command(pair: FakeVenue, run: RunDir) -> None:
    traded(pair, run)
    pair.journals[1][7]["status"] = "Filled"
    pair.journals[1][5]["op_id"] = "run-1-99"
    result = SANDBOX.audit(pair.venue, run.path, 5)
    assert (result.complete, result.diverged_at) == (True, 6)


def test_a_hash_that_differs_shows_what_no_row_does(pair: FakeVenue, run: RunDir) -> None:
    traded(pair, run)
    pair.hashes[:] = [{"2": "aa", "4": "bb", "6": "cc"}, {"2": "xx", "4": "bb", "6": "dd"}]
    assert SANDBOX.audit(pair.venue, run.path, 5).diverged_at == 6  # what differs at 2 is from before the run


def test_a_fill_that_only_one_engine_has_diverges(pair: FakeVenue, run: RunDir) -> None:
    traded(pair, run)
    pair.fills[1].clear()
    assert SANDBOX.audit(pair.venue, run.path, 5).diverged_at == 4


def test_a_missing_row_makes_the_audit_incomplete(pair: FakeVenue, run: RunDir) -> None:
    traded(pair, run)
    pair.journals[1][5] = {**pair.journals[1][5], "seq": 999}
    result = SANDBOX.audit(pair.venue, run.path, 5)
    assert (result.complete, result.reason) == (False, "engine-1: 2 rows for the 3 commands 6 to 8")
    assert result.rows == 3


def test_a_standby_that_stays_behind_makes_it_incomplete(pair: FakeVenue, run: RunDir) -> None:
    traded(pair, run)
    pair.journals[1].pop()
    result = SANDBOX.audit(pair.venue, run.path, 0.1)
    assert not result.complete
    assert result.reason == "within 0.1 s: engine-0 is at 9, engine-1 is at 8"


def test_nobody_in_the_lead_makes_it_incomplete(pair: FakeVenue, run: RunDir) -> None:
    traded(pair, run)
    pair.role[0] = "standby"
    result = SANDBOX.audit(pair.venue, run.path, 0.1)
    assert (result.complete, result.reason) == (False, "within 0.1 s: no primary engine (all are standbys)")
    assert result.rows == 6


def test_an_engine_that_still_reads_its_log_is_not_asked(pair: FakeVenue, run: RunDir) -> None:
    traded(pair, run)
    pair.role[1] = "starting"
    pair.journals[1].clear()
    result = SANDBOX.audit(pair.venue, run.path, 5)
    assert (result.complete, result.clients) == (True, (pair.venue["audit"][0],) * 2)


def test_no_engine_at_all_leaves_an_empty_record_and_the_reason(run: RunDir) -> None:
    result = SANDBOX.audit({"audit": ["http://127.0.0.1:9"]}, run.path, 0.05)
    assert (result.complete, result.rows, result.clients) == (False, 0, ())
    assert "no primary engine (http://127.0.0.1:9: ConnectionError)" in str(result.reason)
    assert pq.read_table(run.commands).num_rows == 0


def test_the_watermark_is_the_leaders(pair: FakeVenue, run: RunDir) -> None:
    traded(pair, run)
    pair.journals[1].append(pair.journals[1][-1])
    assert SANDBOX.watermark(pair.venue) == 9
    with pytest.raises(ComponentError, match="is the sandbox up"):
        SANDBOX.watermark({"audit": ["http://127.0.0.1:9"]})


def test_canaries_are_signed_placed_and_cancelled(pair: FakeVenue) -> None:
    result = SANDBOX.place_canaries(pair.venue, 5)
    assert (result.sent, result.ok, result.good, result.errors, result.good_ratio) == (5, 5, 5, (), 1.0)
    assert result.p99_ms is not None
    kinds = [(row["account"], row["kind"], row["symbol"]) for row in pair.journals[0]]
    assert kinds == [("canary", "place", "CANARYUSDT"), ("canary", "cancel", "CANARYUSDT")] * 5


def test_canaries_of_a_venue_in_trouble_never_raise(pair: FakeVenue, tmp_path: Path) -> None:
    pair.mode = "unavailable"
    assert SANDBOX.place_canaries(pair.venue, 2) == venues.CanaryResult(2, 0, 0, None, ("2 × retCode 10016",))
    (tmp_path / "secret").write_bytes(b"another")
    assert SANDBOX.place_canaries(pair.venue, 1).errors == ("1 × retCode 10004",)
    gone = {**pair.venue, "rest": ["http://127.0.0.1:9"]}
    assert SANDBOX.place_canaries(gone, 2).errors == ("2 × no connection",)
    assert SANDBOX.place_canaries({**gone, "secret_file": "/none"}, 1).good_ratio == 0


def test_an_unknown_venue_is_a_mistake_in_the_definition() -> None:
    with pytest.raises(DefinitionError, match=r"venue\.type kraken: no such venue; known: sandbox"):
        venues.get("kraken")
