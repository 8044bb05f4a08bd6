"""single-writer: one writer at a time, seen from outside.

Broken by: two accepted commands with one sequence number; an epoch that falls while the sequence rises; a sequence
number that two answers claim for different operations or with different epochs; an answer whose place in the audit is
another one. Gaps between accepted commands are rejects and deduplicated retries, which take a number too; whether the
whole journal is contiguous is checked by who reads it (audit/meta.json, `complete`).
"""

from __future__ import annotations

import numpy as np

from drills.history import NEVER, History, Mask
from drills.rpo import CheckResult
from probes.checkers.base import Case, checker


@checker
def check(case: Case) -> CheckResult:
    """Count sequence numbers at which more than one writer shows, and the instants at which clients saw it."""
    history, journal = case.history, case.journal
    twice = journal.seq[1:][np.diff(journal.seq) == 0]
    falls = journal.seq[1:][journal.epoch[1:] < np.maximum.accumulate(journal.epoch)[:-1]] if len(journal) else twice
    answered = (history.seq >= 0) & (history.answered != NEVER)
    claimed = _claimed_twice(history, answered)
    notes = []
    if len(twice):
        notes.append(f"{len(np.unique(twice))} sequence numbers have two accepted commands")
    if len(falls):
        notes.append(f"the epoch falls {len(falls)} times while the sequence rises, first at {int(falls[0])}")
    if claimed.any():
        numbers = np.unique(history.seq[claimed])
        notes.append(f"{len(numbers)} sequence numbers were answered for two operations or epochs, from {numbers[0]}")
    misplaced = _misplaced(case)
    if misplaced.any():
        notes.append(f"{int(misplaced.sum())} answers name a place in the log that the audit gives to another command")
    bad = np.unique(np.concatenate([twice, falls, history.seq[claimed | misplaced]]))
    at = tuple(int(t) for t in np.sort(history.answered[claimed & _later(history, claimed)]))
    return CheckResult(
        "single_writer",
        len(bad),
        tuple(history.ids(claimed | misplaced)),
        claimed | misplaced,
        at_ns=at,
        notes=tuple(notes),
        kind=_kind(case, claimed, alone=not len(twice) and not len(falls) and not misplaced.any())
        if len(bad)
        else None,
    )


def _kind(case: Case, claimed: Mask, *, alone: bool) -> str:
    """Numbers that only a loss from before the fault set free to be given again are not the mark of a second writer."""
    if not alone or case.fault_window is None:
        return "two-writers"
    gone = case.history.ok & (case.rows() == 0) & (case.history.answered <= case.fault_window[1])
    explained = np.isin(case.history.seq[claimed], case.history.seq[claimed & gone])
    return "sequence-given-again" if explained.all() else "two-writers"


def _claimed_twice(history: History, answered: Mask) -> Mask:
    """Operations whose answered sequence number another answer claims for another operation, or with another epoch."""
    rows = np.flatnonzero(answered)
    order = rows[np.argsort(history.seq[rows], kind="stable")]
    same = history.seq[order][1:] == history.seq[order][:-1]
    hits = np.zeros(len(history), bool)
    # one row is one operation, so two rows with one number are two operations
    hits[order[1:][same]] = True
    hits[order[:-1][same]] = True
    return hits


def _misplaced(case: Case) -> Mask:
    """Executed operations whose answer names a sequence number or an epoch that no row of theirs has."""
    history, journal = case.history, case.journal
    mine = journal.op >= 0
    op = journal.op[mine]
    same = (history.seq[op] == journal.seq[mine]) & (history.epoch[op] == journal.epoch[mine])
    placed = np.zeros(len(history), bool)
    placed[op[same]] = True
    return history.ok & (history.seq >= 0) & (case.rows() > 0) & ~placed


def _later(history: History, claimed: Mask) -> Mask:
    """Of the operations that share a number, all but the first answered: only then could anybody have seen it."""
    rows = np.flatnonzero(claimed)
    order = rows[np.lexsort((history.answered[rows], history.seq[rows]))]
    later = np.zeros(len(history), bool)
    later[order[1:]] = history.seq[order][1:] == history.seq[order][:-1]
    return later
