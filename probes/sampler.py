"""The sampler process: every probe on its beat, one thread each, a hard timeout each; silence is written down too.

Run as `python -m probes.sampler CONFIG`: a JSON file {"out", "live", "instances", "limits_ms", "probes"} (probes: their
names, all when absent). SIGTERM ends it. It ends by itself when the process that started it is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from drills.clock import NS, Clock, SystemClock
from probes import known
from probes.base import Probe, Reading, Scene, factories

WATCH_S = 0.1

PROBES = tuple(factories)
"""Every probe, where the configuration names none."""


class Worker:
    """One probe and the state of its current read; `due` decides, `take` closes a read."""

    def __init__(self, probe: Probe, clock: Clock) -> None:
        self.probe = probe
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_ns: int | None = None
        self._overdue_ns = 0

    def once(self, write: Callable[[Reading], None]) -> None:
        """Read once; a reading that comes after its timeout was already written as no data, and is dropped."""
        with self._lock:
            self._asked_ns, self._overdue_ns = self._clock.monotonic_ns(), 0
        try:
            reading = self.probe.read()
        except Exception as error:  # noqa: BLE001 - a probe read is a border: its failure is data
            reading = self._nothing(f"{type(error).__name__}: {error}")
        with self._lock:
            late = self._overdue_ns > 0
            self._asked_ns = None
        if not late:
            write(reading)

    def overdue(self, write: Callable[[Reading], None]) -> None:
        """Write "no data" when the current read is over its timeout, and again each timeout after it."""
        now = self._clock.monotonic_ns()
        limit = int(self.probe.timeout_s * NS)
        with self._lock:
            since = max(self._asked_ns or 0, self._overdue_ns)
            silent = self._asked_ns is not None and now - since > limit
            if silent:
                self._overdue_ns = now
        if silent:
            write(self._nothing(f"no answer within {self.probe.timeout_s:g} s"))

    def _nothing(self, why: str) -> Reading:
        return Reading(self._clock.monotonic_ns(), self.probe.name, self.probe.unit, None, error=why)


class Sampler:
    """Runs workers until stopped, and appends each reading as one line."""

    def __init__(self, probes: Sequence[Probe], fd: int, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._workers = [Worker(probe, self._clock) for probe in probes]
        self._fd = fd
        self._write_lock = threading.Lock()
        self.stopped = threading.Event()
        self.failed: OSError | None = None

    def write(self, reading: Reading) -> None:
        """Append one line; a disk that does not take it stops the sampler."""
        line = orjson.dumps(reading.row(), option=orjson.OPT_APPEND_NEWLINE)
        try:
            with self._write_lock:
                if os.write(self._fd, line) != len(line):
                    raise OSError("the disk took half a line")
        except OSError as error:
            self.failed = error
            self.stopped.set()

    def beat(self, worker: Worker) -> None:
        """Read on the worker's beat until stopped; a late read skips beats, it never bunches them."""
        tick = int(worker.probe.tick_s * NS)
        due = self._clock.monotonic_ns()
        while not self.stopped.is_set():
            worker.once(self.write)
            now = self._clock.monotonic_ns()
            due = max(due + tick, now - (now - due) % tick)
            self.stopped.wait(max(0, due - now) / NS)

    def run(self, parent: int) -> None:
        """Sample until stopped or until process `parent` is no longer ours."""
        threads = [threading.Thread(target=self.beat, args=(worker,), daemon=True) for worker in self._workers]
        for thread in threads:
            thread.start()
        while not self.stopped.wait(WATCH_S):
            for worker in self._workers:
                worker.overdue(self.write)
            if os.getppid() != parent:
                self.stopped.set()
        for thread in threads:
            thread.join(0.2)
        for worker in self._workers:
            worker.probe.close()


def main(argv: Sequence[str]) -> int:
    """Entry of the process; 0 after SIGTERM, 70 where the disk failed."""
    config = orjson.loads(Path(argv[0]).read_bytes())
    scene = Scene(
        instances=config["instances"],
        live=Path(config["live"]) if config.get("live") else None,
        fields={"limits_ms": config.get("limits_ms")},
    )
    names = config.get("probes") or PROBES
    fd = os.open(config["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    sampler = Sampler([factories[name](scene) for name in names], fd)
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: sampler.stopped.set())
    sampler.run(os.getppid())
    if sampler.failed is not None:
        sys.stderr.write(f"sampler: {config['out']}: {(sampler.failed.strerror or str(sampler.failed)).lower()}\n")
        return 70
    return 0


__all__ = ["PROBES", "Sampler", "Worker", "known", "main"]

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
