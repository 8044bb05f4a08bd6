"""What the evidence of one step says: the operations due after its warm-up, and what became of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from drills.errors import ComponentError
from drills.evidence import RunDir
from loadgen import venues, witness
from loadgen.capacity.slo import Slo, quantile
from loadgen.capacity.step import Seen
from loadgen.config import LoadConfig
from loadgen.engine.files import parts
from loadgen.engine.sendable import wire_for
from loadgen.trace import Trace

F64 = npt.NDArray[np.float64]

ALWAYS = ("p50", "p99")
"""Percentiles that every step tells of."""

LATE_SEND_S = 0.1
"""What leaves this long after the end of the step was not sent in it."""

_COLUMNS = ("kind", "intended_ns", "sent_ns", "answered_ns", "outcome", "error")
_LOST = "disconnected"


@dataclass(frozen=True, slots=True)
class Span:
    """The measured part of a step, in ns of CLOCK_MONOTONIC."""

    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end_ns - self.start_ns) / 1e9


def business(trace: Trace, config: LoadConfig) -> frozenset[str]:
    """Codes of rejects that are a correct answer of the venue; raises what its wire raises."""
    venue = venues.get(str(config.venue["type"]))
    _, wire, _ = wire_for(trace, lambda part: venue.wire(part, config.run_id, config.venue, config.seed))
    return wire.business


def span(run: RunDir, warm_up_s: float, seconds: float) -> Span:
    """The measured part of a finished step; raises ComponentError where the load never started."""
    found = parts(run)
    if not found:
        raise ComponentError("load", f"{run.load}: no schedule; the load never started")
    began = min(int(witness.open_schedule(files).schema.metadata[b"start_ns"]) for files in found)
    start = began + round(warm_up_s * 1e9)
    return Span(start, start + round(seconds * 1e9))


def read(run: RunDir, within: Span, slo: Slo, config: LoadConfig, correct: Collection[str]) -> Seen:
    """What was seen of the operations due within the span, from the consolidated witness.

    Good is an answer that is ok, or a reject whose code is `correct`, within the limit of its kind from the intended
    time. Raises OSError where there is no witness.
    """
    paths = [path for path in (run.witness, run.reads) if path.exists() or path == run.witness]
    table = pa.concat_tables([pq.read_table(path, columns=list(_COLUMNS)) for path in paths])
    answered_all = pc.fill_null(table["answered_ns"], -1).to_numpy()
    served = int(((answered_all >= within.start_ns) & (answered_all < within.end_ns)).sum())
    due = pc.and_(pc.greater_equal(table["intended_ns"], within.start_ns), pc.less(table["intended_ns"], within.end_ns))
    rows = table.filter(due)
    if not rows.num_rows:
        raise ComponentError(
            "load", f"nothing of {config.trace} was due in the {within.seconds:g} s that were measured"
        )
    intended = rows["intended_ns"].to_numpy()
    sent, answered = (pc.fill_null(rows[name], -1).to_numpy() for name in ("sent_ns", "answered_ns"))
    went, heard = sent >= 0, answered >= 0
    latency = np.where(heard, (answered - intended) / 1e6, np.inf)
    lag = np.where(went, (sent - intended) / 1e6, np.inf)
    names = dict.fromkeys([*ALWAYS, *(name for name, _ in slo.latency_ms)])
    in_time = went & (sent <= within.end_ns + LATE_SEND_S * 1e9)
    both = went & heard
    return Seen(
        offered=len(intended) / within.seconds,
        answered=served / within.seconds,
        sent=float(in_time.mean()),
        good=float((_correct(rows, correct) & (latency <= _limits(rows, config))).mean()),
        quantiles_ms=quantiles(latency, names),
        service_ms=float((answered - sent)[both].mean() / 1e6) if both.any() else None,
        lag_p99_ms=quantiles(lag, ["p99"])["p99"],
        disconnected=float(pc.fill_null(pc.equal(rows["error"], _LOST), False).to_numpy().mean()),
    )


def quantiles(values: F64, names: Iterable[str]) -> dict[str, float | None]:
    """Nearest-rank percentiles by name; None where that one is infinite: an operation that was never answered."""
    ordered = np.sort(values)
    found: dict[str, float | None] = {}
    for name in names:
        rank = max(0, int(np.ceil(round(quantile(name) * len(ordered), 6))) - 1)
        value = float(ordered[rank])
        found[name] = round(value, 3) if np.isfinite(value) else None
    return found


def _correct(rows: pa.Table, codes: Collection[str]) -> npt.NDArray[np.bool_]:
    ok = pc.equal(rows["outcome"], "ok")
    known = pc.and_(pc.equal(rows["outcome"], "reject"), pc.is_in(rows["error"], pa.array(sorted(codes), pa.string())))
    mask: npt.NDArray[np.bool_] = pc.fill_null(pc.or_(ok, known), False).to_numpy()
    return mask


def _limits(rows: pa.Table, config: LoadConfig) -> F64:
    kinds = rows["kind"].to_numpy()
    limits = np.zeros(len(kinds))
    for kind, limit in config.limits_ms.items():
        limits[kinds == kind] = limit
    return limits
