"""HTTP recordings made for a test, and what their import holds in a form that is easy to compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from loadgen.importers import gor
from loadgen.importers.report import Report
from tests.contract.imports import Imported, import_

ORDERS = ("place", "cancel", "amend")
T0 = 1_700_000_000_000_000_000


def orders(made: Imported) -> list[tuple[object, ...]]:
    """The orders as (ms, session, op, what it says, which order, what came of it)."""
    rows = [row for row in made.trace.table.to_pylist() if row["op"] in ORDERS]
    terms = [row for row, op in zip(made.rows("side", "type", "tif"), made.rows("op"), strict=True) if op[0] in ORDERS]
    return [
        (
            row["t_ns"] // 10**6,
            row["session"],
            row["op"],
            *(word for word in said if word),
            *decimals(made, row),
            row["client_id"] or row["parent"],
            row["rec_status"],
        )
        for row, said in zip(rows, terms, strict=True)
    ]


def decimals(made: Imported, row: dict[str, Any]) -> list[str]:
    grid = made.trace.grid[row["symbol"]]
    found = ((row["price_ticks"], grid.tick), (row["qty_lots"], grid.lot))
    return [f"{count * step:f}" for count, step in found if count is not None]


def payloads(made: Imported) -> list[tuple[str, str, dict[str, Any]]]:
    rows = [row for row in made.trace.table.to_pylist() if row["op"] not in ORDERS]
    return [(row["op"], row["symbol"], orjson.loads(row["payload"])) for row in rows]


def notes(report: Report) -> dict[str, list[int]]:
    return {what: entry.lines for what, entry in report.notes.items()}


def record(number: int, raw: bytes, kind: int = 1, t_ns: int = 0) -> bytes:
    return f"{kind} {number:024x} {T0 + t_ns}\n".encode() + raw + gor.SEPARATOR


def post(path: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def place(number: int, **fields: object) -> bytes:
    order = {"symbol": "X", "side": "Buy", "orderType": "Limit", "qty": "1", "price": "1", "orderLinkId": str(number)}
    return post("/v5/order/create", orjson.dumps(order | fields))


def imported(data: bytes, format_: str, folder: Path) -> Imported:
    file = folder / "recording"
    file.write_bytes(data)
    return import_(format_, file, folder)
