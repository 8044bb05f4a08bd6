"""The load's live counts: cumulative per flow, one line each 100 ms; windows over them.

They pace a run (is it steady, is service back); the verdict is counted later from the witness.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from probes.tail import Tail

NS = 1_000_000_000

KEEP_S = 75.0
"""How much history a view holds: more than the longest sustain window."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Operations of one flow since the start of the load."""

    scheduled: int = 0
    sent: int = 0
    ok: int = 0
    reject: int = 0
    unknown: int = 0
    good: int = 0

    @property
    def decided(self) -> int:
        """Those whose outcome is known to be ok, reject or unknown."""
        return self.ok + self.reject + self.unknown


@dataclass(frozen=True, slots=True)
class Line:
    """One line of live.ndjson; latencies in milliseconds, None where there was nothing to measure."""

    t_ns: int
    state: str = "running"
    flows: Mapping[str, Counts] = field(default_factory=dict)
    p50_ms: float | None = None
    p99_ms: float | None = None
    lag_p99_ms: float | None = None
    run_lag_p99_ms: float | None = None
    reason: str | None = None

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Line:
        """From one line's JSON. Raises KeyError, TypeError or ValueError where it is not one."""
        names = Counts.__dataclass_fields__
        flows = {
            flow: Counts(**{name: int(counts.get(name, 0)) for name in names}) for flow, counts in raw["flows"].items()
        }
        return cls(
            t_ns=int(raw["t_ns"]),
            state=str(raw["state"]),
            flows=flows,
            p50_ms=raw.get("p50_ms"),
            p99_ms=raw.get("p99_ms"),
            lag_p99_ms=raw.get("lag_p99_ms"),
            run_lag_p99_ms=raw.get("run_lag_p99_ms"),
            reason=raw.get("reason"),
        )


@dataclass(frozen=True, slots=True)
class Window:
    """One flow between two instants: shares are None where nothing was decided or scheduled."""

    seconds: float
    scheduled: int
    sent: int
    decided: int
    good: int
    late: int

    @property
    def share(self) -> float | None:
        """Good operations among those decided, or undecided beyond their limit."""
        whole = self.decided + self.late
        return self.good / whole if whole else None

    @property
    def offered(self) -> float | None:
        """Sent among scheduled."""
        return self.sent / self.scheduled if self.scheduled else None


class LiveView:
    """The last seconds of a load, with the limit of each flow in milliseconds."""

    def __init__(self, limits_ms: Mapping[str, int], keep_s: float = KEEP_S) -> None:
        self._limits_ms = dict(limits_ms)
        self._keep_ns = int(keep_s * NS)
        self.lines: deque[Line] = deque()

    @property
    def last(self) -> Line | None:
        """The newest line."""
        return self.lines[-1] if self.lines else None

    def add(self, raw: Iterable[Mapping[str, Any]]) -> None:
        """Take in new lines; one that is not in shape is left out (the next is 100 ms away)."""
        for one in raw:
            try:
                self.lines.append(Line.parse(one))
            except (KeyError, TypeError, ValueError, AttributeError):
                continue
        while self.lines and self.lines[-1].t_ns - self.lines[0].t_ns > self._keep_ns:
            self.lines.popleft()

    def at(self, t_ns: int) -> Line | None:
        """The newest line not after `t_ns`; None before the first."""
        return next((line for line in reversed(self.lines) if line.t_ns <= t_ns), None)

    def since(self, t_ns: int) -> Sequence[Line]:
        """The lines after `t_ns`."""
        return [line for line in self.lines if line.t_ns > t_ns]

    def flows(self) -> tuple[str, ...]:
        """The flows that the load has scheduled anything of."""
        return tuple(flow for flow, counts in (self.last.flows.items() if self.last else ()) if counts.scheduled)

    def window(self, flow: str, start_ns: int) -> Window | None:
        """One flow from `start_ns` to the newest line; None where the lines do not reach back so far."""
        first, last = self.at(start_ns), self.last
        if first is None or last is None or last.t_ns <= first.t_ns:
            return None
        a, b = first.flows.get(flow, Counts()), last.flows.get(flow, Counts())
        return Window(
            seconds=(last.t_ns - first.t_ns) / NS,
            scheduled=b.scheduled - a.scheduled,
            sent=b.sent - a.sent,
            decided=b.decided - a.decided,
            good=b.good - a.good,
            late=self._late(flow, last),
        )

    def _late(self, flow: str, line: Line) -> int:
        # scheduled longer ago than the limit and not decided: bad already, whatever the answer will be
        before = self.at(line.t_ns - self._limits_ms.get(flow, 500) * 1_000_000)
        due = before.flows.get(flow, Counts()).scheduled if before else 0
        return max(0, due - line.flows.get(flow, Counts()).decided)

    def good(self, flows: Iterable[str], start_ns: int, theta: float, offered: float = 0.95) -> bool:
        """Whether each flow stayed at `theta` or over since `start_ns`, with `offered` of its schedule sent."""
        for flow in flows:
            window = self.window(flow, start_ns)
            if window is None or window.share is None or window.share < theta:
                return False
            if window.offered is not None and window.offered < offered:
                return False
        return True

    def rate(self, start_ns: int) -> tuple[float, float] | None:
        """(decided, scheduled) operations a second of all flows since `start_ns`."""
        windows = [w for flow in self.flows() if (w := self.window(flow, start_ns)) is not None]
        if not windows:
            return None
        seconds = windows[0].seconds
        return sum(w.decided for w in windows) / seconds, sum(w.scheduled for w in windows) / seconds

    def share(self, start_ns: int) -> float | None:
        """Good operations of all flows since `start_ns`."""
        windows = [w for flow in self.flows() if (w := self.window(flow, start_ns)) is not None]
        whole = sum(w.decided + w.late for w in windows)
        return sum(w.good for w in windows) / whole if whole else None

    def typical(self, name: str, start_ns: int) -> float | None:
        """Median over the lines since `start_ns` of `p50_ms`, `p99_ms` or `lag_p99_ms`."""
        values = [value for line in self.since(start_ns) if (value := getattr(line, name)) is not None]
        return float(median(values)) if values else None


class LiveTail(LiveView):
    """A view that follows the file itself."""

    def __init__(self, path: Path, limits_ms: Mapping[str, int], keep_s: float = KEEP_S) -> None:
        super().__init__(limits_ms, keep_s)
        self._tail = Tail(path)

    def refresh(self) -> Line | None:
        """Take in what was appended; return the newest line."""
        self.add(self._tail.read())
        return self.last

    def close(self) -> None:
        """Close the file."""
        self._tail.close()
