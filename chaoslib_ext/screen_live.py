"""The live board on a terminal: the phases with what happened in them, and the load's figures in one line."""

from __future__ import annotations

import time
from collections import deque

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from chaoslib_ext.screen import clock, stamped
from chaoslib_ext.screen_text import header
from drills.clock import NS
from drills.events import Event, Kind
from probes.live import LiveView

REFRESH_NS = 400_000_000
"""Drawing costs CPU that belongs to the exchange under test."""

BARS = " ▁▂▃▄▅▆▇█"
BAR_S = 40

COLOURS = {
    Kind.FAULT_IN_EFFECT: "bold red",
    Kind.FAULT_NOT_WITNESSED: "yellow",
    Kind.FAULT_ORPHANED: "bold white on red",
    Kind.FAULT_VERIFIED: "green",
    Kind.GUARD_TRIPPED: "bold yellow",
    Kind.ABORT: "bold yellow",
}


class LiveScreen:
    """Event lines scroll above; below them stay the phase and the load of the last 40 seconds."""

    def __init__(self, began_ns: int) -> None:
        self._began_ns = began_ns
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._phase = ""
        self._drawn_ns = 0
        self._shares: deque[tuple[int, float | None]] = deque(maxlen=BAR_S)
        self._open = False

    def handle(self, event: Event) -> None:
        """Print the event's line above the board and follow the phase."""
        if event.kind is Kind.PHASE_STARTED:
            self._phase = str(event.data["phase"])
        self._began_ns = event.data.get("began_ns", self._began_ns)
        first, line = header(event), stamped(event, self._began_ns)
        if first:
            self._console.print(Text(first, style="bold"))
        elif line:
            self._console.print(Text(line, style=COLOURS.get(event.kind, "")), soft_wrap=True)
        if event.kind in (Kind.VERDICT, Kind.RUN_ENDED):
            self.close()

    def say(self, text: str) -> None:
        """Print one line of talk."""
        self._console.print(Text(text, style="dim"), soft_wrap=True)

    def tick(self, live: LiveView) -> None:
        """Draw the board again, a few times a second at most."""
        now = time.monotonic_ns()
        if now - self._drawn_ns < REFRESH_NS:
            return
        self._drawn_ns = now
        if not self._open:
            self._live.start()
            self._open = True
        self._live.update(self._board(live, now), refresh=True)

    def close(self) -> None:
        """Take the board away; the lines stay."""
        if self._open:
            self._live.stop()
            self._open = False

    def _board(self, live: LiveView, now: int) -> RenderableType:
        line = live.last
        head = Text(f"{clock(now - self._began_ns)}  {self._phase:<10} ", style="bold")
        if line is None:
            return head + Text("no load yet", style="dim")
        start = line.t_ns - NS
        rates, share = live.rate(start), live.share(start)
        second = line.t_ns // NS
        if not self._shares or self._shares[-1][0] != second:
            self._shares.append((second, share))
        p99 = live.typical("p99_ms", start)
        figures = f"{rates[0] if rates else 0:,.0f} op/s"
        figures += f" · {share:.1%} good" if share is not None else " · no data"
        figures += f" · p99 {p99:.1f} ms" if p99 is not None else " · no answer"
        bars = Text(" " * 20)
        for _, value in self._shares:
            bars.append(_bar(value), style="dim" if value is None else "red" if value < 0.95 else "green")
        return Group(head + Text(figures), bars)


def _bar(share: float | None) -> str:
    return "·" if share is None else BARS[max(1, round(share * (len(BARS) - 1)))]
