"""A recording imported for a test, and recordings that exist only as lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from loadgen import importers, trace

DATA = Path(__file__).parent.parent / "data"


@dataclass(frozen=True, slots=True)
class Imported:
    """A trace read back, and what became of the recording."""

    trace: trace.Trace
    result: importers.Imported

    @property
    def report(self) -> importers.Report:
        """What was read and left out."""
        return self.result.report

    def rows(self, *names: str) -> list[tuple[object, ...]]:
        """The columns of the trace with these names, row by row; `price` and `qty` as decimal text."""
        return [tuple(self._value(row, name) for name in names) for row in self.trace.table.to_pylist()]

    def _value(self, row: dict[str, object], name: str) -> object:
        if name not in ("price", "qty"):
            return row[name]
        grid = self.trace.grid[str(row["symbol"])]
        count, step = (row["price_ticks"], grid.tick) if name == "price" else (row["qty_lots"], grid.lot)
        return None if count is None else f"{int(str(count)) * step:f}"


def import_(format_: str | None, path: Path, folder: Path, options: importers.Options | None = None) -> Imported:
    """Import a recording into a folder and read the trace back."""
    out = folder / "made.parquet"
    result = importers.import_file(format_, path, out, options)
    return Imported(trace.read(out), result)


def skipped(report: importers.Report) -> dict[str, list[int]]:
    """Reason to the numbers of the records; a corrupt one's reason starts with `corrupt: `."""
    return {("corrupt: " if entry.corrupt else "") + why: entry.lines for why, entry in report.skipped.items()}


def fix(*fields: str, at: str = "20260105-09:00:00.000", sep: str = "\x01") -> str:
    """A FIX 4.4 message: `35=…` first, then any fields; 52 unless `at` is "", body length and checksum are added."""
    stamped = [fields[0], *([f"52={at}"] if at else []), *fields[1:]]
    body = "".join(f"{text}\x01" for text in stamped)
    text = f"8=FIX.4.4\x019={len(body.encode())}\x01{body}"
    return f"{text}10={sum(text.encode()) % 256:03d}\x01".replace("\x01", sep)


@dataclass(frozen=True, slots=True)
class Lines(importers.Source):
    """A recording that is made line by line while it is read."""

    make: Callable[[], Iterator[bytes]] = lambda: iter(())

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The lines with their numbers."""
        for number, line in enumerate(self.make(), 1):
            self.report.lines = number
            yield number, line
