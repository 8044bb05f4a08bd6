"""duplicated = Σ max(0, m - 1): effects executed beyond the first, of one operation."""

from __future__ import annotations

import numpy as np

from drills.rpo import CheckResult
from probes.checkers.base import Case, checker


@checker
def check(case: Case) -> CheckResult:
    """Count executions beyond the first; points to the failover when they lie in different epochs."""
    rows = case.rows()
    hits = rows > 1
    count = int((rows[hits] - 1).sum())
    if not count:
        return CheckResult("duplicated", 0, hits=hits)
    mine = case.journal.op >= 0
    op, epoch = case.journal.op[mine], case.journal.epoch[mine]
    low, high = np.full(len(rows), np.iinfo(np.int64).max), np.full(len(rows), -1)
    np.minimum.at(low, op, epoch)
    np.maximum.at(high, op, epoch)
    across = int((hits & (low < high)).sum())
    kind = "dedupe-not-kept-across-failover" if across else "executed-twice"
    note = f"{across} of {int(hits.sum())} operations were executed again by a later epoch"
    return CheckResult("duplicated", count, tuple(case.history.ids(hits)), hits, notes=(note,), kind=kind)
