"""What an import read, made and left out; every importer writes into one of these."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from loadgen.importers.values import stamp_ns

_SHOWN = 5
_REASONS = 100
"""A recording chooses part of the words of some reasons, so their number has an end."""


@dataclass(slots=True)
class Skipped:
    """Records of one reason: how many, and the numbers (1-based) of the first few."""

    count: int = 0
    lines: list[int] = field(default_factory=list)
    corrupt: bool = False  # the record should have been usable
    last: int = 0

    def see(self, number: int) -> None:
        """Count one record, once however often it is named in a row."""
        if number == self.last:
            return  # a line may hold several trades
        self.last = number
        self.count += 1
        if len(self.lines) < _SHOWN:
            self.lines.append(number)


@dataclass(slots=True)
class Report:
    """`skipped`: records left out, by reason; `notes`: records used all the same, with something odd about them.

    `first_ns` and `last_ns` span the times that `at` and `stamp` saw (wall clock, ns since 1970).
    """

    lines: int = 0  # records read
    unit: str = "line"  # what a record is called: line, record, entry
    kinds: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, Skipped] = field(default_factory=dict)
    notes: dict[str, Skipped] = field(default_factory=dict)
    first_ns: int | None = None
    last_ns: int | None = None
    _before_ns: int = 0
    _stamp_unit: str = ""

    def skip(self, number: int, reason: str, *, corrupt: bool = False) -> None:
        """Count one record (1-based) left out for a reason (of which there may be a hundred)."""
        _entry(self.skipped, reason, corrupt).see(number)

    def note(self, number: int, what: str) -> None:
        """Count one record that was used, and what is odd about it."""
        _entry(self.notes, what, False).see(number)

    def at(self, number: int, t_ns: int) -> int:
        """Take the time of a record into the span, and note one that goes back; returns `t_ns`."""
        if t_ns < self._before_ns:
            self.note(number, "time goes back")
        self._before_ns = t_ns
        self.first_ns = t_ns if self.first_ns is None else min(self.first_ns, t_ns)
        self.last_ns = t_ns if self.last_ns is None else max(self.last_ns, t_ns)
        return t_ns

    def stamp(self, number: int, value: object) -> int:
        """`at` the time that a numeric stamp means by its magnitude, in ns; notes a unit that differs from the first.

        Raises ValueError where it is no such number.
        """
        t_ns, unit = stamp_ns(value)
        self._stamp_unit = self._stamp_unit or unit
        if unit != self._stamp_unit:
            self.note(number, f"stamp in {unit}, the first one was in {self._stamp_unit}")
        return self.at(number, t_ns)

    def why(self) -> str:
        """The reasons for what was left out, on one line; "" where nothing was."""
        return "; ".join(
            f"{entry.count:,} × {why} ({self.unit} {entry.lines[0]})" for why, entry in self.skipped.items()
        )


def _entry(entries: dict[str, Skipped], reason: str, corrupt: bool) -> Skipped:
    if reason not in entries:
        reason = "".join(c if c.isprintable() else "?" for c in reason[:120])
        reason = reason if len(entries) < _REASONS else "for other reasons"
    return entries.setdefault(reason, Skipped(corrupt=corrupt))
