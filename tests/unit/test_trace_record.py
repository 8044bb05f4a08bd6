"""A journal becomes a trace: intents only, sessions by account, ids renumbered, times kept."""

from __future__ import annotations

from typing import Any

from loadgen.builder import build
from loadgen.record import ORPHAN, to_rows
from loadgen.trace import first_problem


def entry(seq: int, kind: str = "place", **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of the journal
    base = {
        "seq": seq,
        "epoch": 1,
        "t_ns": 1_000 * seq,
        "account": "acct-7",
        "op_id": f"run-{seq}",
        "kind": kind,
        "symbol": "BTCUSDT",
        "side": "Buy",
        "type": "Limit",
        "tif": "GTC",
        "price": "100.5",
        "qty": "2",
        "client_id": f"run-{seq}" if kind == "place" else "",
        "parent": None,
        "code": 0,
        "outcome": "ok",
        "status": "New",
        "notional": "201",
    }
    return base | fields


def test_a_journal_becomes_rows() -> None:
    journal = [
        entry(1),
        entry(2, account="acct-3", type="Market", tif="IOC", price=None, status="Filled"),
        entry(3, "amend", parent="run-1", price="100.25", qty="0"),
        entry(4, "cancel", parent="run-1", price=None, qty="0", status="Cancelled"),
    ]
    rows, left_out = to_rows(journal)
    assert not left_out
    assert [(row.t_ns, row.session, row.op, row.client_id, row.parent) for row in rows] == [
        (1000, 0, "place", "c0", None),
        (2000, 1, "place", "c1", None),
        (3000, 0, "amend", None, "c0"),
        (4000, 0, "cancel", None, "c0"),
    ]
    assert [(row.price8, row.qty8) for row in rows] == [
        (10_050_000_000, 200_000_000),
        (None, 200_000_000),
        (10_025_000_000, None),
        (None, None),
    ]
    assert [row.rec_status for row in rows] == ["New", "Filled", "New", "Cancelled"]
    assert first_problem(build("x", rows, {})) is None


def test_what_is_no_intent_of_the_recording_is_left_out_and_counted() -> None:
    journal = [
        entry(1, "cancel", parent="older", price=None, qty="0", code=110001, outcome="reject", status="Rejected"),
        entry(2, account="canary"),
        entry(3),
        entry(4, op_id="run-3", client_id="run-3", code=110072, outcome="duplicate"),
        entry(5, tif="PostOnly", code=110301, outcome="reject", status="Rejected"),
        entry(6, op_id="other-1"),
    ]
    rows, left_out = to_rows(journal, own="run-")
    assert [(row.client_id, row.rec_status) for row in rows] == [("c0", "New"), ("c1", "Rejected 110301")]
    assert left_out == {
        ORPHAN: 1,
        "of somebody else": 2,
        "repeated attempt": 1,
    }
