"""reordered = b, if an a was answered before b was sent and yet lies behind b in the sequence.

Algorithm (WEAKNESSES, check 2): sort the answered operations by r, take the running maximum of their sequence
numbers, and look up for each b the maximum of all a with r(a) < i(b): O(n log n). An operation without an answer can
only be a b.
"""

from __future__ import annotations

import numpy as np

from drills.history import NEVER, NONE
from drills.rpo import CheckResult
from probes.checkers.base import Case, checker, marked


@checker
def check(case: Case) -> CheckResult:
    """Count operations that overtook one already answered; only what is in the audit has a place in the order."""
    history = case.history
    seq = np.full(len(history), np.iinfo(np.int64).max)
    mine = case.journal.op >= 0
    np.minimum.at(seq, case.journal.op[mine], case.journal.seq[mine])
    present = seq != np.iinfo(np.int64).max
    first = present & (history.answered != NEVER) & (history.ok | history.reject)
    order = np.argsort(history.answered[first], kind="stable")
    answered = history.answered[first][order]
    highest = np.concatenate([[NONE], np.maximum.accumulate(seq[first][order])]) if first.any() else np.array([NONE])
    earlier = np.searchsorted(answered, history.sent, "left")  # how many were answered before i(b)
    hits = present & (history.sent != NEVER) & (highest[earlier] > seq)
    return marked("reordered", case, hits, kind="order-not-kept")
