"""What `muster replay` prints: a line a second while it goes on, then its figures and whether they count."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from drills.clock import NS
from loadgen.outcome import KindOutcome, Latency, Outcome
from probes.live import LiveView

EVERY_S = 1.0


class Progress:
    """One line a second on stderr; on a terminal the same line again."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._in_place = out, out.isatty()
        self._next = 0.0
        self._began_ns: int | None = None
        self._open = False

    def say(self, text: str) -> None:
        """One line of talk."""
        self.close()
        self._out.write(f"{text}\n")
        self._out.flush()

    def tick(self, live: LiveView) -> None:
        """Show the newest counts, where a second has gone by."""
        now = time.monotonic()
        text = None if now < self._next else self._line(live)
        if text is None:
            return
        self._next = now + EVERY_S
        self._out.write(f"\r\x1b[K{text}" if self._in_place else f"{text}\n")
        self._out.flush()
        self._open = self._in_place

    def close(self) -> None:
        """Leave the terminal at the beginning of a line."""
        if self._open:
            self._out.write("\n")
            self._out.flush()
        self._open = False

    def _line(self, live: LiveView) -> str | None:
        last = live.last
        if last is None or last.state not in ("running", "draining"):
            return None
        if self._began_ns is None:
            self._began_ns = last.t_ns
        at = next((line for line in reversed(live.lines) if line.t_ns <= last.t_ns - NS), live.lines[0])
        before, now = at.flows.values(), last.flows.values()
        seconds = max((last.t_ns - at.t_ns) / NS, 0.1)
        recent = live.since(at.t_ns)
        rate = (sum(one.sent for one in now) - sum(one.sent for one in before)) / seconds
        heard = (sum(one.ok + one.reject for one in now) - sum(one.ok + one.reject for one in before)) / seconds
        p99 = max((line.p99_ms for line in recent if line.p99_ms is not None), default=None)
        lag = max((line.lag_p99_ms for line in recent if line.lag_p99_ms is not None), default=None)
        unknown = sum(one.unknown for one in now)
        clock = (last.t_ns - self._began_ns) // NS
        parts = [f"{clock // 60:02d}:{clock % 60:02d}  {rate:,.0f} op/s sent", f"{heard:,.0f} answered"]
        parts += [f"p99 {ms(p99)}", f"lag p99 {ms(lag)}"] + ([f"{unknown:,} unknown"] if unknown else [])
        return ", ".join(parts) + (f" ({last.reason})" if last.reason else "")


def ms(value: float | None) -> str:
    """A duration in ms, or a dash."""
    return "–" if value is None else f"{value:,.1f} ms" if value >= 10 else f"{value:.2f} ms"


def summary(found: Outcome, environment: str, folder: Path) -> Iterator[str]:
    """The lines of a finished replay."""
    about = [f"{found.seconds:.1f} s", f"{found.sessions:,} sessions"]
    if found.connections:
        about.append(f"{found.connections:,} connections opened")
    if found.workers > 1:
        about.append(f"{found.workers} workers")
    yield f"{found.trace} on {environment}: {', '.join(about)}"
    yield ""
    yield from _table(found.kinds)
    yield ""
    drift = "" if found.drift_ms is None else f", {found.drift_ms:+.2f} ms from the first tenth to the last"
    yield f"send lag  p99 {ms(found.lag_p99_ms)}{drift}"
    if found.clock_error_ms:
        yield f"clocks    of the workers known to ±{found.clock_error_ms:.2f} ms"
    if found.held or found.skipped or found.sent_anyway:
        counts = {"held": found.held, "skipped": found.skipped, "sent anyway": found.sent_anyway}
        said = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
        yield f"orders    {said}: the order that they name had no id of the venue yet"
    if found.left_out:
        said = ", ".join(f"{count:,} {kind}" for kind, count in found.left_out.items())
        yield f"left out  {said}: this venue cannot be sent them"
    for note in found.notes:
        yield f"note      {note}"
    for number, reason in enumerate(found.reasons):
        yield f"{'' if number else 'NOT VALID':<10}{reason}"
    if found.valid:
        yield "valid     the figures are the venue's, not the generator's"
    yield f"evidence  {folder}"


_HEAD = ("", "offered", "sent", "answered", "ok", "reject", "unknown", "p50", "p99", "p99.9", "p50", "p99", "p99.9")


def _table(kinds: dict[str, KindOutcome]) -> Iterator[str]:
    cells = [list(_HEAD)]
    for kind, one in kinds.items():
        counts = (one.offered, one.sent, one.answered, one.ok, one.reject, one.unknown)
        cells.append([kind, *(f"{n:,}" for n in counts), *_latency(one.from_schedule), *_latency(one.from_send)])
    widths = [max(len(row[n]) for row in cells) for n in range(len(_HEAD))]
    lines = ["  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
             for row in cells]  # fmt: skip
    before, first = sum(widths[:7]) + 14, sum(widths[7:10]) + 4
    yield f"{'':{before}}{'ms from the schedule':<{first}}  ms from the send"
    yield from lines


def _latency(found: Latency) -> list[str]:
    return ["–" if value is None else f"{value:,.1f}" if value >= 10 else f"{value:.2f}" for value in found.values()]
