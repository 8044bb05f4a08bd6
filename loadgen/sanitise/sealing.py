"""Binds the manifest in a trace's file to what was written there, without writing its rows again."""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow.parquet as pq

from loadgen import trace_store
from loadgen.sanitise import digest, manifest
from loadgen.trace import read

_META = b"muster.trace"
_TAIL = 8
"""A Parquet file ends with its footer, the footer's length in four bytes, and PAR1."""


def seal_file(path: Path) -> dict[str, Any]:
    """Put the digest of its content into the manifest that the file of a trace holds; returns the manifest.

    The data pages are copied as they are and only the footer is made anew; a reader sees the old file or the new one.
    Raises DefinitionError for a file that is no sound trace, KeyError for one without a manifest.
    """
    made = read(path)
    sealed = manifest.sealed(made.provenance[manifest.KEY], digest.of(made))
    footer = pq.read_metadata(path)
    facts = orjson.loads(footer.metadata[_META])
    facts["provenance"][manifest.KEY] = sealed
    temporary = path.with_name(path.name + ".tmp")
    try:
        with path.open("rb") as source, temporary.open("wb") as target:
            _copy(source, target, _end_of_pages(source))
            target.write(_tail(footer, pq.read_schema(path), orjson.dumps(facts)))
        trace_store._seal(temporary)  # `read` found every row in order
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return sealed


def _end_of_pages(source: BinaryIO) -> int:
    size = source.seek(0, 2)
    source.seek(size - _TAIL)
    return size - _TAIL - int.from_bytes(source.read(4), "little")


def _copy(source: BinaryIO, target: BinaryIO, length: int) -> None:
    source.seek(0)
    shutil.copyfileobj(source, target)
    target.truncate(length)
    target.seek(length)


def _tail(footer: pq.FileMetaData, schema: Any, facts: bytes) -> bytes:  # noqa: ANN401 - pyarrow is untyped
    """Footer, its length and PAR1, with other facts."""
    empty, whole = BytesIO(), BytesIO()
    with pq.ParquetWriter(empty, schema, store_schema=False) as writer:
        writer.add_key_value_metadata({_META: facts})
    empty.seek(0)
    made = pq.read_metadata(empty)
    made.append_row_groups(footer)
    made.write_metadata_file(whole)
    ends = whole.getvalue()
    return ends[4:]  # without the PAR1 that a file begins with
