"""The client-side history of every operation, such that the death of the generator loses nothing that was sent.

Before the first send the whole schedule is on disk. A cursor in a memory-mapped file moves before each send, so the
kernel keeps it whatever happens to the process. Decided operations follow in chunks, each complete or absent.
`consolidate` joins the three: a row before the cursor and in no chunk was sent, and its outcome is unknown.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from drills.errors import ComponentError
from drills.evidence import WITNESS, RunDir
from loadgen.engine.ops import OUTCOMES, Decided

Spawn = Callable[[Callable[[], None]], object]
"""Runs a function on a real thread."""


class Cursor:
    """How many rows of the schedule were begun: one little-endian u64 in a shared mapping."""

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            file.write(bytes(8))
            file.flush()
            self._map = mmap.mmap(file.fileno(), 8)

    def move(self, count: int) -> None:
        """Say that the first `count` rows were begun; survives any death of the process from here on."""
        struct.pack_into("<Q", self._map, 0, count)


def read_cursor(path: Path) -> int:
    """Rows begun; 0 where the file is missing or short."""
    data = path.read_bytes() if path.exists() else b""
    return int(struct.unpack("<Q", data[:8])[0]) if len(data) >= 8 else 0


class ChunkWriter:
    """Writes decided operations as Arrow IPC streams: serialised here, written and fsynced on a thread of its own."""

    def __init__(self, folder: Path, schedule: pa.Table, run_id: str, spawn: Spawn) -> None:
        self._folder, self._schedule, self._run_id, self._spawn = folder, schedule, run_id, spawn
        self._number = 0
        self._done: list[int] = []  # appended by the threads; appending to a list is atomic
        self.failure: OSError | None = None

    @property
    def pending(self) -> int:
        """Chunks on their way to the disk."""
        return self._number - len(self._done)

    def submit(self, decided: Decided) -> None:
        """Hand over one chunk; returns at once."""
        if not decided.n:
            return
        table = to_table(decided, self._schedule, self._run_id)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        data, path = sink.getvalue(), self._folder / f"chunk-{self._number:05d}.arrow"
        self._number += 1
        self._spawn(lambda: self._write(path, data))

    def _write(self, path: Path, data: pa.Buffer) -> None:
        temporary = path.with_name(path.name + ".tmp")
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, path)
        except OSError as error:
            self.failure = error
        finally:
            self._done.append(1)


def to_table(decided: Decided, schedule: pa.Table, run_id: str) -> pa.Table:
    """Decided operations as rows of WITNESS; `schedule` is the table of schedule.arrow."""
    rows = schedule.take(pa.array(decided.n, pa.int64()))
    columns: dict[str, Any] = {name: rows[name] for name in ("kind", "session", "key", "notional", "intended_ns")}
    columns |= {
        "op_id": pa.array([f"{run_id}-{n}" for n in decided.n], pa.string()),
        "outcome": pa.array([OUTCOMES[code] for code in decided.outcome], pa.string()),
        "attempts": pa.array(decided.attempts, pa.int32()),
        "error": pa.array(decided.error, pa.string()),
        "sent_ns": _nullable(decided.sent_ns),
        "answered_ns": _nullable(decided.answered_ns),
        "server_seq": _nullable(decided.seq),
        "epoch": _nullable(decided.epoch),
    }
    return pa.table({name: columns[name] for name in WITNESS.names}).cast(WITNESS)


def _nullable(values: list[int]) -> pa.Array:
    array = np.array(values, dtype=np.int64)
    return pa.array(array, mask=array < 0)


def open_schedule(run_dir: Path) -> tuple[pa.Table, str]:
    """The schedule on disk, mapped into memory, and its run id; raises ComponentError where it is unusable."""
    path = RunDir(run_dir).load / "schedule.arrow"
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        return table, table.schema.metadata[b"run_id"].decode()
    except (OSError, pa.ArrowException, KeyError, TypeError) as error:
        raise ComponentError("load", f"{path}: no readable schedule ({error}); the load never started") from error


def consolidate(run_dir: Path) -> Path:
    """Write witness.parquet from schedule, cursor and chunks; returns its path.

    Rows are those intended up to the last instant the load was alive or was asked to stop, and any begun later. A row
    that was begun and is in no chunk counts as sent at its intended time, outcome unknown, error `unresolved`; a row
    never begun has no sent_ns and error `unsent`. Unfinished chunks (.tmp) are left out.
    """
    run = RunDir(run_dir)
    schedule, run_id = open_schedule(run_dir)
    begun = min(read_cursor(run.load / "cursor.bin"), len(schedule))
    intended = schedule["intended_ns"].to_numpy()
    count = max(begun, int(np.searchsorted(intended, _alive_until(run.live), side="right")))
    known = pa.concat_tables([_chunk(path) for path in sorted(run.witness_chunks.glob("chunk-*.arrow"))] or [_none()])
    numbers = _numbers(known, run_id)
    known = known.take(pa.array(np.unique(numbers, return_index=True)[1]))
    numbers = np.unique(numbers)
    missing = np.setdiff1d(np.arange(count), numbers, assume_unique=True)
    lost = Decided()
    lost.n = missing.tolist()
    lost.sent_ns = np.where(missing < begun, intended[missing], -1).tolist()
    lost.answered_ns = lost.seq = lost.epoch = [-1] * len(missing)
    lost.outcome = [OUTCOMES.index("unknown")] * len(missing)
    lost.attempts = (missing < begun).astype(int).tolist()
    lost.error = np.where(missing < begun, "unresolved", "unsent").tolist()
    whole = pa.concat_tables([known, to_table(lost, schedule, run_id)])
    order = np.argsort(np.concatenate([numbers, missing]), kind="stable")
    temporary = run.witness.with_name(run.witness.name + ".tmp")
    pq.write_table(whole.take(pa.array(order)), temporary, compression="zstd")
    temporary.replace(run.witness)
    return run.witness


def _chunk(path: Path) -> pa.Table:
    try:
        with pa.OSFile(str(path), "rb") as source:
            return pa.ipc.open_stream(source).read_all()
    except (OSError, pa.ArrowException) as error:
        raise ComponentError("witness", f"{path}: unreadable chunk ({error}); the evidence was damaged") from error


def _none() -> pa.Table:
    return WITNESS.empty_table()


def _numbers(table: pa.Table, run_id: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    text = pc.utf8_slice_codeunits(table["op_id"], len(run_id) + 1)
    return text.cast(pa.int64()).to_numpy()  # type: ignore[no-any-return]


def _alive_until(live: Path) -> int:
    """The instant the load was asked to stop, else the last one it was seen alive; 0 where it never was."""
    last = 0
    for line in live.read_bytes().splitlines() if live.exists() else ():
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            break  # a torn last line
        last = entry["t_ns"]
        if entry["state"] != "running" and entry["state"] != "starting":
            break
    return last
