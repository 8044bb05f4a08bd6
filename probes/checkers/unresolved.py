"""unresolved = operations without an answer that the venue could not resolve by id."""

from __future__ import annotations

from drills.rpo import CheckResult, unresolved_ops
from probes.checkers.base import Case, checker, marked


@checker
def check(case: Case) -> CheckResult:
    """Count them; unknown and absent is not loss, unknown and present is not a phantom."""
    return marked("unresolved", case, unresolved_ops(case.history), kind=None)
