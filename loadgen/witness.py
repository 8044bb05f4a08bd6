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

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from drills.errors import ComponentError
from drills.evidence import WITNESS, RunDir
from loadgen.engine.files import LoadFiles, parts
from loadgen.engine.ops import OUTCOMES, UNKNOWN, Decided, Whole
from loadgen.schedule import op_number
from loadgen.venues.wire import Ints

Spawn = Callable[[Callable[[], None]], object]
"""Runs a function on a real thread."""

CHUNK = pa.schema(
    [
        pa.field("n", pa.int64(), nullable=False),  # row of the schedule
        pa.field("sent_ns", pa.int64()),
        pa.field("answered_ns", pa.int64()),
        pa.field("outcome", pa.uint8(), nullable=False),  # index into OUTCOMES
        pa.field("server_seq", pa.int64()),
        pa.field("epoch", pa.int32()),
        pa.field("attempts", pa.uint8(), nullable=False),
        pa.field("error", pa.string()),
    ]
)
"""Columns of a chunk: what the schedule does not say already."""


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
    """Writes decided operations as Arrow IPC streams, on a thread of its own."""

    def __init__(self, files: LoadFiles, spawn: Spawn) -> None:
        self._files, self._spawn = files, spawn
        self._number = 0
        self._done: list[int] = []  # appended by the threads; appending to a list is atomic
        self.failure: OSError | None = None

    @property
    def pending(self) -> int:
        """Chunks on their way to the disk."""
        return self._number - len(self._done)

    def submit(self, decided: list[Decided]) -> None:
        """Hand over one chunk; returns at once."""
        if not decided:
            return
        path = self._files.chunk(self._number)
        self._number += 1
        self._spawn(lambda: self._write(path, decided))

    def _write(self, path: Path, decided: list[Decided]) -> None:
        temporary = path.with_name(path.name + ".tmp")
        try:
            table = to_table(Decided.join(decided))
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, CHUNK) as writer:
                writer.write_table(table)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                view = memoryview(sink.getvalue())
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


def to_table(decided: Decided) -> pa.Table:
    """Decided operations as rows of CHUNK."""
    errors = pa.DictionaryArray.from_arrays(
        pa.array(decided.error, mask=decided.error == 0), pa.array(decided.errors, pa.string())
    )
    columns = {
        "n": decided.n,
        "sent_ns": _nullable(decided.sent_ns),
        "answered_ns": _nullable(decided.answered_ns),
        "outcome": decided.outcome,
        "server_seq": _nullable(decided.seq),
        "epoch": _nullable(decided.epoch),
        "attempts": decided.attempts,
        "error": errors.cast(pa.string()),
    }
    return pa.table(columns, schema=CHUNK)


def _nullable(values: Whole) -> pa.Array:
    return pa.array(values, mask=values < 0)


def open_schedule(files: LoadFiles) -> pa.Table:
    """The schedule on disk, mapped into memory; raises ComponentError where it is unusable."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(files.schedule))).read_all()
        for name in (b"run_id", b"shard"):
            table.schema.metadata[name].decode()
        return table
    except (OSError, pa.ArrowException, KeyError, TypeError) as error:
        why = f"{files.schedule}: no readable schedule ({error}); the load never started"
        raise ComponentError("load", why) from error


def consolidate(run_dir: Path) -> Path:
    """Write witness.parquet, and reads.parquet where there were reads, of all load processes; returns its path.

    Rows are those intended up to the instant at which their process was asked to stop, or, where it was never, the last
    one at which any of the load was alive; and any begun later. A row that was begun and is in no chunk counts as sent
    at its intended time, outcome unknown, error `unresolved`; a row never begun has no sent_ns and error `unsent`.
    Unfinished chunks (.tmp) are left out.
    """
    run = RunDir(run_dir)
    found = parts(run) or [LoadFiles(run)]
    ends = {files: _alive_until(files.live) for files in found}
    until = max(at for at, _ in (_alive_until(run.live), *ends.values()))
    whole = pa.concat_tables([_witness(files, at if in_order else until) for files, (at, in_order) in ends.items()])
    if len(found) > 1:
        whole = whole.sort_by("intended_ns")
    is_read = pc.equal(whole["kind"], "read")
    if pc.any(is_read).as_py():
        _write(whole.filter(is_read), run.reads)
        whole = whole.filter(pc.invert(is_read))
    _write(whole, run.witness)
    return run.witness


def _write(table: pa.Table, path: Path) -> None:
    temporary = path.with_name(path.name + ".tmp")
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(path)


def _witness(files: LoadFiles, until_ns: int) -> pa.Table:
    """Rows of WITNESS of one load process, in the order of the schedule."""
    schedule = open_schedule(files)
    begun = min(read_cursor(files.cursor), len(schedule))
    intended = schedule["intended_ns"].to_numpy()
    count = max(begun, int(np.searchsorted(intended, until_ns, side="right")))
    known = pa.concat_tables([_chunk(path) for path in files.chunks()] or [CHUNK.empty_table()])
    numbers, first = np.unique(known["n"].to_numpy(), return_index=True)
    known = known.take(pa.array(first))
    missing = np.setdiff1d(np.arange(count), numbers, assume_unique=True)
    both = pa.concat_tables([known, _lost(missing, missing < begun, intended)])
    rows = both.take(pc.sort_indices(both["n"]))
    numbers = rows["n"].to_numpy()
    source = schedule.take(rows["n"])
    run_id, shard = (schedule.schema.metadata[name].decode() for name in (b"run_id", b"shard"))
    columns = {name: source[name] for name in ("kind", "session", "key", "notional", "intended_ns")}
    columns |= {name: rows[name] for name in ("sent_ns", "answered_ns", "server_seq", "epoch", "attempts", "error")}
    columns["op_id"] = op_ids(run_id, numbers + op_number(int(shard), 0))
    columns["outcome"] = pa.DictionaryArray.from_arrays(rows["outcome"].to_numpy(), pa.array(OUTCOMES))
    return pa.table({name: columns[name] for name in WITNESS.names}).cast(WITNESS)


def _lost(missing: Ints, begun: np.ndarray[tuple[int], np.dtype[np.bool_]], intended: Ints) -> pa.Table:
    """Rows that are in no chunk."""
    nothing = np.full(len(missing), -1, np.int64)
    errors = ["", "unresolved", "unsent"]
    return to_table(
        Decided(
            missing,
            nothing,
            intended[missing],
            np.where(begun, intended[missing], -1),
            nothing,
            np.full(len(missing), UNKNOWN, np.int64),
            nothing,
            nothing,
            begun.astype(np.int64),
            np.where(begun, 1, 2).astype(np.int64),
            errors,
        )
    )


def op_ids(run_id: str, numbers: Ints) -> pa.Array:
    """`<run_id>-<ten digits>` of many operations; see `loadgen.schedule.op_id`."""
    prefix = np.frombuffer(f"{run_id}-".encode(), np.uint8)
    width = len(prefix) + 10
    text = np.empty((len(numbers), width), np.uint8)
    text[:, : len(prefix)] = prefix
    text[:, len(prefix) :] = (numbers[:, None] // 10 ** np.arange(9, -1, -1, dtype=np.int64)) % 10 + 48
    offsets = np.arange(len(numbers) + 1, dtype=np.int64) * width
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    return pa.Array.from_buffers(pa.large_string(), len(numbers), buffers).cast(pa.string())


def _chunk(path: Path) -> pa.Table:
    try:
        with pa.OSFile(str(path), "rb") as source:
            return pa.ipc.open_stream(source).read_all()
    except (OSError, pa.ArrowException) as error:
        raise ComponentError("witness", f"{path}: unreadable chunk ({error}); the evidence was damaged") from error


def _alive_until(live: Path) -> tuple[int, bool]:
    """The instant the load was asked to stop, and True; else the last one it was seen alive, 0 where it never was."""
    last = 0
    for line in live.read_bytes().splitlines() if live.exists() else ():
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            break  # a torn last line
        last = entry["t_ns"]
        if entry["state"] not in ("running", "starting", "failed"):
            return last, True
    return last, False
