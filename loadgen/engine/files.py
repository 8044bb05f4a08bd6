"""Where the parts of a load lie in its run: those of the one process that plays everything, or of a worker."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from drills.evidence import RunDir


@dataclass(frozen=True, slots=True)
class LoadFiles:
    """Files of one load process; `worker` is None where there is only one."""

    run: RunDir
    worker: int | None = None

    @property
    def _mark(self) -> str:
        return "" if self.worker is None else f"-{self.worker:02d}"

    @property
    def schedule(self) -> Path:
        """What is to be sent when, written before the first send."""
        return self.run.load / f"schedule{self._mark}.arrow"

    @property
    def cursor(self) -> Path:
        """How many rows of it were begun."""
        return self.run.load / f"cursor{self._mark}.bin"

    @property
    def live(self) -> Path:
        """Counts, one line each 100 ms."""
        return self.run.load / f"live{self._mark}.ndjson"

    @property
    def histograms(self) -> Path:
        """Latencies and lags of the whole run."""
        return self.run.load / f"histograms{self._mark}.json"

    def chunk(self, number: int) -> Path:
        """One file of decided operations."""
        return self.run.witness_chunks / f"chunk{self._mark}-{number:05d}.arrow"

    def chunks(self) -> list[Path]:
        """All complete files of decided operations, in order."""
        pattern = re.compile(rf"chunk{self._mark}-\d{{5,}}\.arrow")
        return sorted(path for path in self.run.witness_chunks.glob("chunk*.arrow") if pattern.fullmatch(path.name))


def parts(run: RunDir) -> list[LoadFiles]:
    """The load processes of a run that got as far as writing their schedule."""
    found = [LoadFiles(run)] if LoadFiles(run).schedule.exists() else []
    for path in sorted(run.load.glob("schedule-*.arrow")):
        mark = re.fullmatch(r"schedule-(\d\d)\.arrow", path.name)
        if mark:
            found.append(LoadFiles(run, int(mark[1])))
    return found
