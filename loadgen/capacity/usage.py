"""CPU and memory of a venue's components, of the load, and of the whole machine, over a stretch of time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import psutil

BEAT_S = 0.25
FAMILY_BEATS = 4
"""Workers are looked for on every such beat: it means a look at every process of the machine."""

SAME_START_S = 1.5
"""Start times are derived from the boot time, which each process reads for itself."""

Identity = tuple[int, float | None]
"""Pid and start time of a process."""


@dataclass(frozen=True, slots=True)
class Part:
    """One component over a stretch: cores that it used, of them those of its busiest thread, and its largest memory."""

    cores: float
    busiest_thread: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Usage:
    """A stretch of time: the components that could be measured, and cores used by the load, by all, and there are."""

    parts: Mapping[str, Part] = field(default_factory=dict)
    load: float | None = None
    machine: float | None = None
    cores: int = 0

    @property
    def others(self) -> float | None:
        """Cores that neither the load nor a component used; None where that is not known."""
        if self.machine is None or self.load is None or not self.parts:
            return None
        return max(0.0, self.machine - self.load - sum(part.cores for part in self.parts.values()))

    def data(self) -> dict[str, Any]:
        """As JSON has it."""
        parts = {name: asdict(part) for name, part in self.parts.items()}
        return {"components": parts, "load_cores": self.load, "machine_cores": self.machine, "cores": self.cores}


@dataclass(slots=True)
class _Reading:
    """Totals at one instant: CPU seconds and bytes of each process, CPU seconds of the busiest threads."""

    t_ns: int
    cpu: dict[str, float]
    memory: dict[str, float]
    threads: dict[str, dict[int, float]]
    load: float
    machine: float


class Sampler:
    """Reads the totals on a thread, four times a second, from `start` to `stop`; one that is gone is not measured."""

    def __init__(self, components: Mapping[str, Identity]) -> None:
        self._processes = {name: process for name, one in components.items() if (process := _process(*one))}
        self._load: psutil.Process | None = None
        self._family: list[psutil.Process] = []  # the load and its workers
        self._load_cpu: dict[int, float] = {}
        self._readings: list[_Reading] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def start(self, load: int) -> None:
        """Begin; `load` is the pid of the load process, whose workers are counted with it."""
        self._load = _process(load, None)
        self._thread.start()

    def stop(self) -> None:
        """End; returns when the thread has."""
        self._stop.set()
        self._thread.join()

    def over(self, start_ns: int, end_ns: int) -> Usage:
        """Between two instants of CLOCK_MONOTONIC; totals in between two readings are interpolated."""
        inside = self._readings
        seconds = (end_ns - start_ns) / 1e9
        if len(inside) < 2 or seconds <= 0:
            return Usage(cores=cores())
        times = np.array([one.t_ns for one in inside], np.float64)

        def used(totals: list[float]) -> float:
            first, last = np.interp([start_ns, end_ns], times, totals)
            return float(last - first) / seconds

        parts = {}
        for name in self._processes:
            if not all(name in one.cpu for one in inside):
                continue  # it ended meanwhile
            numbers = set(inside[0].threads[name]) | set(inside[-1].threads[name])
            busiest = max(used([one.threads[name].get(number, 0.0) for one in inside]) for number in numbers)
            memory = max(one.memory[name] for one in inside) / 1e6
            parts[name] = Part(used([one.cpu[name] for one in inside]), busiest, memory)
        load, machine = used([one.load for one in inside]), used([one.machine for one in inside])
        return Usage(parts, load, machine, cores())

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_S):
            self._readings.append(self._read())

    def _read(self) -> _Reading:
        reading = _Reading(0, {}, {}, {}, self._load_total(), machine_busy())
        for name, process in self._processes.items():
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    reading.memory[name] = float(process.memory_info().rss)
                reading.threads[name] = {one.id: one.user_time + one.system_time for one in process.threads()}
                reading.cpu[name] = times.user + times.system
            except psutil.Error:
                continue
        reading.t_ns = time.monotonic_ns()
        return reading

    def _load_total(self) -> float:
        """CPU of the load and its workers; one that ended keeps what it had used."""
        if self._load is not None:
            try:
                if len(self._readings) % FAMILY_BEATS == 0:
                    self._family = [self._load, *self._load.children(recursive=True)]
                for one in self._family:
                    times = one.cpu_times()
                    self._load_cpu[one.pid] = times.user + times.system
            except psutil.Error:
                pass
        return sum(self._load_cpu.values())


def cores() -> int:
    """Cores that this machine lets us use."""
    return len(os.sched_getaffinity(0))


def machine_busy() -> float:
    """CPU seconds that all cores were busy since the start of the machine."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def _process(pid: int, start_time: float | None) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        if start_time is not None and abs(process.create_time() - start_time) > SAME_START_S:
            return None
    except psutil.Error:
        return None
    return process
