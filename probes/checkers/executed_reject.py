"""executed_reject = answered with a reject, and executed all the same."""

from __future__ import annotations

from drills.rpo import CheckResult
from probes.checkers.base import Case, checker, marked


@checker
def check(case: Case) -> CheckResult:
    """Count rejected operations that have a row in the audit."""
    hits = case.history.reject & (case.rows() > 0)
    return marked("executed_reject", case, hits, kind="rejected-but-executed")
