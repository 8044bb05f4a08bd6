"""What a person sees of a run: one plain line an event, or a small live board on a terminal; both handle events."""

from __future__ import annotations

import sys
from typing import Protocol, TextIO

from chaoslib_ext.screen_text import header, line_of
from drills.clock import NS
from drills.events import Event
from probes.live import LiveView


class Screen(Protocol):
    """A handler of the event stream with a few liberties."""

    def handle(self, event: Event) -> None:
        """Show one event."""

    def tick(self, live: LiveView) -> None:
        """The load's newest counts, on every beat."""

    def say(self, text: str) -> None:
        """A word that is not part of the evidence."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class PlainScreen:
    """One line an event on stderr: mm:ss.t since the start, the kind in a column, the words."""

    def __init__(self, began_ns: int, out: TextIO | None = None) -> None:
        self._began_ns = began_ns
        self._out = out or sys.stderr

    def handle(self, event: Event) -> None:
        """Print the event's line, where it has one."""
        self._began_ns = event.data.get("began_ns", self._began_ns)  # each repeat counts from its own start
        text = header(event) or stamped(event, self._began_ns)
        if text:
            self._write(text)

    def tick(self, live: LiveView) -> None:
        """Plain lines show no running figures."""

    def say(self, text: str) -> None:
        """Print one line of talk."""
        self._write(text)

    def close(self) -> None:
        """Nothing to leave."""

    def _write(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


def stamped(event: Event, began_ns: int) -> str | None:
    """The event's line with its time; None for one that is not shown."""
    shown = line_of(event)
    return f"{clock(event.t_ns - began_ns)}  {shown[0]:<10} {shown[1]}" if shown else None


def clock(ns: int) -> str:
    """mm:ss.t of a duration in nanoseconds."""
    tenths = max(0, ns) * 10 // NS
    return f"{tenths // 600:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


class QuietScreen(PlainScreen):
    """Nothing but talk: for `-o json` in scripts that also read stderr."""

    def handle(self, event: Event) -> None:
        """Show nothing."""


def open_screen(began_ns: int, *, plain: bool = False) -> Screen:
    """A live board where stderr is a terminal that can show one, else plain lines."""
    if plain or not sys.stderr.isatty():
        return PlainScreen(began_ns)
    from chaoslib_ext.screen_live import LiveScreen

    return LiveScreen(began_ns)
