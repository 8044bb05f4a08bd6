"""One SHA-256 over the content of a trace, however its columns are cut into pieces and encoded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from loadgen.trace import SCHEMA, Symbol, Trace

COLUMNS = tuple(name for name in SCHEMA.names if name not in ("parent_row", "prior_row"))
"""What the digest covers: all but the links, which follow from client_id and parent."""


class Digest:
    """Takes the rows of a trace piece by piece; constant memory."""

    def __init__(self) -> None:
        self._values = {name: hashlib.sha256() for name in COLUMNS}
        self._shapes = {name: hashlib.sha256() for name in COLUMNS}  # nulls, and where a string ends

    def add(self, piece: pa.Table | pa.RecordBatch) -> None:
        """Take the next rows; columns that are not of a trace are left out."""
        for name in COLUMNS:
            column = piece.column(name)
            for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
                self._take(name, chunk)

    def take(self, name: str, column: pa.ChunkedArray) -> None:
        """Take one whole column."""
        for chunk in column.chunks:
            self._take(name, chunk)

    def sum(self, grid: Mapping[str, Symbol], duration_ns: int) -> str:
        """The digest, with the ticks and lots and the duration, which stand beside the columns."""
        whole = hashlib.sha256()
        for name in COLUMNS:
            whole.update(name.encode() + self._values[name].digest() + self._shapes[name].digest())
        sizes = {symbol: [f"{size.tick:f}", f"{size.lot:f}"] for symbol, size in sorted(grid.items())}
        whole.update(orjson.dumps([sizes, duration_ns], option=orjson.OPT_SORT_KEYS))
        return f"sha256:{whole.hexdigest()}"

    def _take(self, name: str, chunk: pa.Array) -> None:
        kind = SCHEMA.field(name).type
        if pa.types.is_integer(kind):
            self._shapes[name].update(pc.is_valid(chunk).to_numpy(zero_copy_only=False))
            numbers = pc.fill_null(chunk, 0).to_numpy(zero_copy_only=False)
            self._values[name].update(np.ascontiguousarray(numbers, dtype="<i8"))
            return
        if pa.types.is_dictionary(chunk.type):
            chunk = chunk.dictionary_decode()
        texts = chunk.cast(pa.large_binary())
        lengths = pc.fill_null(pc.binary_length(texts), -1).to_numpy(zero_copy_only=False)
        self._shapes[name].update(np.ascontiguousarray(lengths, dtype="<i8"))
        texts = pc.fill_null(texts, b"")
        if len(texts):
            _, offsets, data = texts.buffers()
            ends = np.frombuffer(offsets, dtype="<i8")[texts.offset : texts.offset + len(texts) + 1]
            if data is not None:
                self._values[name].update(memoryview(data)[int(ends[0]) : int(ends[-1])])


def of(trace: Trace) -> str:
    """The digest of a trace, column by column."""
    digest = Digest()
    for name in COLUMNS:
        digest.take(name, trace.column(name))
    return digest.sum(trace.grid, trace.duration_ns)
