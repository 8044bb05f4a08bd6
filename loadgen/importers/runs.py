"""Rows sorted by time outside the memory: for recordings that tell one connection behind the other."""

from __future__ import annotations

import heapq
import pickle
import tempfile
from bisect import bisect_left
from collections.abc import Iterator
from operator import attrgetter
from types import TracebackType

from drills.errors import ComponentError
from loadgen.builder import Row

_RUNS = 256
_BATCH = 128
_IN_MEMORY = 32 * 1024 * 1024


class Runs:
    """Deals rows to runs that never go back in time (patience sorting) and merges these.

    Rows that would need a 257th run stay where they came, and so come out late. Raises ComponentError where the disk
    for temporary files is full.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed by __exit__
        self._last: list[int] = []  # of each run, minus the time of its last row: ascending by the way they are dealt
        self._open: list[list[Row]] = []
        self._batches: list[list[tuple[int, int]]] = []  # of each run, where its batches stand

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def add(self, row: Row) -> None:
        """Add a row to the run whose last row is the latest before it."""
        run = bisect_left(self._last, -row.t_ns)
        if run < len(self._last):
            self._last[run] = -row.t_ns
        elif run < _RUNS:
            self._last.append(-row.t_ns)
            self._open.append([])
            self._batches.append([])
        else:
            run -= 1
        self._open[run].append(row)
        if len(self._open[run]) == _BATCH:
            self._put(run)

    def merged(self) -> Iterator[Row]:
        """All rows, in the order of time."""
        return heapq.merge(*(self._run(run) for run in range(len(self._last))), key=attrgetter("t_ns"))

    def _put(self, run: int) -> None:
        data = pickle.dumps(self._open[run], pickle.HIGHEST_PROTOCOL)
        self._open[run] = []
        try:
            at = self._file.seek(0, 2)
            self._file.write(data)
        except OSError as error:
            raise ComponentError("import", f"{tempfile.gettempdir()}: {error.strerror}; make room there") from error
        self._batches[run].append((at, len(data)))

    def _run(self, run: int) -> Iterator[Row]:
        for at, length in self._batches[run]:
            self._file.seek(at)
            yield from pickle.loads(self._file.read(length))
        yield from self._open[run]
