"""A witness and an audit as arrays: what checkers count and marks are taken from.

Everything is numpy over whole columns, so that judging 300,000 operations takes well under two seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drills.errors import DefinitionError
from drills.evidence import COMMANDS, WITNESS

I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

NEVER = np.iinfo(np.int64).max
"""Stands for a send or an answer that never came (∞)."""
NONE = -1
"""Stands for a sequence number or an epoch that an answer did not carry."""

_PLATFORM = re.compile(r"10\d{3}")
"""Codes of the venue's platform (Bybit V5: 10000-10999, time-outs, signatures, no leader). A reject with one of these
is not a business reject: the market did not decide anything."""


@dataclass(frozen=True)
class History:
    """The witness, one element an operation, sorted by intended time τ.

    Shapes are (n,). Times are CLOCK_MONOTONIC nanoseconds, NEVER where there is none; `seq` and `epoch` are NONE where
    the answer carried none. `kind` indexes `kinds`. `business` marks rejects that the market decided on.
    """

    op_id: Any  # pyarrow StringArray of n
    notional: Any  # pyarrow Decimal128Array of n
    kinds: tuple[str, ...]
    kind: NDArray[np.int16]
    intended: I64
    sent: I64
    answered: I64
    ok: Mask
    reject: Mask
    unknown: Mask
    business: Mask
    unresolved: Mask
    seq: I64
    epoch: I64

    def __len__(self) -> int:
        return len(self.intended)

    def of(self, flow: str) -> Mask:
        """Which operations are of that kind (all False for a kind that is not in the witness)."""
        if flow not in self.kinds:
            return np.zeros(len(self), bool)
        mask: Mask = self.kind == self.kinds.index(flow)
        return mask

    @property
    def end_ns(self) -> int | None:
        """The last intended time: until there the schedule is known; None for an empty witness."""
        return int(self.intended[-1]) if len(self) else None

    def ids(self, mask: Mask, limit: int = 10) -> list[str]:
        """The ids of the first `limit` operations of a mask, in order of τ."""
        return [str(self.op_id[int(i)]) for i in np.flatnonzero(mask)[:limit]]


@dataclass(frozen=True)
class Journal:
    """The audit, one element an accepted command, sorted by sequence; shapes are (m,).

    `op` is the index of the command's operation in the history, NONE where the history has none of that id. `own` marks
    commands whose id belongs to this run.
    """

    op_id: Any
    op: I64
    own: Mask
    seq: I64
    epoch: I64

    def __len__(self) -> int:
        return len(self.seq)


def history(table: pa.Table) -> History:
    """Arrays of a witness table (schema WITNESS); raises DefinitionError for a column that is missing or mistyped."""
    table = _conform(table, WITNESS, "witness.parquet")
    intended = _ints(table["intended_ns"], 0)
    order = np.argsort(intended, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        table, intended = table.take(order), intended[order]
    kinds, kind = _codes(table["kind"])
    outcomes, outcome = _codes(table["outcome"])
    errors, error = _codes(table["error"])

    def is_(word: str) -> Mask:
        return outcome == outcomes.index(word) if word in outcomes else np.zeros(len(intended), bool)

    platform = np.array([bool(_PLATFORM.fullmatch(text)) for text in errors] + [False])  # the last one: no error (-1)
    unresolved = np.array([text == "unresolved" for text in errors] + [False])
    reject = is_("reject")
    return History(
        op_id=table["op_id"].combine_chunks(),
        notional=table["notional"].combine_chunks(),
        kinds=kinds,
        kind=kind,
        intended=intended,
        sent=_ints(table["sent_ns"], NEVER),
        answered=_ints(table["answered_ns"], NEVER),
        ok=is_("ok"),
        reject=reject,
        unknown=is_("unknown"),
        business=reject & ~platform[error],
        unresolved=is_("unknown") & unresolved[error],
        seq=_ints(table["server_seq"], NONE),
        epoch=_ints(table["epoch"], NONE),
    )


def journal(table: pa.Table, witness: History, run_id: str) -> Journal:
    """Arrays of an audit table (schema COMMANDS), matched to the witness by op_id."""
    table = _conform(table, COMMANDS, "audit/commands.parquet")
    seq = _ints(table["seq"], NONE)
    order = np.argsort(seq, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        table, seq = table.take(order), seq[order]
    ids = table["op_id"].combine_chunks()
    found = pc.index_in(ids, value_set=witness.op_id)
    own = pc.match_substring_regex(ids, f"^{re.escape(run_id)}-[0-9]+$")
    return Journal(
        op_id=ids,
        op=_ints(found, NONE),
        own=np.asarray(own.to_numpy(zero_copy_only=False), bool) | (_ints(found, NONE) >= 0),
        seq=seq,
        epoch=_ints(table["epoch"], NONE),
    )


def read_table(path: Path) -> pa.Table:
    """A Parquet file; raises DefinitionError that says it is missing or damaged."""
    try:
        return pq.read_table(path)
    except FileNotFoundError as error:
        raise DefinitionError(str(path), "is missing") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise DefinitionError(str(path), "is damaged: " + str(error).splitlines()[0][:120]) from error


def _conform(table: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    missing = [field.name for field in schema if field.name not in table.column_names]
    if missing:
        raise DefinitionError(name, f"has no column {', '.join(missing)}")
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise DefinitionError(name, "has a column of another type: " + str(error).splitlines()[0][:120]) from error


def _ints(column: Any, absent: int) -> I64:  # noqa: ANN401 - pyarrow has no types
    return np.asarray(pc.fill_null(pc.cast(column, pa.int64()), absent).to_numpy(), np.int64)


def _codes(column: Any) -> tuple[tuple[str, ...], NDArray[np.int16]]:  # noqa: ANN401 - pyarrow has no types
    # -1 for null: as an index it names the last element of a lookup table
    encoded = pc.dictionary_encode(column.combine_chunks())
    encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    words = tuple(str(word) for word in encoded.dictionary.to_pylist())
    codes = pc.fill_null(pc.cast(encoded.indices, pa.int16()), -1).to_numpy()
    return words, np.asarray(codes, np.int16)
