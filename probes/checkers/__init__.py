"""Checkers: pure functions from witness and audit to counts, one file each; importing this package registers them."""

from probes.checkers import (
    duplicated,
    executed_reject,
    lost,
    phantom,
    reordered,
    single_writer,
    unresolved,
    zombie,
)
from probes.checkers.base import CHECKERS, Case, run, run_all

__all__ = [
    "CHECKERS", "Case", "duplicated", "executed_reject", "lost", "phantom", "reordered", "run", "run_all",
    "single_writer", "unresolved", "zombie",
]  # fmt: skip
