"""One file a format: bytes to rows of the trace schema.

An importer is a module with `rows(lines, sessions, report) -> list[Row]`: it yields nothing for what it cannot use, and
notes every line that it skipped, and why, in the report.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from drills.errors import DefinitionError, UsageError
from loadgen.builder import Row, build
from loadgen.trace import Trace

FORMATS = {"bybit-ws": "loadgen.importers.bybit_ws"}
"""Format to module."""

_SHOWN = 5


@dataclass(slots=True)
class Skipped:
    """Lines left out for one reason: how many, and the numbers (1-based) of the first few."""

    count: int = 0
    lines: list[int] = field(default_factory=list)
    corrupt: bool = False  # the line should have been usable
    last: int = 0


@dataclass(slots=True)
class Report:
    """What an import read, made and left out."""

    lines: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, Skipped] = field(default_factory=dict)

    def skip(self, line: int, reason: str, *, corrupt: bool = False) -> None:
        """Count one skipped line (1-based) under its reason."""
        entry = self.skipped.setdefault(reason, Skipped(corrupt=corrupt))
        if line == entry.last:
            return  # a line may hold several trades
        entry.last = line
        entry.count += 1
        if len(entry.lines) < _SHOWN:
            entry.lines.append(line)


RowsOf = Callable[[Iterable[bytes], int, Report], list[Row]]


def import_file(format_: str, path: Path, sessions: int) -> tuple[Trace, Report]:
    """Read a recording of another format, dealt to `sessions` pseudo-sessions.

    Raises UsageError for an unknown format, DefinitionError for a file that is missing or holds nothing usable.
    """
    if format_ not in FORMATS:
        raise UsageError(f'no importer "{format_}"; known: {", ".join(FORMATS)}')
    rows_of: RowsOf = importlib.import_module(FORMATS[format_]).rows
    report = Report()
    try:
        with path.open("rb") as file:
            rows = rows_of(_counted(file, report), sessions, report)
    except FileNotFoundError as error:
        raise DefinitionError(str(path), "no such file", hint="name the recording to import") from error
    except IsADirectoryError as error:
        raise DefinitionError(str(path), "is a folder", hint="name one recording in it") from error
    if not rows:
        reasons = "; ".join(f"{entry.count} × {why} (line {entry.lines[0]})" for why, entry in report.skipped.items())
        raise DefinitionError(
            str(path),
            f"nothing usable in {report.lines} lines: {reasons or 'it is empty'}",
            hint=f"is it a {format_} recording?",
        )
    report.kinds.update(row.op for row in rows)
    provenance = {"from": format_, "file": path.name, "lines": report.lines, "sessions": sessions}
    return build(path.stem, rows, provenance), report


def _counted(lines: Iterable[bytes], report: Report) -> Iterator[bytes]:
    for line in lines:
        report.lines += 1
        yield line
