"""What a load generator's own record says, against what is known to have happened: lag, stall, drift."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

Times = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Record:
    """Times of all operations of one load in ns of CLOCK_MONOTONIC, in the order of the schedule; NaN: never."""

    intended: Times
    sent: Times
    answered: Times


def read(witness: Path) -> Record:
    """The times of a consolidated witness."""
    table = pq.read_table(witness, columns=["intended_ns", "sent_ns", "answered_ns"])
    intended, sent, answered = (table[name].to_numpy().astype(np.float64) for name in table.column_names)
    return Record(intended, sent, answered)


def lag_p99_ms(record: Record, warm_up_s: float) -> float:
    """99th percentile of the time from intended to sent, without what was intended in the first seconds."""
    warm = record.intended >= record.intended[0] + warm_up_s * 1e9
    return float(np.percentile((record.sent - record.intended)[warm], 99)) / 1e6


def p99_ms(record: Record) -> float:
    """99th percentile of the time from intended to answered; raises ValueError where something was not answered."""
    if np.isnan(record.answered).any():
        raise ValueError(f"{np.isnan(record.answered).sum()} operations were not answered")
    return float(np.percentile(record.answered - record.intended, 99)) / 1e6


def true_p99_ms(record: Record, begin_ns: int, end_ns: int) -> float:
    """The 99th percentile that a venue gives that answers at once, save for one stall in which it answers nothing.

    What was intended in the stall is answered at its end. The record is only asked what was intended when.
    """
    stalled = (record.intended >= begin_ns) & (record.intended < end_ns)
    return float(np.percentile(np.where(stalled, end_ns - record.intended, 0.0), 99)) / 1e6


def drift(record: Record) -> float:
    """By how much the last send is off the schedule, as a share of the schedule's length."""
    return float((record.sent[-1] - record.intended[-1]) / (record.intended[-1] - record.intended[0]))
