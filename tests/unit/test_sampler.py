"""The sampler: readings are written, silence is written too, and a late answer is dropped."""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from drills.clock import FakeClock
from probes.base import Reading
from probes.sampler import Sampler, Worker


class FakeProbe:
    name, unit, tick_s, timeout_s = "fake", "ones", 0.1, 0.5

    def __init__(self, clock: FakeClock, takes_s: float = 0.0, error: Exception | None = None) -> None:
        self._clock, self._takes_s, self._error = clock, takes_s, error

    def read(self) -> Reading:
        self._clock.sleep(self._takes_s)
        if self._error:
            raise self._error
        return Reading(self._clock.monotonic_ns(), self.name, self.unit, 1.0)

    def close(self) -> None: ...


def test_reading_is_written() -> None:
    clock, seen = FakeClock(5), list[Reading]()
    Worker(FakeProbe(clock), clock).once(seen.append)
    assert [(r.value, r.error) for r in seen] == [(1.0, None)]


def test_a_probe_that_raises_is_no_data() -> None:
    clock, seen = FakeClock(), list[Reading]()
    Worker(FakeProbe(clock, error=RuntimeError("boom")), clock).once(seen.append)
    assert [(r.value, r.error) for r in seen] == [(None, "RuntimeError: boom")]


def test_silence_is_written_once_a_timeout_and_the_late_answer_is_dropped() -> None:
    clock, seen = FakeClock(), list[Reading]()
    worker = Worker(FakeProbe(clock), clock)

    class Hung(FakeProbe):
        def read(self) -> Reading:
            for _ in range(12):  # 1.2 s, watched each 100 ms, with a timeout of 0.5 s
                clock.sleep(0.1)
                worker.overdue(seen.append)
            return super().read()

    worker.probe = Hung(clock)
    worker.once(seen.append)
    assert [r.error for r in seen] == ["no answer within 0.5 s"] * 2
    assert all(r.value is None for r in seen)


def test_nothing_is_overdue_between_reads() -> None:
    clock, seen = FakeClock(), list[Reading]()
    worker = Worker(FakeProbe(clock), clock)
    worker.once(seen.append)
    clock.sleep(10)
    worker.overdue(seen.append)
    assert len(seen) == 1


def test_rows_have_the_fields_of_samples(tmp_path: Path) -> None:
    path = tmp_path / "samples.ndjson"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sampler = Sampler([], fd)
    sampler.write(Reading(7, "engine-leader", "epoch", 2.0, target="engine-1"))
    os.close(fd)
    assert orjson.loads(path.read_bytes()) == {
        "t_ns": 7, "probe": "engine-leader", "target": "engine-1", "value": 2.0, "unit": "epoch", "text": None,
        "error": None,
    }  # fmt: skip


def test_a_disk_that_fails_stops_the_sampler() -> None:
    fd = os.open("/dev/full", os.O_WRONLY)
    sampler = Sampler([], fd)
    sampler.write(Reading(7, "p", "u", 1.0))
    os.close(fd)
    assert sampler.stopped.is_set()
    assert sampler.failed is not None
