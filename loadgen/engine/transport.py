"""What the engine needs of its connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from loadgen.engine.signals import Event, Heard
from loadgen.engine.watch import Sender


class Transport(Sender, Protocol):
    """Connections by session."""

    def poll(self, now_ns: int) -> tuple[Heard, Sequence[Event]]:
        """What was heard, and what became of connections, since the last call."""

    def write(self, session: int, data: memoryview) -> None:
        """Write bytes as they go out, on a ready session."""
