"""What became of a finished replay, read from its run folder: figures by kind, and whether they may be believed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from drills.evidence import RunDir
from drills.facts import LAG_SHARE
from drills.rto import OFFERED
from loadgen import config
from loadgen.config import LoadConfig
from loadgen.engine.files import LoadFiles, parts
from loadgen.engine.ops import KINDS
from loadgen.venues.wire import Ints
from loadgen.witness import open_schedule

CLOCK_SHARE = 0.02
"""The clocks of workers on several hosts must be known to this share of the tightest limit: 5 ms of 250 ms."""

Latency = dict[str, float | None]
_PERCENTILES = {"p50_ms": 50.0, "p99_ms": 99.0, "p999_ms": 99.9}


@dataclass(frozen=True)
class KindOutcome:
    """Operations of one kind; latencies of those answered, from the intended time and from the first send."""

    offered: int
    sent: int
    answered: int
    ok: int
    reject: int
    unknown: int
    from_schedule: Latency
    from_send: Latency


@dataclass(frozen=True)
class Outcome:
    """One replay. `reasons` say why its figures do not count; `notes` what else is worth knowing.

    `lag_p99_ms` is the send lag of the worst worker; `drift_ms` how much later than intended the last tenth was sent
    than the first, by the medians; `clock_error_ms` the largest error of a worker's clock against that of the master.
    """

    run_id: str
    trace: str
    seconds: float
    kinds: dict[str, KindOutcome]
    sessions: int
    connections: int
    workers: int
    lag_p99_ms: float | None
    lag_gate_ms: float
    drift_ms: float | None
    clock_error_ms: float
    held: int
    skipped: int
    sent_anyway: int
    left_out: dict[str, int]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """Whether the figures count."""
        return not self.reasons

    def to_dict(self) -> dict[str, Any]:
        """As JSON shows it."""
        return {"schema_version": 1, "valid": self.valid, **asdict(self)}


def read(run_dir: Path) -> Outcome:
    """The outcome of a replay whose evidence is consolidated. Raises OSError where there is no witness."""
    run = RunDir(run_dir)
    load = config.load(run.load / "config.json")
    rows = _rows(run)
    found = parts(run)
    histograms = [_json(files.histograms) for files in found]
    orders = [one["without_order_id"] for one in histograms if one]
    clocks = _json(run.load / "clocks.json") or {}
    gate = LAG_SHARE * min(load.limits_ms.values())
    lags = [_lag(files, said) for files, said in zip(found, histograms, strict=True)]
    lag = max((value for value in lags if value is not None), default=None)
    clock_error = clocks.get("error_ns", 0) / 1e6
    kinds = {kind: _kind(rows[kind]) for kind in KINDS if kind in rows}
    lost, notes = _lost(run, load)
    planned, played = sum(len(open_schedule(files)) for files in found), sum(one.offered for one in kinds.values())
    if played < planned:
        notes.append(f"stopped early: {played:,} of {planned:,} operations were due")
    reasons = [*lost, *_late(lag, gate), *_short(kinds), *_clocks(clock_error, load)]
    times = np.concatenate([columns.intended for columns in rows.values()]) if rows else np.zeros(0, np.int64)
    return Outcome(
        run_id=load.run_id,
        trace=Path(load.trace).stem,
        seconds=float(times.max() - times.min()) / 1e9 if len(times) else 0.0,
        kinds=kinds,
        sessions=len(set().union(*(columns.sessions for columns in rows.values()))),
        connections=sum(one.get("connections_opened", 0) for one in histograms if one),
        workers=load.workers,
        lag_p99_ms=lag,
        lag_gate_ms=gate,
        drift_ms=_drift(list(rows.values())),
        clock_error_ms=clock_error,
        held=sum(one["held"] for one in orders),
        skipped=sum(one["skipped"] for one in orders),
        sent_anyway=sum(one["sent_anyway"] for one in orders),
        left_out=_json(run.load / "left-out.json") or {},
        reasons=tuple(reasons),
        notes=tuple(notes),
    )


# -- figures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Columns:
    """Witness rows of one kind; -1 stands for null."""

    intended: Ints
    sent: Ints
    answered: Ints
    outcome: dict[str, int]
    sessions: frozenset[str]


def _rows(run: RunDir) -> dict[str, _Columns]:
    names = ["kind", "session", "intended_ns", "sent_ns", "answered_ns", "outcome"]
    tables = [pq.read_table(path, columns=names) for path in (run.witness, run.reads) if path.exists()]
    if not run.witness.exists():
        raise FileNotFoundError(2, "no such file", str(run.witness))
    table = pa.concat_tables(tables)
    made = {}
    for kind in KINDS:
        mine = table.filter(pc.equal(table["kind"], kind))
        if mine.num_rows:
            counts = mine["outcome"].value_counts().to_pylist()
            intended, sent, answered = (mine[name].fill_null(-1).to_numpy() for name in names[2:5])
            outcome = {one["values"]: one["counts"] for one in counts}
            made[kind] = _Columns(intended, sent, answered, outcome, frozenset(mine["session"].unique().to_pylist()))
    return made


def _kind(rows: _Columns) -> KindOutcome:
    has_answer = rows.answered >= 0
    return KindOutcome(
        offered=len(rows.intended),
        sent=int((rows.sent >= 0).sum()),
        answered=int(has_answer.sum()),
        ok=rows.outcome.get("ok", 0),
        reject=rows.outcome.get("reject", 0),
        unknown=rows.outcome.get("unknown", 0),
        from_schedule=_percentiles(rows.answered[has_answer] - rows.intended[has_answer]),
        from_send=_percentiles(rows.answered[has_answer] - rows.sent[has_answer]),
    )


def _percentiles(durations_ns: Ints) -> Latency:
    if not len(durations_ns):
        return dict.fromkeys(_PERCENTILES)
    values = np.percentile(durations_ns, list(_PERCENTILES.values())) / 1e6
    return {name: round(value, 3) for name, value in zip(_PERCENTILES, values.tolist(), strict=True)}


def _drift(rows: list[_Columns]) -> float | None:
    intended, sent = (
        np.concatenate([getattr(columns, name) for columns in rows]) if rows else np.zeros(0, np.int64)
        for name in ("intended", "sent")
    )
    intended, sent = intended[sent >= 0], sent[sent >= 0]
    tenth = len(sent) // 10
    if not tenth:
        return None
    lag = (sent - intended)[np.argsort(intended, kind="stable")]
    return round(float(np.median(lag[-tenth:]) - np.median(lag[:tenth])) / 1e6, 3)


def _lag(files: LoadFiles, histograms: dict[str, Any] | None) -> float | None:
    if histograms:
        lag: float | None = histograms["lag"]["p99_ms"]
        return lag
    last = last_line(files.live)
    return last.get("run_lag_p99_ms") if last else None


# -- validity --------------------------------------------------------------------------------------------------------


def _late(lag: float | None, gate: float) -> Iterator[str]:
    if lag is not None and lag > gate:
        yield f"the generator was late: its own lag p99 was {lag:.1f} ms, at most {gate:g} ms counts"


def _short(kinds: dict[str, KindOutcome]) -> Iterator[str]:
    offered, sent = sum(one.offered for one in kinds.values()), sum(one.sent for one in kinds.values())
    if not offered:
        yield "nothing was due to be sent before it was stopped"
    elif sent / offered < OFFERED:
        yield f"only {sent / offered:.1%} of the schedule was sent, {OFFERED:.0%} is needed"


def _lost(run: RunDir, load: LoadConfig) -> tuple[list[str], list[str]]:
    """Why the load itself says that it failed, and what was lost that does not matter."""
    last = last_line(run.live)
    state = str((last or {}).get("state"))
    if state == "failed":
        return [str((last or {}).get("reason") or "the load failed without a reason")], []
    if state == "done":
        return [], []
    shared = [files for files in parts(run) if files.worker is not None]
    if not shared:
        return ["the load died before its end"], []
    reasons = []
    for k in range(load.workers):
        said = last_line(LoadFiles(run, k).live) or {}
        if said.get("state") != "done":
            reasons.append(f"worker {k} {said.get('reason') or 'died before its end'}")
    note = (
        "the master was lost; its workers played on to their end, so only the page and the summed-up counts are missing"
    )
    return reasons, [note]


def _clocks(error_ms: float, load: LoadConfig) -> Iterator[str]:
    gate = CLOCK_SHARE * min(load.limits_ms.values())
    if error_ms > gate:
        yield f"the clocks of the workers are known to ±{error_ms:.1f} ms only, at most {gate:g} ms counts"


def last_line(path: Path) -> dict[str, Any] | None:
    """The newest whole line of live counts; None where there is none."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 65536))
        for raw in reversed(file.read().splitlines()):
            try:
                line = orjson.loads(raw)
            except orjson.JSONDecodeError:
                continue  # torn
            return line if isinstance(line, dict) else None
    return None


def _json(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    data: dict[str, Any] = orjson.loads(path.read_bytes())
    return data
