"""Rows and tables of witnesses and audits, for tests that need a few of them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from drills.evidence import COMMANDS, WITNESS
from tests.runs import MS, RUN_ID, command_row


def operation(n: int, tau: int, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - columns of the witness
    """One row of a witness: an order placed at `tau`, sent at once and answered with ok 1 ms later."""
    row = {
        "op_id": f"{RUN_ID}-{n}", "kind": "place", "session": "acct-0", "key": "BTCUSDT", "notional": Decimal(100),
        "intended_ns": tau, "sent_ns": tau, "answered_ns": tau + MS, "outcome": "ok", "server_seq": n + 1, "epoch": 1,
        "attempts": 1, "error": None,
    }  # fmt: skip
    return row | fields


def command(op_id: str, seq: int, epoch: int = 1) -> dict[str, Any]:
    """One accepted command of an audit."""
    return command_row({"op_id": op_id, "kind": "place", "key": "BTCUSDT", "notional": Decimal(100)}, seq, epoch)


def witness_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """A table of schema WITNESS."""
    return pa.Table.from_pylist(list(rows), WITNESS)


def commands_table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """A table of schema COMMANDS."""
    return pa.Table.from_pylist(list(rows), COMMANDS)
