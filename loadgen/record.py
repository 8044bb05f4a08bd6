"""Recording what a running sandbox executed: its journal to a trace."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
import requests

from drills.errors import ComponentError
from loadgen.builder import Row, build, to_units
from loadgen.trace import Trace
from loadgen.venues import audit, get

_PAGE = 20_000
ORPHAN = "names an order that the recording does not hold before it"


def record(
    venue: Mapping[str, Any], name: str, seconds: float | None, own: str | None = None
) -> tuple[Trace, Counter[str]]:
    """Trace of what the venue executes within the next `seconds`, or, for None, of all it has executed so far.

    Accounts become sessions in the order they appear. Left out and counted: repeated attempts of one intent, orders of
    canaries, and cancels and amends of orders from before the window. With `own`, only op ids that start with it count.
    Raises ComponentError where the record cannot be read or is empty.
    """
    sandbox = get(str(venue["type"]))
    first = 1
    if seconds is not None:
        first = sandbox.watermark(venue) + 1
        time.sleep(seconds)
    rows, left_out = to_rows(_journal(venue["audit"], first, sandbox.watermark(venue)), own)
    if not rows:
        raise ComponentError("sandbox", "executed nothing to record; play something first (muster run)")
    return build(name, rows, {"from": "sandbox", "commands": len(rows)}), left_out


def to_rows(journal: list[dict[str, Any]], own: str | None = None) -> tuple[list[Row], Counter[str]]:
    """Rows of a trace from rows of the journal, and what was left out by reason."""
    sessions: dict[str, int] = {}
    orders: dict[tuple[str, str], str] = {}  # (account, recorded client id) -> client id in the trace
    rows: list[Row] = []
    left_out: Counter[str] = Counter()
    for raw in journal:
        account, kind = raw["account"], raw["kind"]
        parent = orders.get((account, raw["parent"] or ""))
        if account == "canary" or (own is not None and not raw["op_id"].startswith(own)):
            left_out["of somebody else"] += 1
        elif raw["outcome"] == "duplicate":
            left_out["repeated attempt"] += 1
        elif kind != "place" and parent is None:
            left_out[ORPHAN] += 1
        else:
            session = sessions.setdefault(account, len(sessions))
            row = Row(raw["t_ns"], session, f"acct-{session}", kind, raw["symbol"], rec_status=_status(raw))
            if kind == "place":
                row.client_id = orders[account, raw["client_id"]] = f"c{len(rows)}"
                row.side, row.type, row.tif = raw["side"], raw["type"], raw["tif"]
            else:
                row.parent = parent
            if kind != "cancel":
                row.price8, row.qty8 = _units(raw["price"]), _units(raw["qty"])
            rows.append(row)
    return rows, left_out


def _status(raw: dict[str, Any]) -> str:
    return str(raw["status"]) if raw["outcome"] == "ok" else f"Rejected {raw['code']}"


def _units(text: str | None) -> int | None:
    value = Decimal(text or 0)
    return to_units(value) if value else None


def _journal(urls: list[str], first: int, last: int) -> list[dict[str, Any]]:
    found, errors = audit.marks(urls)
    source = audit.leader(found) or (found[0] if found else None)
    if source is None:
        raise ComponentError("sandbox", f"no engine answers ({'; '.join(errors)})")
    rows: list[dict[str, Any]] = []
    for low in range(first, last + 1, _PAGE):
        params = {"from": low, "to": min(last, low + _PAGE - 1)}
        try:
            answer = requests.get(f"{source.url}/audit/journal", params=params, timeout=(1.0, 30.0))
            answer.raise_for_status()
        except requests.RequestException as error:
            raise ComponentError(source.instance, f"its journal cannot be read: {type(error).__name__}") from error
        rows += [orjson.loads(line) for line in answer.content.splitlines()]
    return rows
