"""executed_reject = answered with a reject, and executed all the same."""

from __future__ import annotations

import numpy as np

from drills.history import NONE
from drills.rpo import CheckResult
from probes.checkers.base import Case, checker, marked


@checker
def check(case: Case) -> CheckResult:
    """Count rejected operations that have a row in the audit.

    Where an earlier epoch executed it and a later one rejected it, the later one no longer knew its id: the failover,
    not the reject, is what went wrong.
    """
    history, journal = case.history, case.journal
    hits = history.reject & (case.rows() > 0)
    if not hits.any():
        return marked("executed_reject", case, hits)
    first = np.full(len(history), np.iinfo(np.int64).max)
    mine = journal.op >= 0
    np.minimum.at(first, journal.op[mine], journal.epoch[mine])
    forgotten = hits & (history.epoch != NONE) & (first < history.epoch)
    if not forgotten.any():
        return marked("executed_reject", case, hits, kind="rejected-but-executed")
    note = f"{int(forgotten.sum())} of them were executed by an earlier epoch and rejected by a later one"
    whole = bool(forgotten.sum() == hits.sum())
    kind = "dedupe-not-kept-across-failover" if whole else "rejected-but-executed"
    return marked("executed_reject", case, hits, kind=kind, notes=(note,))
