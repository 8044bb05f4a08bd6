"""What every checker is: a pure function of a case (witness, audit, instants) to a result.

A checker that throws is not a pass: `run` turns the crash into a result without a count, which makes the verdict
inconclusive, with the error as data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from drills.history import I64, History, Journal, Mask
from drills.mirror import Mirror
from drills.rpo import CheckResult
from drills.timeline import Lead


@dataclass(frozen=True)
class Case:
    """The evidence of one run.

    `fault_window` is (T0-, T0+) in nanoseconds, None where no fault was in effect. `leads` holds each epoch with the
    instant it was first seen. `mirror` says how far another region is behind by design.
    """

    history: History
    journal: Journal
    fault_window: tuple[int, int] | None = None
    leads: Sequence[Lead] = ()
    mirror: Mirror | None = None

    def rows(self) -> I64:
        """m(o): how many accepted commands carry the id of each operation; shape (n,)."""
        mine = self.journal.op[self.journal.op >= 0]
        return np.bincount(mine, minlength=len(self.history)).astype(np.int64)


Checker = Callable[[Case], CheckResult]

CHECKERS: dict[str, Checker] = {}
"""Every checker by name, in the order of the report."""


def checker(function: Checker) -> Checker:
    """Register a checker under the name of its module; a second one of that name is a ValueError."""
    name = function.__module__.rpartition(".")[2]
    if name in CHECKERS:
        raise ValueError(f"checker {name} is registered twice")
    CHECKERS[name] = function
    return function


def marked(name: str, case: Case, hits: Mask, *, kind: str | None = None, notes: tuple[str, ...] = ()) -> CheckResult:
    """A result that counts the marked operations and shows the first ten."""
    count = int(hits.sum())
    return CheckResult(name, count, tuple(case.history.ids(hits)), hits, notes=notes, kind=kind if count else None)


def run(name: str, case: Case) -> CheckResult:
    """Run one checker; a crash is a result without a count."""
    try:
        return CHECKERS[name](case)
    except Exception as error:  # noqa: BLE001 - a checker that throws is "unknown", never "passed"
        return CheckResult(name, None, error=f"the checker crashed: {type(error).__name__}: {error}")


def run_all(case: Case) -> dict[str, CheckResult]:
    """Run every checker; results by name."""
    return {name: run(name, case) for name in CHECKERS}
