"""The sandbox's own account of a run: when the primary was killed, which commands are in force, who was answered what.

Everything here comes from <run>/truth, which the agent, the engines and the gateways wrote themselves, and from the
schedule of the load. The witness, the audit and the event log of the run, which are what is being tested, are not read.

Format: one NDJSON file an instance, see sandbox/truth/log.py. Times are CLOCK_MONOTONIC nanoseconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

NOT_DECIDED = (10000, 10016)
"""Answers that decide nothing: outcome unknown, and surely not executed, which the client tries again."""
DUPLICATE = 110072
"""The id was executed before; the answer to a later status question tells how."""


@dataclass(slots=True)
class Told:
    """What the gateways wrote about one operation, instants in ns; `code` is that of the reply that decided it.

    `acknowledged` marks operations to which some reply said 0: executed.
    """

    sent_ns: int | None = None
    decided_ns: int | None = None
    code: int | None = None
    seq: int | None = None
    epoch: int | None = None
    doubled_ns: int | None = None
    acknowledged: bool = False


@dataclass(frozen=True, slots=True)
class Kill:
    """The SIGKILL of an instance: the instant before it was sent, and that at which its process was seen gone."""

    instance: str
    t0_low_ns: int
    t0_high_ns: int


@dataclass(frozen=True, slots=True)
class Truth:
    """One run as the sandbox saw it; `told` is by op_id, `executed` the op_ids of the history that is in force."""

    told: Mapping[str, Told]
    executed: frozenset[str]
    kills: tuple[Kill, ...]
    last_ns: int


def read(folder: Path, run_id: str) -> Truth:
    """The truth about one run out of a folder that may hold those of many. Raises ValueError where it holds nothing."""
    told, first, last = _replies(folder, run_id)
    if not told:
        raise ValueError(f"{folder}: no gateway wrote of run {run_id}")
    kills = tuple(kill for kill in _kills(folder / "agent.ndjson") if first <= kill.t0_low_ns <= last)
    return Truth(told, frozenset(_executed(folder, run_id)), kills, last)


def _records(path: Path, mark: bytes) -> Iterator[dict[str, Any]]:
    """The records whose line holds `mark`: looking for it first makes a log of many runs cheap to read."""
    with path.open("rb") as file:
        for line in file:
            if mark in line:
                yield orjson.loads(line)


def _replies(folder: Path, run_id: str) -> tuple[dict[str, Told], int, int]:
    told: defaultdict[str, Told] = defaultdict(Told)
    rows = sorted(
        (record["t_ns"], row)
        for path in folder.glob("gateway-*.ndjson")
        for record in _records(path, run_id.encode())
        for row in record["r"]
        if row[0].startswith(f"{run_id}-")
    )
    last = 0
    for t_ns, (op_id, kind, code, seq, epoch, recv_ns) in rows:
        one = told[op_id]
        if kind != "status":
            one.sent_ns = recv_ns if one.sent_ns is None else min(one.sent_ns, recv_ns)
            last = max(last, recv_ns)
        elif not seq:
            continue  # the id is not known (yet), or nobody could be asked
        if code == 0:
            one.acknowledged = True
        if code == DUPLICATE:
            one.doubled_ns = one.doubled_ns or t_ns
        elif code not in NOT_DECIDED and one.decided_ns is None:
            one.decided_ns, one.code, one.seq, one.epoch = t_ns, code, seq or None, epoch
    for one in told.values():
        if one.decided_ns is None and one.doubled_ns is not None:
            one.decided_ns, one.code = one.doubled_ns, 0
    return dict(told), (rows[0][0] if rows else 0), last


def _executed(folder: Path, run_id: str) -> Iterator[str]:
    """The op_ids of this run in committed entries.

    A new leader writes the last entry of the one before it again (`inherited`): that one may have died between the
    commit and its own record. A set takes either. `early` records (W01) are answers, not commits.
    """
    for path in folder.glob("engine-*.ndjson"):
        for record in _records(path, run_id.encode()):
            if record["e"] == "batch":
                yield from (op_id for op_id in record["ops"] if op_id.startswith(f"{run_id}-"))


def _kills(path: Path) -> Iterator[Kill]:
    pending: dict[str, int] = {}
    for record in _records(path, b'"instance"'):
        name, event = str(record["instance"]), record["e"]
        if event == "kill":
            pending.setdefault(name, record["t_ns"])
        elif event == "exit" and name in pending:
            yield Kill(name, pending.pop(name), record["t_ns"])
