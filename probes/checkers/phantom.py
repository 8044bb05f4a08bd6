"""phantom = in the audit with an id of this run, and never attempted."""

from __future__ import annotations

import numpy as np

from drills.history import NEVER
from drills.rpo import CheckResult
from probes.checkers.base import Case, checker


@checker
def check(case: Case) -> CheckResult:
    """Count commands of this run that nobody sent; commands of others are foreign, not phantoms."""
    op = case.journal.op
    unsent = np.concatenate([case.history.sent == NEVER, [True]])  # index -1: not in the witness at all
    rows = case.journal.own & unsent[op]
    ids = [str(case.journal.op_id[int(i)]) for i in np.flatnonzero(rows)[:10]]
    count = int(rows.sum())
    return CheckResult("phantom", count, tuple(ids), kind="made-up-execution" if count else None)
