"""What the main loop reads on every beat: the sampler's readings and the runner's messages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from chaoslib_ext.supervisor.children import Child
from drills.errors import ComponentError
from probes.tail import Tail


@dataclass(frozen=True, slots=True)
class Leader:
    """Who was seen leading, since `t_ns`."""

    instance: str
    epoch: int
    t_ns: int


class SampleWatch:
    """Follows samples.ndjson: the last reading, each change of leader, and a second writer of one epoch."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self.last_ns: int | None = None
        self.leader: Leader | None = None
        self.leading_ns: int | None = None
        self.writers: str | None = None

    def refresh(self) -> list[Leader]:
        """Take in new readings; return the leaders that were seen to change, in order."""
        changed = []
        for row in self._tail.read():
            self.last_ns = max(self.last_ns or 0, int(row["t_ns"]))
            if row.get("probe") != "engine-leader" or row.get("value") is None:
                continue
            self.leading_ns = int(row["t_ns"])
            if row.get("error"):
                self.writers = str(row["error"])
            seen = Leader(str(row.get("target")), int(row["value"]), int(row["t_ns"]))
            if self.leader is None or (seen.instance, seen.epoch) != (self.leader.instance, self.leader.epoch):
                self.leader = seen
                changed.append(seen)
        return changed


class RunnerLink:
    """The pipes of the runner: its messages, and orders to it."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._rest = b""
        self.fd = child.process.stdout.fileno() if child.process.stdout else -1
        os.set_blocking(self.fd, False)
        self.eof = False

    def messages(self) -> list[Mapping[str, Any]]:
        """Whole messages that have come: {"kind", "data"}. Raises ComponentError for a line that is none."""
        found: list[Mapping[str, Any]] = []
        while not self.eof:
            try:
                data = os.read(self.fd, 65536)
            except BlockingIOError:
                break
            self.eof = not data
            *lines, self._rest = (self._rest + data).split(b"\n")
            found += [_message(line) for line in lines if line]
        return found

    def go(self) -> None:
        """Let it begin its walk."""
        self._order(b"go")

    def abort(self) -> None:
        """Tell it to stop; one that is gone needs no telling."""
        self._order(b"abort")

    def _order(self, order: bytes) -> None:
        pipe = self.child.process.stdin
        if pipe is None:
            return
        try:
            pipe.write(order + b"\n")
            pipe.flush()
        except (OSError, ValueError):
            return


def _message(line: bytes) -> Mapping[str, Any]:
    try:
        message = orjson.loads(line)
        return {"kind": str(message["kind"]), "data": dict(message.get("data") or {})}
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ComponentError("runner", f"sent {line[:80]!r}, which is no message") from error
