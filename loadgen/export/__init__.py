"""A trace in formats that other tools read: GoReplay, HTTP archives, JSON lines. Importing any of them gives it back.

In .gor and .har an order is a request of Bybit's V5 REST API, and what HTTP cannot say of a row (its session, its
account, what came of it) stands in a header of its own. The times are those of the trace, counted from an epoch.
"""

from __future__ import annotations

import gzip
import importlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from drills.errors import DefinitionError, UsageError
from loadgen.trace import Trace

FORMATS = {
    "gor": "loadgen.export.gor",
    "har": "loadgen.export.har",
    "jsonl": "loadgen.export.jsonl",
}
"""Format to module; a module has `write(trace, file, epoch_ns, left_out)`."""

EPOCH_NS = 1_609_459_200_000_000_000
"""2021-01-01T00:00:00Z: when an exported trace starts, unless another time is given."""

_LATEST_NS = 2**62


@dataclass(slots=True)
class Exported:
    """What an export wrote, and the rows that its format cannot say, by reason."""

    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


Write = Callable[[Trace, IO[bytes], int, Exported], None]


def export_file(trace: Trace, path: Path, format_: str | None = None, *, epoch_ns: int = EPOCH_NS) -> Exported:
    """Write a trace to `path`, packed where its name ends in .gz; the format is told by the name where None.

    A reader sees the whole file or none. Raises UsageError for a format that is unknown or an epoch out of range,
    DefinitionError where the file cannot be written.
    """
    found = format_ or Path(path.name.removesuffix(".gz")).suffix.removeprefix(".")
    if found not in FORMATS:
        known = ", ".join(FORMATS)
        raise UsageError(f'no exporter "{found}"; known: {known}' if format_ else f"{path}: name a format: {known}")
    if not 0 <= epoch_ns < _LATEST_NS - trace.duration_ns:
        raise UsageError(f"epoch {epoch_ns} ns is out of range; it counts from 1970")
    write: Write = importlib.import_module(FORMATS[found]).write
    done = Exported()
    with _whole(path) as file:
        write(trace, file, epoch_ns, done)
    return done


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name when it is complete."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as plain:
            if path.name.endswith(".gz"):
                with gzip.GzipFile("", "wb", 6, plain, mtime=0) as packed:
                    yield cast(IO[bytes], packed)
            else:
                yield plain
        temporary.replace(path)
    except OSError as error:
        raise DefinitionError(str(path), f"cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
