"""The manifest belongs to the content of its trace; what has none stays in the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

from chaoslib_ext.policy import enforce_traffic
from drills.errors import Refused
from drills.model import Environment
from loadgen import trace
from loadgen.builder import Row, build
from loadgen.sanitise import LeakFound, Sanitiser, check_target, digest, is_sanitised, manifest, resign, scan, vouch

WITHDRAW = orjson.dumps(
    {"method": "POST", "path": "/v5/asset/withdraw/create", "headers": {}, "body": '{"coin":"USDT"}'}
)


def rows() -> list[Row]:
    return [
        Row(10, 0, "alice", "place", "BTCUSDT", "Buy", "Limit", "GTC", 300, 400, "order-1", None, "New"),
        Row(20, 0, "alice", "amend", "BTCUSDT", price8=600, parent="order-1"),
        Row(30, 0, "alice", "cancel", "BTCUSDT", parent="order-1", rec_status="Rejected 110001"),
        Row(40, 1, "bob", "withdraw", "USDT", payload=WITHDRAW),
    ]


def clean() -> trace.Trace:
    sanitiser = Sanitiser(b"k")
    kept = [row for row in map(sanitiser.row, rows()) if row is not None]
    made = build("mine", kept, {"from": "test"})
    return manifest.seal(made, sanitiser.finish())


def generated() -> trace.Trace:
    """The beginning of the trace that ships, without a manifest."""
    whole = trace.read("linear-perp-1m")
    return trace.of("made", whole.table.slice(0, 300), whole.grid, {"from": "synth"}, whole.duration_ns)


def changed(source: trace.Trace, column: str, row: int, value: object) -> trace.Trace:
    values = source.table[column].to_pylist()
    values[row] = value
    index = source.table.schema.get_field_index(column)
    field = trace.SCHEMA.field(column)
    table = source.table.set_column(index, field, pa.array(values, field.type))
    return trace.of(source.name, table, source.grid, source.provenance, source.duration_ns)


# -- the seal ----------------------------------------------------------------------------------------------------------


def test_an_untouched_trace_is_sanitised_in_memory_and_on_disk(tmp_path: Path) -> None:
    made = clean()
    assert is_sanitised(made)
    trace.write(made, tmp_path / "x.parquet")
    read = trace.read(tmp_path / "x.parquet")
    assert is_sanitised(read)
    assert read.provenance["sanitised"]["content"] == digest.of(made)


@pytest.mark.parametrize(
    ("column", "row", "value"),
    [
        ("account", 0, "alice"),
        ("client_id", 0, "order-1"),
        ("parent", 2, "order-1"),
        ("symbol", 3, "alice@example.com"),
        ("rec_status", 1, "for Alice"),
        ("payload", 3, b"{}"),
        ("op_id", 0, "alice"),
        ("dep", 1, "0"),
        ("t_ns", 1, 11),
        ("session", 3, 7),
        ("price_ticks", 0, 1381234),
        ("qty_lots", 1, 1),
        ("rec_latency_us", 0, 0),
    ],
)
def test_a_trace_that_was_changed_after_it_was_sanitised_does_not_count(column: str, row: int, value: object) -> None:
    made = changed(clean(), column, row, value)
    assert manifest.problem(made) == "was changed after it was sanitised"


def test_grid_and_duration_are_part_of_it() -> None:
    made = clean()
    grid = {**made.grid, "ALICE": trace.Symbol(*made.grid["BTCUSDT"])}
    for other in (
        trace.of("x", made.table, grid, made.provenance, made.duration_ns),
        trace.of("x", made.table, made.grid, made.provenance, made.duration_ns + 1),
    ):
        assert not is_sanitised(other)


def test_what_moves_from_one_string_to_the_next_is_noticed() -> None:
    made = clean()
    first, second = made.table["account"].to_pylist()[2:4]
    moved = changed(changed(made, "account", 2, first + second[:1]), "account", 3, second[1:])
    assert not is_sanitised(moved)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (None, "is not sanitised"),
        ("yes", "is not sanitised"),
        ({}, "was sanitised by other rules (version None, ours is 1)"),
        ({"version": 1, "findings": 1}, "was sanitised by other rules (version 1, ours is 1)"),
        ({"version": 0, "findings": 0}, "was sanitised by other rules (version 0, ours is 1)"),
        ({"version": 1, "findings": 0}, "was changed after it was sanitised"),
        ({"version": 1, "findings": 0, "content": "sha256:00"}, "was changed after it was sanitised"),
    ],
)
def test_a_manifest_that_says_too_little(said: Any, why: str) -> None:  # noqa: ANN401 - any JSON
    made = build("mine", rows(), {"sanitised": said} if said is not None else {})
    assert manifest.problem(made) == why


def test_the_digest_does_not_hang_on_how_columns_are_cut_and_encoded() -> None:
    made = clean()
    table = made.table
    pieces = digest.Digest()
    for piece in (table.slice(0, 1), table.slice(1, 0), table.slice(1, 3)):
        pieces.add(piece)
    assert pieces.sum(made.grid, made.duration_ns) == digest.of(made)
    for column in ("account", "op", "symbol", "rec_status"):
        table = table.set_column(table.schema.get_field_index(column), column, table[column].dictionary_encode())
    encoded = digest.Digest()
    for batch in pa.concat_tables([table.slice(0, 2), table.slice(2)]).to_batches():
        encoded.add(batch)
    assert encoded.sum(made.grid, made.duration_ns) == digest.of(made)


# -- without the sanitiser ---------------------------------------------------------------------------------------------


def test_a_generated_trace_is_vouched_for() -> None:
    made = vouch(generated(), "the generator")
    assert is_sanitised(made)
    assert made.provenance["sanitised"]["pseudonyms"] == "every name was made up by the generator"
    assert made.provenance["from"] == "synth"


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("account", "alice", "column account holds what looks like a name that was not made up"),
        ("client_id", "order-1", "column client_id holds what looks like a name that was not made up"),
        ("rec_status", "a@example.com", "column rec_status, row 0, holds what looks like an e-mail address"),
        ("payload", b"{}", "column payload holds what looks like a recorded message"),
    ],
)
def test_nothing_else_is_vouched_for(column: str, value: object, said: str) -> None:
    with pytest.raises(LeakFound, match=said):
        vouch(changed(generated(), column, 0, value), "the generator")


def test_a_transform_of_a_clean_trace_is_sealed_anew() -> None:
    source = clean()
    faster = trace.of("fast", source.table, source.grid, {**source.provenance, "transformed": ["warp"]}, 10**6)
    assert not is_sanitised(faster)
    made = resign(faster, source)
    assert is_sanitised(made)
    assert made.provenance["transformed"] == ["warp"]
    assert made.provenance["sanitised"]["dropped"] == source.provenance["sanitised"]["dropped"]


def test_a_transform_of_any_other_trace_gets_none() -> None:
    source = changed(clean(), "rec_status", 0, "Filled")
    assert "sanitised" not in resign(source, source).provenance


def test_a_transform_that_brings_something_in_is_refused() -> None:
    source = clean()
    with pytest.raises(LeakFound, match="column rec_status, row 1, holds what looks like an IPv4 address"):
        resign(changed(source, "rec_status", 1, "10.0.0.5"), source)
    noted = trace.of("x", source.table, source.grid, {"note": ["from 10.0.0.5"]}, source.duration_ns)
    with pytest.raises(LeakFound, match="provenance"):
        resign(noted, source)


def test_a_scan_counts_kinds_by_column() -> None:
    made = build("mine", rows(), {"file": "alice@example.com.log"})
    made = changed(changed(made, "account", 1, "10.0.0.5"), "account", 3, "10.0.0.6")
    strings, found = scan(made)
    assert strings > 10
    assert [(one.kind, one.column, one.row, one.strings) for one in found] == [
        ("IPv4 address", "account", 1, 2),
        ("e-mail address", "provenance", -1, 1),
    ]


# -- where it may be played --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("venue", ["sandbox", "sandbox-binary"])
def test_the_sandbox_takes_anything(venue: str) -> None:
    check_target(build("raw", rows(), {}), venue)


@pytest.mark.parametrize("venue", ["bybit-v5", "fix44", "http", "", "sandbox2"])
def test_elsewhere_a_trace_must_be_sanitised(venue: str) -> None:
    check_target(clean(), venue, ["withdraw"])
    with pytest.raises(
        Refused, match=r"refused: not-sanitised: raw is not sanitised, so it plays only against the sandbox"
    ):
        check_target(build("raw", rows(), {}), venue, ["withdraw", "transfer"])
    with pytest.raises(Refused, match="refused: not-sanitised: mine was changed after it was sanitised"):
        check_target(changed(clean(), "account", 0, "alice"), venue, ["withdraw"])


@pytest.mark.parametrize("allowed", [(), ("transfer",)])
def test_elsewhere_withdrawals_are_refused_unless_that_operation_is_allowed(allowed: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="refused: operation-not-allowed: mine holds 1 withdraw operation, ") as caught:
        check_target(clean(), "bybit-v5", allowed)
    assert caught.value.code == "operation-not-allowed"


@pytest.mark.parametrize("op", ["withdraw", "transfer"])
def test_a_request_that_speaks_of_moving_money_counts_as_such(op: str) -> None:
    said = [
        Row(0, 0, "a", "request", "", payload=orjson.dumps({"message": f'{{"op":"private/{op.title()}"}}'})),
        Row(1, 0, "a", "read", "", payload=orjson.dumps({"method": "GET", "path": f"/{op}/list", "headers": {}})),
    ]
    with pytest.raises(Refused, match=f"operation-not-allowed: x holds 1 {op} operation"):
        check_target(build("x", said, {}), "http", [])


def environment(kind: str, venue: str, operations: list[str]) -> Environment:
    policy = {"operations": operations}
    return Environment.model_validate({"environment": "e", "kind": kind, "venue": {"type": venue}, "policy": policy})


def test_the_policy_of_the_environment_decides() -> None:
    enforce_traffic(build("raw", rows(), {}), environment("embedded", "sandbox", []))
    enforce_traffic(clean(), environment("staging", "bybit-v5", ["withdraw"]))
    with pytest.raises(Refused, match="operation-not-allowed"):
        enforce_traffic(clean(), environment("staging", "bybit-v5", []))
    with pytest.raises(Refused, match="not-sanitised"):
        enforce_traffic(build("raw", rows(), {}), environment("staging", "sandbox", ["withdraw"]))
