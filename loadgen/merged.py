"""The live counts of several load processes as those of one: flows added up, percentiles of the slowest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from drills.errors import ComponentError
from loadgen.engine.files import LoadFiles
from loadgen.witness import open_schedule

Line = dict[str, Any]
_WORST = ("p50_ms", "p99_ms", "lag_p99_ms")
_ORDER = ("starting", "running", "draining", "done")


class Share:
    """What one load process has said last; of one that was lost, what it should have sent since."""

    def __init__(self) -> None:
        self.last: Line | None = None
        self._news: list[Line] = []
        self._due: dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]] | None = None

    def add(self, lines: list[Line]) -> None:
        """Take in new lines, the newest last."""
        self._news += lines
        if lines:
            self.last = lines[-1]

    def lose(self, files: LoadFiles) -> None:
        """Its process is gone: from now on its flows only fall due, as its schedule says."""
        try:
            schedule = open_schedule(files)
        except ComponentError:
            return  # it never wrote one
        kinds = _texts(schedule["kind"])
        times = schedule["intended_ns"].to_numpy()
        self._due = {kind: times[kinds == kind] for kind in np.unique(kinds).tolist()}

    def flows(self, t_ns: int) -> Mapping[str, Mapping[str, int]]:
        """Its counts, by kind."""
        said: dict[str, dict[str, int]] = {k: dict(v) for k, v in (self.last or {}).get("flows", {}).items()}
        for kind, times in (self._due or {}).items():
            flow = said.setdefault(kind, {})
            flow["scheduled"] = max(flow.get("scheduled", 0), int(np.searchsorted(times, t_ns, side="right")))
        return said

    def worst(self, name: str) -> float | None:
        """The largest value of the lines that came since the last `heard`."""
        lines = self._news or ([self.last] if self.last and self._due is None else [])
        return max((line[name] for line in lines if line.get(name) is not None), default=None)

    def heard(self) -> None:
        """Everything that was added is told."""
        self._news = []


def _texts(column: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.asarray(column.cast(pa.string()).to_numpy())


class Merged:
    """Writes the live counts of all shares to one file."""

    def __init__(self, path: Path, shares: Mapping[int, Share]) -> None:
        self._shares = shares
        self._path = path

    def write(self, t_ns: int, *, state: str | None = None, lost: Mapping[int, str], reason: str | None = None) -> Line:
        """Append one line. Its state is that of the share that is least far, unless it is given.

        `lost` says of each process that is gone what became of it. An OSError (disk full) goes to the caller.
        """
        flows: dict[str, Counter[str]] = {}
        for share in self._shares.values():
            for kind, counts in share.flows(t_ns).items():
                flows.setdefault(kind, Counter()).update(counts)
        line: Line = {"t_ns": t_ns, "state": state or self._state(lost), "flows": flows}
        for name in _WORST:
            line[name] = _largest(share.worst(name) for share in self._shares.values())
        line["run_lag_p99_ms"] = _largest((share.last or {}).get("run_lag_p99_ms") for share in self._shares.values())
        if lost:
            line["lost_workers"] = sorted(lost)
        if reason:
            line["reason"] = reason
        for share in self._shares.values():
            share.heard()
        with self._path.open("ab", buffering=0) as file:
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        return line

    def _state(self, lost: Mapping[int, str]) -> str:
        said = [(share.last or {}).get("state", "starting") for k, share in self._shares.items() if k not in lost]
        known = [state for state in said if state in _ORDER]
        return min(known, key=_ORDER.index, default="done")


def _largest(values: Any) -> float | None:  # noqa: ANN401 - an iterable of numbers and Nones
    return max((value for value in values if value is not None), default=None)
