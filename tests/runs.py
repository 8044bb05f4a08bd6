"""Complete run directories made from a few figures: what the judge, the report and their tests read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from drills.clock import FakeClock
from drills.events import EventLog, Kind
from drills.evidence import COMMANDS, FILLS, SAMPLES, WITNESS, RunDir
from drills.plan import Plan

RUN_ID = "20261121T081502Z-7k2m"
START_NS = 1_000_000_000_000
MS = 1_000_000
NS = 1_000_000_000

OBJECTIVES: tuple[dict[str, Any], ...] = (
    {"id": "rto-place", "rto": "10s", "flow": "place"},
    {"id": "rto-cancel", "rto": "5s", "flow": "cancel"},
    {"id": "no-loss", "rpo": {"lost": 0, "duplicated": 0, "window": "10ms"}},
    {"id": "one-writer", "invariant": "single-writer"},
)


@dataclass
class Spec:
    """One made-up run: rates per second, times in seconds from the start of the load."""

    rate: float = 600.0
    baseline_s: float = 11.0
    outage_s: float = 2.0
    after_s: float = 13.0
    latency_ms: float = 4.0
    lag_ms: float = 0.3
    effect_ms: float = 3.0
    mix: dict[str, float] = field(default_factory=lambda: {"place": 0.6, "cancel": 0.35, "amend": 0.05})
    lost: int = 0  # acknowledged just before the fault, absent from the audit
    zombie: int = 0  # acknowledged by the old primary after the new lease
    duplicated: int = 0
    phantom: int = 0
    executed_reject: int = 0
    unresolved: int = 0
    foreign: int = 0
    reject_share: float = 0.01
    rejects_after_s: float = 0.0  # for how long after the return a tenth of the cancels finds no order
    unsteady: bool = False
    slow_generator: bool = False
    unsent_share: float = 0.0
    never_back: bool = False
    witnessed: bool = True
    injected: bool = True
    aborted: str | None = None
    clean: bool = True
    orphaned: bool = False
    redundancy: bool = True
    failback: str | None = None  # how a failback phase ended: ok, or failed
    detect: bool = True
    probes: bool = True
    audit: str = "complete"  # complete | incomplete | missing
    objectives: Sequence[dict[str, Any]] = OBJECTIVES
    fault: str = "process.kill"
    amplify: int = 1
    sustain_s: float = 10.0
    seed: int = 7
    run_id: str = RUN_ID
    name: str = "engine-primary-kill"

    @property
    def t0_low(self) -> int:
        return START_NS + round(self.baseline_s * NS)

    @property
    def t0_high(self) -> int:
        return self.t0_low + round(self.effect_ms * MS)

    @property
    def back(self) -> int:
        """The instant at which the standby answers again."""
        return self.t0_low + round(self.outage_s * NS)

    @property
    def end(self) -> int:
        return START_NS + round((self.baseline_s + self.outage_s + self.after_s) * NS)


def build(root: Path, spec: Spec | None = None) -> Path:
    """Write the whole run below `root` as `<root>/<name>/<run id>` and return its folder."""
    spec = spec or Spec()
    run = RunDir(root / spec.name / spec.run_id)
    for folder in (run.load, run.commands.parent, run.logs):
        folder.mkdir(parents=True, exist_ok=True)
    rows = _operations(spec)
    write_witness(run, rows)
    if spec.audit != "missing":
        write_audit(run, spec, rows)
    if spec.probes:
        pq.write_table(pa.Table.from_pylist(_samples(spec), SAMPLES), run.samples)
    run.plan.write_text(make_plan(spec).model_dump_json(indent=1))
    run.live.write_bytes(orjson.dumps({"t_ns": spec.end, "state": "done", "lag_p99_ms": _lag(spec)}) + b"\n")
    _events(run, spec, len(rows))
    return run.path


def write_witness(run: RunDir, rows: list[dict[str, Any]]) -> None:
    """Write witness.parquet."""
    columns = {name: [row.get(name) for row in rows] for name in WITNESS.names}
    pq.write_table(pa.table(columns, schema=WITNESS), run.witness, compression="zstd")


def make_plan(spec: Spec) -> Plan:
    """A plan like that of `muster plan`."""
    phases: list[dict[str, Any]] = [
        {"baseline": {"for": f"{spec.baseline_s:g}s"}},
        {"inject": {"fault": "engine-dies"}},
        {"detect": {"probe": "engine-leader", "within": "10s"}},
        {"recover": {"until": "sustained", "within": "60s"}},
        {"verify": {"for": "5s"}},
        {"restore": {"until": "redundancy"}},
    ]
    phases += [{"failback": {"sop": "region-failback"}}] if spec.failback else []
    target = {"kind": "instance", "name": "engine-0", "service": "matching-engine", "role": "primary", "zone": "tyo-a"}
    return Plan.model_validate(
        {
            "run_id": spec.run_id,
            "name": spec.name,
            "kind": "drill",
            "title": "The primary matching engine dies while the market trades",
            "hypothesis": "The hot standby takes over within 10 s.",
            "owner": "trading-core",
            "definition": {"drill": spec.name},
            "definition_path": f"drills/catalog/{spec.name}.yaml",
            "environment": {"name": "sandbox", "kind": "embedded"},
            "services": ["matching-engine"],
            "load": {"trace": "linear-perp-1m", "amplify": spec.amplify},
            "objectives": list(spec.objectives),
            "guards": [{"longest": "5m"}],
            "faults": [
                {
                    "id": "engine-dies",
                    "fault": spec.fault,
                    "params": {"service": "matching-engine", "role": "primary"},
                    "targets": [target],
                    "describe": "SIGKILL engine-0",
                    "undo_text": "start engine-0",
                }
            ],
            "phases": phases,
            "sustain_s": spec.sustain_s,
            "trace": {
                "name": "linear-perp-1m",
                "path": "linear-perp-1m.parquet",
                "sha256": "ab" * 32,
                "rows": 60_000,
                "seconds": 60.0,
                "rate": spec.rate,
            },
        }
    )


def _operations(spec: Spec) -> list[dict[str, Any]]:
    rng = np.random.default_rng(spec.seed)
    count = int((spec.end - START_NS) / NS * spec.rate)
    tau = START_NS + np.sort(rng.integers(0, spec.end - START_NS, count))
    kinds = rng.choice(list(spec.mix), count, p=list(spec.mix.values()))
    chance = rng.random((count, 3))
    delay = rng.exponential(size=(count, 2)) * (spec.lag_ms * (40 if spec.slow_generator else 1), spec.latency_ms / 2)
    worth = rng.integers(10_000, 9_000_000, count)
    columns = zip(tau.tolist(), kinds.tolist(), chance.tolist(), delay.tolist(), worth.tolist(), strict=True)
    rows = [_operation(spec, n, *column) for n, column in enumerate(columns)]
    _sequence(spec, rows)
    _plant_unknown(spec, rows)
    return rows


def _operation(
    spec: Spec, n: int, tau: int, kind: str, chance: list[float], delay: list[float], worth: int
) -> dict[str, Any]:
    latency = spec.latency_ms / 2 + delay[1]
    if spec.unsteady and tau < spec.t0_low and chance[0] < 0.05:
        latency += 800
    sent = tau + round(delay[0] * MS)
    notional = Decimal(worth) / 100 if kind == "place" else None
    row: dict[str, Any] = {
        "op_id": f"{spec.run_id}-{n}", "kind": kind, "session": f"acct-{n % 8}", "key": "BTCUSDT", "notional": notional,
        "intended_ns": tau, "sent_ns": sent, "answered_ns": sent + round(latency * MS), "outcome": "ok",
        "server_seq": None, "epoch": 1, "attempts": 1, "error": None,
    }  # fmt: skip
    if chance[1] < spec.unsent_share:
        row |= {
            "sent_ns": None,
            "answered_ns": None,
            "outcome": "unknown",
            "attempts": 0,
            "error": "unsent",
            "epoch": None,
        }
    elif spec.injected and row["answered_ns"] >= spec.t0_low and (spec.never_back or tau < spec.back):
        _during_outage(spec, row, latency)
    elif kind == "cancel" and chance[2] < _reject_share(spec, tau):
        row |= {"outcome": "reject", "error": "110001"}
    if row["outcome"] != "unknown" and row["answered_ns"] and row["answered_ns"] > spec.t0_low and spec.injected:
        row["epoch"] = 2
    return row


def _reject_share(spec: Spec, tau: int) -> float:
    after = spec.injected and spec.back <= tau < spec.back + spec.rejects_after_s * NS
    return 0.1 if after else spec.reject_share


def _during_outage(spec: Spec, row: dict[str, Any], latency_ms: float) -> None:
    """A client waits for 2 s: what it sent in the last two seconds before the return is answered then."""
    if not spec.never_back and spec.back - row["sent_ns"] < 1900 * MS:
        row |= {"answered_ns": max(spec.back, row["sent_ns"]) + round(latency_ms * MS), "attempts": 2}
    else:
        row |= {"answered_ns": None, "outcome": "unknown", "attempts": 2, "error": "timeout", "epoch": None}


def _sequence(spec: Spec, rows: list[dict[str, Any]]) -> None:
    # the venue decides half a latency before the answer arrives; retried operations in the order they were sent
    decided = [row for row in rows if row["answered_ns"] is not None]
    decided.sort(
        key=lambda row: (max(row["sent_ns"], row["sent_ns"] if row["epoch"] == 1 else spec.back), row["sent_ns"])
    )
    later = 0
    for seq, row in enumerate(decided, 1):
        if row["epoch"] == 2 and not later:
            later = spec.duplicated  # executed by the old primary without an answer: their numbers lie before
        row["server_seq"] = seq + later


def _plant_unknown(spec: Spec, rows: list[dict[str, Any]]) -> None:
    waiting = [row for row in rows if row["outcome"] == "unknown" and row["error"] == "timeout"]
    for row in waiting[: spec.unresolved]:
        row["error"] = "unresolved"
    if not spec.zombie:
        return
    # the old primary wakes up 1 s after the return and acknowledges what the log will not hold
    woken = [row for row in rows if row["outcome"] == "ok" and row["intended_ns"] > spec.back + NS]
    for row in woken[: spec.zombie]:
        row["epoch"] = 1


def write_audit(run: RunDir, spec: Spec, rows: list[dict[str, Any]]) -> None:
    """Write commands, fills and meta, with the planted differences."""
    done = [row for row in rows if row["outcome"] == "ok"]
    before = sorted((r for r in done if r["answered_ns"] < spec.t0_low), key=lambda r: -r["answered_ns"])
    gone = {row["op_id"] for row in before[: spec.lost]}
    gone |= {row["op_id"] for row in done if spec.zombie and row["epoch"] == 1 and row["answered_ns"] > spec.back}
    commands = [command_row(row, row["server_seq"], row["epoch"]) for row in done if row["op_id"] not in gone]
    last = max((c["seq"] for c in commands), default=0)
    extra = [row for row in done if row["attempts"] == 2][: spec.duplicated]
    first = max((c["seq"] for c in commands if c["epoch"] == 1), default=0) + spec.lost
    commands += [command_row(row, first + n, 1) for n, row in enumerate(extra, 1)]
    made_up = [{"op_id": f"{spec.run_id}-{len(rows) + n}"} for n in range(spec.phantom)]
    made_up += [{"op_id": f"canary-{n}"} for n in range(spec.foreign)]
    template = {"kind": "place", "key": "BTCUSDT", "notional": Decimal(1)}
    commands += [command_row(template | row, last + n, 2) for n, row in enumerate(made_up, 1)]
    rejected = [row for row in rows if row["outcome"] == "reject"][: spec.executed_reject]
    commands += [command_row(row, row["server_seq"], row["epoch"]) for row in rejected]
    commands.sort(key=lambda command: command["seq"])
    pq.write_table(pa.Table.from_pylist(commands, COMMANDS), run.commands, compression="zstd")
    pq.write_table(FILLS.empty_table(), run.fills)
    whole = spec.audit == "complete"
    meta: dict[str, Any] = {
        "complete": whole, "reason": None if whole else "the second client stopped at 1,000 of 30,000 commands",
        "clients": ["http://127.0.0.1:1", "http://127.0.0.1:2"], "from_seq": 1, "to_seq": last, "rows": len(commands),
        "foreign": spec.foreign, "diverged_at": None, "hashes": {},
    }  # fmt: skip
    run.audit_meta.write_bytes(orjson.dumps(meta))


def command_row(row: dict[str, Any], seq: int, epoch: int) -> dict[str, Any]:
    return {
        "seq": seq, "epoch": epoch, "op_id": row["op_id"], "kind": row["kind"], "key": row["key"],
        "notional": row["notional"], "outcome": "New",
    }  # fmt: skip


def _samples(spec: Spec) -> list[dict[str, Any]]:
    out = []
    for t in range(START_NS, spec.end, 100 * MS):
        down = spec.injected and t >= spec.t0_low and (spec.never_back or t < spec.back)
        epoch = 1 if t < spec.t0_low or not spec.injected else 2
        out.append(
            {"t_ns": t, "probe": "engine-leader", "target": "matching-engine", "value": None if down else float(epoch),
             "unit": "epoch", "text": None if down else f"engine-{epoch - 1}", "error": "no leader" if down else None}
        )  # fmt: skip
        half = spec.injected and t >= spec.t0_high and (not spec.redundancy or t < spec.end - 2 * NS)
        out.append(
            {"t_ns": t, "probe": "engine-redundancy", "target": "matching-engine", "value": 1.0 if half else 2.0,
             "unit": "engines", "text": None, "error": None}
        )  # fmt: skip
    return out


def _lag(spec: Spec) -> float:
    return 1.1 if not spec.slow_generator else 55.0


class _Writer:
    """Emits events at given instants."""

    def __init__(self, run: RunDir) -> None:
        self._clock = FakeClock()
        run.events.unlink(missing_ok=True)
        self._log = EventLog(run.events, self._clock)

    def at(self, when_ns: int, kind: Kind, /, **data: object) -> None:
        self._clock.advance(max(0, when_ns - self._clock.monotonic_ns()) / NS)
        self._log.emit(kind, **data)

    def close(self) -> None:
        self._log.close()


def _events(run: RunDir, spec: Spec, count: int) -> None:
    log = _Writer(run)
    begin = START_NS - 3 * NS
    log.at(begin, Kind.RUN_STARTED, run_id=spec.run_id, drill=spec.name, title="t", plan_hash="", environment="sandbox")
    log.at(begin, Kind.SANDBOX, text="11 instances ready", instances=11, seconds=3.4,
           versions={"nats": "2.15.1", "toxiproxy": "2.5.0"})  # fmt: skip
    log.at(START_NS, Kind.LOAD_STARTED, start_ns=START_NS, rate=spec.rate, trace="linear-perp-1m")
    log.at(START_NS, Kind.LEADER, instance="engine-0", epoch=1, t_ns=START_NS)
    log.at(START_NS, Kind.PHASE_STARTED, phase="baseline", index=0)
    reason = "good ratio 95.1 %" if spec.unsteady else None
    log.at(
        spec.t0_low - 5 * MS,
        Kind.BASELINE,
        steady=not spec.unsteady,
        rate=spec.rate,
        good=1.0,
        p99_ms=9.0,
        reason=reason,
    )
    log.at(spec.t0_low - 4 * MS, Kind.PHASE_ENDED, phase="baseline", index=0, result="ok", text="")
    if spec.injected:
        _fault_events(log, spec)
    if spec.aborted:
        log.at(spec.back + NS, Kind.ABORT, by=spec.aborted, reason="asked to stop")
    _closing_events(log, spec, count)
    log.close()


def _fault_events(log: _Writer, spec: Spec) -> None:
    log.at(spec.t0_low - 3 * MS, Kind.PHASE_STARTED, phase="inject", index=1)
    log.at(
        spec.t0_low - MS,
        Kind.FAULT_INTENT,
        fault_id="engine-dies",
        fault=spec.fault,
        targets=["engine-0"],
        undo="start",
    )
    log.at(spec.t0_low, Kind.FAULT_APPLIED, fault_id="engine-dies", issued_ns=spec.t0_low)
    if spec.witnessed:
        log.at(spec.t0_high, Kind.FAULT_IN_EFFECT, fault_id="engine-dies", issued_ns=spec.t0_low,
               effect_ns=spec.t0_high, witnesses=["process gone", "connection refused"])  # fmt: skip
    else:
        log.at(spec.t0_high, Kind.FAULT_NOT_WITNESSED, fault_id="engine-dies", reason="engine-0 still answers")
    log.at(spec.t0_high, Kind.PHASE_ENDED, phase="inject", index=1, result="ok", text="")
    if spec.never_back or not spec.detect:
        return
    log.at(spec.back - 20 * MS, Kind.LEADER, instance="engine-1", epoch=2, t_ns=spec.back - 20 * MS)
    log.at(spec.back - 20 * MS, Kind.DETECTED, phase="detect", probe="engine-leader", target="matching-engine",
           t_ns=spec.back - 900 * MS, text="engine-0 no longer leads")  # fmt: skip


def _closing_events(log: _Writer, spec: Spec, count: int) -> None:
    undone = spec.end - 2 * NS
    if spec.injected:
        log.at(undone, Kind.FAULT_UNDOING, fault_id="engine-dies", by="phase restore")
        if spec.orphaned:
            log.at(undone + MS, Kind.FAULT_ORPHANED, fault_id="engine-dies", by_hand=["muster undo --all"])
        else:
            log.at(undone + MS, Kind.FAULT_VERIFIED, fault_id="engine-dies", by="phase restore", undone_ns=undone + MS)
    if spec.failback:
        text = "" if spec.failback == "ok" else "no sustained within 60 s"
        log.at(undone + 2 * MS, Kind.PHASE_STARTED, phase="failback", index=6)
        log.at(spec.end - NS, Kind.PHASE_ENDED, phase="failback", index=6, result=spec.failback, text=text)
    lag = _lag(spec)
    log.at(spec.end, Kind.LOAD_ENDED, offered=count, answered=count, lag_p99_ms=lag, valid=not spec.slow_generator,
           reason=None)  # fmt: skip
    if spec.audit != "missing":
        whole = spec.audit == "complete"
        log.at(spec.end + NS, Kind.AUDIT, operations=count, commands=count, clients=2,
               complete=whole, reason=None if whole else "cut short", text="")  # fmt: skip
    left = [] if spec.clean else ["toxic slow on engine-0>nats-0"]
    log.at(spec.end + 2 * NS, Kind.CLEANUP, clean=spec.clean, left=left, intended=["engine-1 leads"])
