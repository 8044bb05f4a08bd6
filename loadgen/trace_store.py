"""The file of a trace: Parquet with checksummed pages, its metadata, and what may be wrong with it."""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from drills.errors import DefinitionError
from loadgen.trace_schema import LINKS, SCHEMA, WORDS, Codes, Ints, Symbol, shaped

FORMAT = 2
"""Version of the schema; a file of a later version is refused. Format 1 had no links."""
AGAIN = "import or record it again"
"""What to do about a file that is of no use."""
ROW_GROUP = 1 << 18
"""Rows of a row group: what one thread reads at a time, and what a writer holds in memory."""
BLANK = ("side", "type", "tif")
"""Columns whose null is written as "": pages of few words decode three times as fast where no row is null."""

_META = b"muster.trace"
_SEAL = b"muster\0\1"
"""Stands, with the CRC-32 of the footer, between the pages and the footer: the mark of a writer that checked every row.

Page checksums cover no footer, and Parquet readers may crash on a damaged one. A program that writes the file again
writes another footer, and no seal.
"""
_DELTA_INTS = ("t_ns", "session", "price_ticks", "qty_lots", "rec_latency_us", *LINKS)
_DELTA_STRINGS = ("op_id", "client_id", "parent", "dep")
_ENCODINGS = dict.fromkeys(_DELTA_INTS, "DELTA_BINARY_PACKED") | dict.fromkeys(_DELTA_STRINGS, "DELTA_BYTE_ARRAY")
_THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Meta:
    """What the file says about all its rows."""

    duration_ns: int
    grid: Mapping[str, Symbol]
    provenance: Mapping[str, Any]


class Stored:
    """The columns of a trace in its file, read when they are asked for.

    Raises DefinitionError, when made and whenever a column is read, where the file cannot be what it says.
    """

    def __init__(self, place: str, path: Path) -> None:
        self._place, self._path = place, path
        with self._told():
            self.checked = _sealed(path)
            self._footer = pq.read_metadata(path)
            self._schema = self._footer.schema.to_arrow_schema()
        self.meta = _metadata(place, self._schema, self._footer.metadata or {})

    @property
    def rows(self) -> int:
        """How many rows the file has."""
        return int(self._footer.num_rows)

    def all(self) -> pa.Table:
        """Every column there is of those in SCHEMA, as the file types it."""
        return self._read([name for name in SCHEMA.names if name in self._schema.names])

    def table(self, names: Sequence[str]) -> pa.Table:
        """The columns named, as SCHEMA types them."""
        return shaped(self._read(names), names)

    def load(self, ints: Sequence[str], words: Sequence[str]) -> tuple[dict[str, Ints], dict[str, Codes]]:
        """Columns of whole numbers and of WORDS, row groups side by side on all cores."""
        numbers = {name: np.empty(self.rows, dtype=np.int64) for name in ints}
        codes = {name: _Coded(name, self.rows) for name in words}
        sizes = [self._footer.row_group(group).num_rows for group in range(self._footer.num_row_groups)]
        starts = np.cumsum([0, *sizes]).tolist()
        own = threading.local()  # a ParquetFile serves one thread at a time

        def fill(group: int) -> None:
            if not hasattr(own, "file"):
                own.file = self._open(words)
            table = own.file.read_row_group(group, [*ints, *words], use_threads=False)
            part = slice(starts[group], starts[group + 1])
            for name, column in numbers.items():
                _fill(column[part], table[name].combine_chunks())
            for name, coded in codes.items():
                coded.fill(part, table[name].combine_chunks())

        with self._told(), ThreadPoolExecutor(_THREADS) as threads:
            for _ in threads.map(fill, range(len(sizes)) if ints or words else ()):
                pass
        return numbers, {name: (coded.codes, list(coded.known)) for name, coded in codes.items()}

    def _open(self, words: Sequence[str]) -> pq.ParquetFile:
        return pq.ParquetFile(
            self._path, metadata=self._footer, read_dictionary=list(words), page_checksum_verification=True
        )

    def _read(self, names: Sequence[str]) -> pa.Table:
        with self._told():
            table = self._open(()).read(list(names)).select(names)
        for name in BLANK:
            if name in names:
                blank = pc.equal(table[name], "")
                table = table.set_column(
                    names.index(name), name, pc.if_else(blank, pa.scalar(None, table[name].type), table[name])
                )
        return table

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise DefinitionError(self._place, _why_unreadable(self._path, error), hint=AGAIN) from error


def _fill(out: Ints, column: pa.Array) -> None:
    """Put in whole numbers, -1 for null: by multiplication, which takes a third of the time of Arrow's fill_null."""
    if not column.null_count:
        out[:] = column.to_numpy()
        return
    bits, values = column.buffers()
    rows = slice(column.offset, column.offset + len(column))
    valid = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), bitorder="little")[rows].view(np.int8)
    np.multiply(np.frombuffer(values, dtype=column.type.to_pandas_dtype())[rows], valid, out=out)
    np.add(out, valid - 1, out=out)


class _Coded:
    """One column of WORDS while its row groups come in."""

    def __init__(self, name: str, rows: int) -> None:
        self.codes = np.empty(rows, dtype=np.int32)
        self.known: dict[str, int] = {}
        self._blank = name in BLANK
        self._lock = threading.Lock()

    def fill(self, part: slice, words: pa.DictionaryArray) -> None:
        """Put in one row group; its dictionary may be another than that of the one before."""
        code = [-1 if self._blank and not word else self._code(word) for word in words.dictionary.to_pylist()]
        translate = np.array([*code, -1], dtype=np.int32)  # the last stands for null
        indices = pc.fill_null(words.indices, len(code)).to_numpy()
        np.take(translate, indices, out=self.codes[part], mode="clip")

    def _code(self, word: str) -> int:
        with self._lock:
            return self.known.setdefault(word, len(self.known))


def write(tables: Iterable[pa.Table], path: Path, meta: Meta) -> None:
    """Write tables with SCHEMA, all checked, so that a reader sees the whole file or none.

    Columns of WORDS may come as dictionaries; then they should share one, which row groups need not translate.
    """
    facts = {
        "format": FORMAT,
        "duration_ns": meta.duration_ns,
        "grid": {name: {"tick": f"{g.tick:f}", "lot": f"{g.lot:f}"} for name, g in meta.grid.items()},
        "provenance": dict(meta.provenance),
    }
    temporary = path.with_name(path.name + ".tmp")
    writer: pq.ParquetWriter | None = None
    try:
        for table in tables:
            rows = _for_file(table)
            writer = writer or _writer(temporary, rows.schema)
            writer.write_table(rows, row_group_size=ROW_GROUP)
        if writer:
            writer.add_key_value_metadata({_META: orjson.dumps(facts)})
            writer.close()
            _seal(temporary)
            temporary.replace(path)
    finally:
        if writer and writer.is_open:
            writer.close()
        temporary.unlink(missing_ok=True)


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=3,
        use_dictionary=list(WORDS),
        column_encoding=_ENCODINGS,
        write_page_checksum=True,
        store_schema=False,
    )


def _for_file(table: pa.Table) -> pa.Table:
    """The table as the file has it: words as dictionaries, and no null in BLANK."""
    fields, columns = [], []
    for field in SCHEMA:
        column = table[field.name]
        if field.name not in WORDS:
            column = column.cast(field.type)
        elif not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode().unify_dictionaries()
        if field.name in BLANK:
            column, field = _blanked(column), field.with_nullable(False)
        fields.append(field.with_type(column.type))
        columns.append(column)
    return pa.table(columns, schema=pa.schema(fields))


def _blanked(column: pa.ChunkedArray) -> pa.ChunkedArray:
    words = column.chunk(0).dictionary if column.num_chunks else pa.array([], pa.string())
    indices = [pc.fill_null(chunk.indices, len(words)) for chunk in column.chunks]
    known = pa.concat_arrays([words, pa.array([""], words.type)])
    return pa.chunked_array([pa.DictionaryArray.from_arrays(chunk, known) for chunk in indices], column.type)


def _footer_of(file: BinaryIO) -> tuple[int, bytes]:
    """Where the footer of a Parquet file starts, and its bytes to the end; none where the file is no whole one."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 8))
    length, magic = file.read(4), file.read(4)
    start = size - 8 - int.from_bytes(length, "little")
    if magic != b"PAR1" or start < len(_SEAL) + 4:
        return size, b""
    file.seek(start)
    return start, file.read()


def _sealed_footer(footer: bytes) -> bytes:
    return _SEAL + zlib.crc32(footer).to_bytes(4, "little")


def _seal(path: Path) -> None:
    with path.open("r+b") as file:
        start, footer = _footer_of(file)
        file.seek(start)  # the footer says where pages are, nothing says where it is but the end of the file
        file.write(_sealed_footer(footer) + footer)


def _sealed(path: Path) -> bool:
    """Whether the file carries the seal; raises OSError where that does not fit the footer."""
    with path.open("rb") as file:
        start, footer = _footer_of(file)
        file.seek(start - len(_SEAL) - 4 if footer else 0)
        seal = file.read(len(_SEAL) + 4)
    if not footer or not seal.startswith(_SEAL):
        return False
    if seal != _sealed_footer(footer):
        raise OSError("the checksum of its footer is another")
    return True


def _why_unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, PermissionError):
        return "may not be read: permission denied"
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(max(0, size - 4), os.SEEK_SET)
        tail = file.read(4)
    if not size:
        return "is empty"
    if head != b"PAR1":
        return "is not a Parquet file"
    if tail != b"PAR1":
        return f"is truncated: its {size} bytes lack the end of a Parquet file"
    return "is corrupt: " + str(error).splitlines()[0][:160]


def _metadata(name: str, schema: pa.Schema, metadata: Mapping[bytes, bytes]) -> Meta:
    """What the file says of itself."""
    raw = metadata.get(_META)
    missing = [field.name for field in SCHEMA if field.name not in schema.names and field.name not in LINKS]
    if raw is None or missing:
        why = f"it lacks {', '.join(missing)}" if missing else "it has no muster.trace metadata"
        raise DefinitionError(name, f"is Parquet, but not a trace: {why}", hint="make one with muster trace import")
    try:
        meta = orjson.loads(raw)
        if meta["format"] > FORMAT:
            raise DefinitionError(
                name, f"has trace format {meta['format']}, this version reads up to {FORMAT}", hint="update muster"
            )
        grid = {symbol: Symbol(Decimal(g["tick"]), Decimal(g["lot"])) for symbol, g in meta["grid"].items()}
        if any(not size.is_finite() or size <= 0 for symbol in grid.values() for size in symbol):
            raise ValueError("a tick or lot is not above zero")
        if not (
            isinstance(meta["duration_ns"], int) and meta["duration_ns"] > 0 and isinstance(meta["provenance"], dict)
        ):
            raise ValueError("duration or provenance")
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise DefinitionError(name, f"has damaged trace metadata ({error})", hint=AGAIN) from error
    return Meta(meta["duration_ns"], grid, meta["provenance"])
