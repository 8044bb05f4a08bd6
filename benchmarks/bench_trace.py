"""How long a trace of ten million operations takes to load, and half a million of them to be multiplied by twenty.

Both as a load process does it: in a process of its own, whose largest memory is a figure too. Beside each stands the
plain way in the same run: the same rows as JSON lines read one by one, and a loop over the operations of every clone.
"""

from __future__ import annotations

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.results import Figure, write
from loadgen import schedule, trace, trace_store
from loadgen.trace_schema import REPLAY_INTS, REPLAY_WORDS

ROWS = 10_000_000
CHUNK = 1_000_000
BASE, CLONES = 500_000, 20
ROUNDS = 5
GAP_NS = 36_000
SESSIONS, SYMBOLS = 5_000, 300


def chunk(number: int, rows: int = CHUNK) -> pa.Table:
    """Rows `number * rows` and on of a trace: half are orders, the others cancel or amend one of the last few thousand.

    Chunks stand for themselves: no row names an order of another chunk.
    """
    draw, row = np.random.default_rng(number), np.arange(number * rows, (number + 1) * rows)
    place = draw.random(rows) < 0.5
    place[:10] = True
    orders = np.flatnonzero(place)
    latest = np.cumsum(place) - 1
    parent = np.where(place, -1, orders[latest - np.minimum(draw.integers(0, 2_500, rows), latest)])
    of_order = np.where(place, np.arange(rows), parent)
    session = (draw.random(rows) ** 2 * SESSIONS).astype(np.int32)[of_order]
    symbol = (draw.random(rows) ** 3 * SYMBOLS).astype(np.int32)[of_order]
    op = np.where(place, 0, np.where(draw.random(rows) < 0.8, 1, 2))
    market = place & (draw.random(rows) < 0.06)
    price = 60_000 + symbol * 100 + np.rint(draw.normal(0, 30, rows)).astype(np.int64)
    start = number * rows * GAP_NS
    ids = pc.binary_join_element_wise("c", pa.array(row).cast(pa.string()), "")
    table = pa.table(
        {
            "op_id": pa.array(row).cast(pa.string()),
            "t_ns": start + np.sort(draw.integers(0, rows * GAP_NS, rows)),
            "session": session,
            "account": _words(session, [f"acct-{n}" for n in range(SESSIONS)]),
            "op": _words(op, list(trace.KINDS)),
            "symbol": _words(symbol, [f"S{n}USDT" for n in range(SYMBOLS)]),
            "side": _words(draw.integers(0, 2, rows), ["Buy", "Sell"], ~place),
            "type": _words(market, ["Limit", "Market"], ~place),
            "tif": _words(np.where(market, 1, draw.integers(0, 3, rows)), ["GTC", "IOC", "PostOnly"], ~place),
            "price_ticks": pa.array(price, mask=market | (op == 1)),
            "qty_lots": pa.array(draw.integers(1, 1_000, rows), mask=op == 1),
            "client_id": pc.if_else(pa.array(place), ids, pa.scalar(None, pa.string())),
            "parent": ids.take(pa.array(parent, mask=place)),
            **{name: pa.nulls(rows) for name in ("dep", "rec_status", "rec_latency_us", "payload")},
        }
    )
    linked = trace.of("t", table, {}, {}, 1).table
    shifted = (pc.add(linked[name], number * rows) for name in ("parent_row", "prior_row"))
    return pa.table([*linked.columns[:-2], *shifted], schema=trace.SCHEMA)


def _words(codes: Any, words: list[str], null: Any = None) -> pa.Array:  # noqa: ANN401 - arrays of any width
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=null), words)


def make(path: Path, rows: int) -> None:
    """Write a trace of so many rows, a chunk at a time."""
    grid = {f"S{n}USDT": trace.Symbol(Decimal("0.1"), Decimal("0.001")) for n in range(SYMBOLS)}
    size = min(CHUNK, rows)

    def chunks() -> Iterator[pa.Table]:
        for number in range(rows // size):
            made = chunk(number, size)
            if not number:
                problem = trace.first_problem(trace.of("t", made, grid, {}, rows * GAP_NS))
                if problem:
                    raise SystemExit(f"trace: {problem}")
            yield made

    trace_store.write(chunks(), path, trace_store.Meta(rows * GAP_NS, grid, {"from": "benchmark"}))


def load(path: Path) -> float:
    """Load all columns that a replay of orders needs; returns the seconds."""
    begun = time.perf_counter()
    trace.read(path)
    return time.perf_counter() - begun


def amplify(path: Path) -> float:
    """Lay a trace out for CLONES clones, with jitter; returns the seconds that took without reading the trace."""
    recorded = trace.read(path)
    begun = time.perf_counter()
    made = schedule.build(recorded, duration_s=recorded.duration_ns / 1e9, amplify=CLONES, seed=1, jitter_ns=5_000_000)
    taken = time.perf_counter() - begun
    if len(made) < 0.99 * CLONES * recorded.rows:
        raise SystemExit(f"amplify: {len(made)} operations of {CLONES} x {recorded.rows}")
    return taken


def measured(act: str, path: Path) -> dict[str, float]:
    """Wall seconds and CPU seconds (medians of ROUNDS fresh processes), and the largest memory in MB."""
    command = [sys.executable, "-m", "benchmarks.bench_trace", act, str(path)]
    done = [json.loads(subprocess.check_output(command)) for _ in range(ROUNDS)]
    return {name: statistics.median(one[name] for one in done) for name in done[0]}


def alone(act: str, path: Path) -> None:
    """One measurement, printed as JSON; CPU includes the start of Python."""
    seconds = amplify(path) if act == "amplify" else load(path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"seconds": seconds, "cpu_s": time.process_time(), "peak_mb": peak / 1e6}))


def json_lines_s(folder: Path) -> float:
    """Seconds for ROWS as JSON lines, the same columns, extrapolated from one chunk."""
    path, columns = folder / "peer.jsonl", (*REPLAY_INTS, *REPLAY_WORDS)
    with path.open("wb") as file:
        for batch in chunk(0).select(columns).to_batches(max_chunksize=10_000):
            file.write(b"".join(orjson.dumps(row) + b"\n" for row in batch.to_pylist()))
    begun = time.perf_counter()
    found: dict[str, list[Any]] = {name: [] for name in columns}
    with path.open("rb") as file:
        for line in file:
            row = orjson.loads(line)
            for name, values in found.items():
                values.append(row[name])
    return (time.perf_counter() - begun) * ROWS / CHUNK


def loop_s(path: Path) -> float:
    """Seconds for CLONES clones of the trace in a loop over operations, extrapolated from one clone."""
    table = trace.read(path).table
    names = ("t_ns", "session", "client_id", "parent")
    rows = list(zip(*(table[name].to_pylist() for name in names), strict=True))
    rng, begun = random.Random(1), time.perf_counter()
    placed: dict[tuple[int, str], int] = {}
    made: list[tuple[int, int, int, int | None]] = []
    for n, (t_ns, session, client_id, parent) in enumerate(rows):
        if parent is None:
            placed[0, client_id] = n
        made.append((t_ns + rng.randrange(5_000_000), n, session, None if parent is None else placed[0, parent]))
    made.sort()
    return (time.perf_counter() - begun) * CLONES


def figures() -> list[Figure]:
    """Measure all; takes two minutes and 300 MB of disk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "whole.parquet", ROWS)
        make(folder / "base.parquet", BASE)
        size = os.stat(folder / "whole.parquet").st_size
        loaded, amplified = measured("load", folder / "whole.parquet"), measured("amplify", folder / "base.parquet")
        lines_s, slow_s = json_lines_s(folder), loop_s(folder / "base.parquet")
    return [
        Figure("trace-load-s", loaded["seconds"], "s", "JSON lines, one by one", loaded["seconds"] / lines_s),
        Figure("trace-load-cpu-s", loaded["cpu_s"], "s"),
        Figure("trace-load-peak-mb", loaded["peak_mb"], "MB"),
        Figure("trace-bytes-per-operation", size / ROWS, "B"),
        Figure("amplify-s", amplified["seconds"], "s", "a loop over operations", amplified["seconds"] / slow_s),
        Figure("amplify-cpu-s", amplified["cpu_s"], "s"),
        Figure("amplify-peak-mb", amplified["peak_mb"], "MB"),
    ]


def main() -> None:
    """Measure and write benchmarks/out/trace.json."""
    if len(sys.argv) == 3:
        alone(sys.argv[1], Path(sys.argv[2]))
    else:
        write("trace", figures())


if __name__ == "__main__":
    main()
