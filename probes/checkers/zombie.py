"""zombie = lost, and answered with an epoch older than the one in force at r."""

from __future__ import annotations

import numpy as np

from drills.rpo import CheckResult
from probes.checkers.base import Case, checker, marked


@checker
def check(case: Case) -> CheckResult:
    """Count losses that a primary already replaced had acknowledged.

    The epoch in force at an instant is the highest one seen until then: in an answer, by a probe, or in an event.
    """
    history = case.history
    lost = history.ok & (case.rows() == 0) & (history.epoch >= 0)
    leads = sorted(case.leads, key=lambda lead: lead.t_ns)
    if not leads:
        return marked("zombie", case, np.zeros(len(history), bool))
    since = np.array([lead.t_ns for lead in leads], np.int64)
    epochs = np.concatenate([[-1], np.maximum.accumulate(np.array([lead.epoch for lead in leads], np.int64))])
    in_force = epochs[np.searchsorted(since, history.answered, "left")]
    return marked("zombie", case, lost & (history.epoch < in_force), kind="no-fencing")
