"""One file a format: the bytes of a recording to rows of the trace schema.

An importer is a module with `rows(source, report, options) -> Iterator[Row]`: a generator that holds no more than a
bounded part of the recording. It yields nothing for what it cannot use, and says in the report which records it skipped
and why. `import_file` does the rest: rows, sanitiser, trace.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from drills.errors import DefinitionError, UsageError
from loadgen.builder import Row
from loadgen.collector import Collected, Collector
from loadgen.importers.guess import guess
from loadgen.importers.report import Report, Skipped
from loadgen.importers.source import Source
from loadgen.sanitise.sealing import seal_file

__all__ = ["FORMATS", "Imported", "Options", "Report", "Sanitiser", "Skipped", "Source", "guess", "import_file"]

FORMATS = {
    "bybit-ws": "loadgen.importers.bybit_ws",
    "fix": "loadgen.importers.fix",
    "lobster": "loadgen.importers.lobster",
    "sandbox-journal": "loadgen.importers.sandbox_journal",
    "gor": "loadgen.importers.gor",
    "har": "loadgen.importers.har",
    "access-log": "loadgen.importers.access_log",
    "csv": "loadgen.importers.tabular",
    "jsonl": "loadgen.importers.tabular",
}
"""Format to module."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a recording may not say itself."""

    sessions: int = 16  # pseudo-sessions, where the recording knows none
    mapping: Path | None = None  # csv, jsonl: which column is what
    date: str | None = None  # YYYY-MM-DD, for times of day without a date
    symbol: str | None = None  # for recordings of one symbol that do not name it
    format: str = ""  # as import_file found it, for modules that read several


class Sanitiser(Protocol):
    """What takes secrets out of rows on their way to the trace."""

    def row(self, row: Row) -> Row | None:
        """The row as it may be kept; None: it is dropped, and counted."""

    def finish(self) -> dict[str, Any]:
        """The manifest: what was done to the rows."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A trace as it was written, and what became of the recording."""

    report: Report
    collected: Collected
    manifest: Mapping[str, Any] = field(default_factory=dict)


RowsOf = Callable[[Source, Report, Options], Iterator[Row]]


def import_file(
    format_: str | None, path: Path, out: Path, options: Options | None = None, sanitiser: Sanitiser | None = None
) -> Imported:
    """Read a recording (of a format that is guessed for None) and write what it holds as a trace to `out`.

    Raises UsageError for a format that is unknown or cannot be guessed, or a date that is none; DefinitionError for a
    recording that is missing, a folder, not readable, empty, or holds nothing usable (with the reasons and the first
    record of each).
    """
    if options and options.date and not _is_date(options.date):
        raise UsageError(f"date {options.date}: write it as YYYY-MM-DD")
    report = Report()
    source = Source(path, report)
    format_ = _known(format_, source)
    options = replace(options or Options(), format=format_)
    rows_of: RowsOf = importlib.import_module(FORMATS[format_]).rows
    with Collector(out, _stem(path)) as collector:
        for row in rows_of(source, report, options):
            report.kinds[row.op] += 1
            kept = sanitiser.row(row) if sanitiser else row
            if kept is not None:
                collector.add(kept)
        provenance: dict[str, Any] = {"from": format_, report.unit + "s": report.lines, "sessions": options.sessions}
        provenance |= (
            {"sanitised": sanitiser.finish()} if sanitiser else {"file": path.name}
        )  # its name may tell whose it is
        collected = collector.finish(provenance)
    if not collected.rows:
        raise _nothing(path, format_, report, collected)
    return Imported(report, collected, seal_file(out) if sanitiser else {})


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == len("YYYY-MM-DD")


def _stem(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).stem or path.name


def _known(format_: str | None, source: Source) -> str:
    found = format_ or guess(source)
    if found is None:
        raise UsageError(f"{source.path}: cannot tell its format; name it with --from: {', '.join(FORMATS)}")
    if found not in FORMATS:
        raise UsageError(f'no importer "{found}"; known: {", ".join(FORMATS)}')
    return found


def _nothing(path: Path, format_: str, report: Report, collected: Collected) -> DefinitionError:
    reasons = [report.why()] if report.skipped else []
    reasons += [f"{count:,} × {why}" for why, count in collected.left_out.items()]
    dropped = report.kinds.total() - collected.left_out.total()
    reasons += [f"{dropped:,} × dropped by the sanitiser"] if dropped else []
    why = "; ".join(reasons) or ("none of them is an operation" if report.lines else "it is empty")
    return DefinitionError(
        str(path), f"nothing usable in {report.lines:,} {report.unit}s: {why}", hint=f"is it a {format_} recording?"
    )
