"""Whatever the bytes of a recording are: a trace that holds, or one line that says why not; no crash and no hang.

Every importer gets 500 damaged recordings, the same every time. `make fuzz` gives each of them 10,000 new ones, as
MUSTER_FUZZ_CASES says.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drills.errors import DefinitionError
from loadgen import export, importers, trace
from loadgen.importers.mapping import load
from tests.contract.imports import DATA
from tests.contract.mutations import damaged

CASES = int(os.environ.get("MUSTER_FUZZ_CASES", "500"))
SECONDS = 20.0
"""For one recording of a few kilobytes; a busy machine needs a hundredth of it."""
_FIX = re.compile(rb"(8=FIX\.4\.\d)\x019=\d*\x01(.*?\x01)10=\d*\x01", re.DOTALL)


def sealed(data: bytes) -> bytes:
    """FIX messages with body length and checksum set right again, so that damage gets behind these."""

    def seal(found: re.Match[bytes]) -> bytes:
        text = found[1] + b"\x019=%d\x01" % len(found[2]) + found[2]
        return text + b"10=%03d\x01" % (sum(text) % 256)

    return _FIX.sub(seal, data)


def jsonl(folder: Path) -> bytes:
    """An export of our own, with operations of every kind."""
    importers.import_file("gor", DATA / "gor-sample.gor", folder / "made.parquet")
    export.export_file(trace.read(folder / "made.parquet"), folder / "x.jsonl")
    return (folder / "x.jsonl").read_bytes()


@dataclass(frozen=True)
class Target:
    """What an importer is fed with."""

    sample: str | Callable[[Path], bytes]
    name: str = "recording"
    options: importers.Options = importers.Options()  # noqa: RUF009 - frozen
    mended: Callable[[bytes], bytes] = bytes

    def data(self, folder: Path) -> bytes:
        """The bytes of an undamaged recording."""
        return (DATA / self.sample).read_bytes() if isinstance(self.sample, str) else self.sample(folder)


TARGETS = {
    "bybit-ws": Target("bybit-ws-sample.txt"),
    "fix": Target("fix-sample.log", options=importers.Options(date="2026-01-05"), mended=sealed),
    "lobster": Target(
        "ABC_2012-06-21_34200000_57600000_message_10.csv", "ABC_2012-06-21_34200000_57600000_message_10.csv"
    ),
    "sandbox-journal": Target("sandbox-journal-sample.jsonl"),
    "gor": Target("gor-sample.gor"),
    "har": Target("har-sample.har"),
    "access-log": Target("access-log-sample.log"),
    "csv": Target("orders-sample.csv", options=importers.Options(mapping=DATA / "orders-sample.yaml")),
    "jsonl": Target(jsonl),
}


@contextmanager
def deadline() -> Iterator[None]:
    """Fail, with the place where it hangs, what takes longer than SECONDS."""

    def late(*_: object) -> None:
        raise TimeoutError(f"still at it after {SECONDS} s")

    before, started = signal.signal(signal.SIGALRM, late), time.monotonic()
    left, _ = signal.setitimer(signal.ITIMER_REAL, SECONDS)  # the timer of the whole test
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - started)))


def drain(format_: str, recording: Path, options: importers.Options) -> None:
    """Only what is the importer's own, which is most of what can go wrong, and fast."""
    report = importers.Report()
    module = importlib.import_module(importers.FORMATS[format_])
    for row in module.rows(importers.Source(recording, report), report, replace(options, format=format_)):
        assert isinstance(row.t_ns, int)


def fuzzed(cases: int) -> settings:
    """The same cases in every ordinary run; others each time where more are asked for."""
    return settings(
        max_examples=cases,
        deadline=None,
        derandomize=cases <= 500,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def test_every_format_is_fuzzed() -> None:
    assert TARGETS.keys() == importers.FORMATS.keys()


@pytest.mark.timeout(max(180, CASES))
@pytest.mark.parametrize("format_", TARGETS)
def test_any_bytes_are_a_trace_or_one_line_of_why_not(format_: str, tmp_path: Path) -> None:
    target = TARGETS[format_]
    sample = target.data(tmp_path)
    recording, out = tmp_path / target.name, tmp_path / "out.parquet"

    @fuzzed(CASES)
    @given(damaged(sample, target.mended), st.integers(0, 5))
    def check(data: bytes, effort: int) -> None:
        recording.write_bytes(data)
        with deadline():
            try:
                if effort > 2:
                    drain(format_, recording, target.options)
                    return
                made = importers.import_file(format_, recording, out, target.options)
            except DefinitionError as error:
                assert "\n" not in str(error)  # noqa: PT017 - either is right
                return
            assert made.collected.rows == made.report.kinds.total() - made.collected.left_out.total()
            if not effort:
                assert trace.first_problem(trace.read(out)) is None

    check()


@pytest.mark.timeout(max(180, CASES))
def test_any_bytes_have_a_format_or_none(tmp_path: Path) -> None:
    samples = [target.data(tmp_path) for target in TARGETS.values()]
    recording = tmp_path / "recording"

    @fuzzed(CASES)
    @given(st.one_of([damaged(sample, bytes) for sample in samples]))
    def check(data: bytes) -> None:
        recording.write_bytes(data)
        with deadline():
            try:
                found = importers.guess(importers.Source(recording, importers.Report()))
            except DefinitionError as error:
                assert "is empty" in str(error)  # noqa: PT017 - either is right
                return
        assert found is None or found in importers.FORMATS

    check()


@pytest.mark.timeout(max(180, CASES))
def test_any_bytes_are_a_mapping_or_every_mistake_in_it(tmp_path: Path) -> None:
    file = tmp_path / "map.yaml"

    @fuzzed(CASES)
    @given(damaged((DATA / "orders-sample.yaml").read_bytes(), bytes))
    def check(data: bytes) -> None:
        file.write_bytes(data)
        with deadline():
            try:
                load(file)
            except DefinitionError as error:
                assert str(error)  # noqa: PT017 - either is right

    check()
