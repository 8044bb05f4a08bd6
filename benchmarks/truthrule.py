"""T4, T5 and the losses of a run by the truth log, beside what the run's verdict says.

The rule is the one of drills.rto, with the figures of the run's plan; only what it is applied to differs: here an
operation is sent when a gateway first received it and answered when a gateway wrote the reply that decided it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from benchmarks.truthlog import Kill, Told, Truth, read
from drills.clock import NS
from drills.evidence import WITNESS, RunDir
from drills.facts import critical_flows
from drills.history import History, history, read_table
from drills.plan import Plan, read_plan
from drills.rto import Recovery, Rules, baseline_rejects, recovery

_NOBODY = Told()


@dataclass(frozen=True, slots=True)
class Compared:
    """One run: the verdict's figures and the truth's, in seconds from each one's own T0, and the losses as sets."""

    run_id: str
    verdict: str
    victim: str
    t0_off_ms: float
    t4_s: tuple[float | None, float | None]
    t5_s: tuple[float | None, float | None]
    stated_error_s: float | None
    lost: int | None
    lost_ids: frozenset[str]
    true_lost_ids: frozenset[str]
    acked: int
    acked_unread: int
    audit_matches: bool

    @property
    def t4_error_ms(self) -> float | None:
        """|measured - truth| of T4; None where either was never reached."""
        return _apart_ms(*self.t4_s)

    @property
    def t5_error_ms(self) -> float | None:
        """|measured - truth| of T5; None where either was never reached."""
        return _apart_ms(*self.t5_s)

    @property
    def covered(self) -> bool:
        """Whether the truth of T5 lies within the error that the verdict itself states."""
        apart = self.t5_error_ms
        return apart is not None and self.stated_error_s is not None and apart <= self.stated_error_s * 1e3

    @property
    def rpo_exact(self) -> bool:
        """Whether the verdict's count is the truth's, and names the same operations."""
        return self.lost == len(self.true_lost_ids) and self.lost_ids == self.true_lost_ids


def _apart_ms(measured: float | None, true: float | None) -> float | None:
    return None if measured is None or true is None else abs(measured - true) * 1e3


def compare(run_dir: Path) -> Compared:
    """Compare a finished run with its truth. Raises ValueError where nobody, or more than one, was killed in it."""
    run = RunDir(run_dir)
    plan = read_plan(run.plan)
    truth = read(run_dir / "truth", run.run_id)
    if len(truth.kills) != 1:
        raise ValueError(f"{run_dir}: {len(truth.kills)} kills in the truth log; one belongs there")
    kill = truth.kills[0]
    verdict: dict[str, Any] = orjson.loads(run.verdict.read_bytes())
    found = true_recovery(plan, history(table_of(run, truth)), kill)
    witness, audited = read_table(run.witness), set(read_table(run.commands)["op_id"].to_pylist())
    outcomes = zip(witness["op_id"].to_pylist(), witness["outcome"].to_pylist(), strict=True)
    read_ok = {op_id for op_id, outcome in outcomes if outcome == "ok"}
    acked = {op_id for op_id, one in truth.told.items() if one.acknowledged}
    return Compared(
        run_id=run.run_id,
        verdict=verdict["verdict"],
        victim=kill.instance,
        t0_off_ms=(verdict["run"]["t0_ns"] - kill.t0_low_ns) / 1e6,
        t4_s=(verdict["rto"]["first_good_s"], _after(found.t4_ns, kill)),
        t5_s=(verdict["rto"]["value_s"], _after(found.t5_ns, kill)),
        stated_error_s=verdict["rto"]["error_s"],
        lost=verdict["rpo"]["lost"],
        lost_ids=frozenset(read_ok - audited),
        true_lost_ids=frozenset((acked & read_ok) - truth.executed),
        acked=len(acked),
        acked_unread=len(acked - read_ok),
        audit_matches={op_id for op_id in audited if op_id.startswith(f"{run.run_id}-")} == truth.executed,
    )


def _after(instant: int | None, kill: Kill) -> float | None:
    return None if instant is None else (instant - kill.t0_low_ns) / NS


def true_recovery(plan: Plan, told: History, kill: Kill) -> Recovery:
    """T4 and T5 of the plan's critical flows by its own rule."""
    rules = Rules(plan.sustain_s, plan.theta, plan.limits_ms, plan.client_timeout_ms)
    shares = baseline_rejects(told, kill.t0_low_ns)
    return recovery(told, critical_flows(plan), (kill.t0_low_ns, kill.t0_high_ns), rules, shares)


def table_of(run: RunDir, truth: Truth) -> pa.Table:
    """What the gateways wrote as a table of schema WITNESS: one row an operation of the schedule.

    The schedule counts up to the last operation that a gateway received.
    """
    schedule = pa.ipc.open_file(pa.memory_map(str(run.load / "schedule.arrow"))).read_all()
    count = int(np.searchsorted(schedule["intended_ns"].to_numpy(), truth.last_ns, side="right"))
    ids = [f"{run.run_id}-{n}" for n in range(count)]
    told = [truth.told.get(op_id, _NOBODY) for op_id in ids]
    columns: dict[str, Any] = {
        name: schedule[name].slice(0, count) for name in ("kind", "session", "key", "notional", "intended_ns")
    }
    columns |= {
        "op_id": ids,
        "sent_ns": pa.array([one.sent_ns for one in told], pa.int64()),
        "answered_ns": pa.array([one.decided_ns for one in told], pa.int64()),
        "outcome": ["unknown" if one.code is None else "reject" if one.code else "ok" for one in told],
        "server_seq": pa.array([one.seq for one in told], pa.int64()),
        "epoch": pa.array([one.epoch for one in told], pa.int64()),
        "attempts": pa.array([1] * count, pa.int32()),
        "error": pa.array([str(one.code) if one.code else None for one in told], pa.string()),
    }
    return pa.table({name: columns[name] for name in WITNESS.names}).cast(WITNESS)
