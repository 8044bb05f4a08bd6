"""What all importers share: the errors, the report, cut and damaged recordings, gzip, memory. One table of formats."""

from __future__ import annotations

import gzip
import importlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drills.errors import DefinitionError, UsageError
from loadgen import importers
from loadgen.builder import Row
from loadgen.importers import fix_flow
from loadgen.importers.report import Report
from loadgen.importers.source import LINE_LIMIT, Source
from tests.contract.imports import DATA, Lines, fix, import_, skipped


@dataclass(frozen=True)
class Sample:
    """A hand-made recording, and what it must become."""

    file: str
    kinds: dict[str, int]
    span_s: float
    skipped: dict[str, list[int]]
    orphans: list[str] = field(default_factory=list)
    notes: dict[str, list[int]] = field(default_factory=dict)


SAMPLES = {
    "bybit-ws": Sample(
        "bybit-ws-sample.txt",
        {"place": 5, "cancel": 4, "amend": 1},
        7.004,
        {
            "sent by the client": [1, 2],
            "answer to the client's own request": [3],
            "before the first snapshot of its symbol": [4],
            "corrupt: corrupt line": [11],
            'topic "instrument_info.100ms.ABCUSDT" is neither trades nor an L2 book': [13],
        },
    ),
    "fix": Sample(
        "fix-sample.log",
        {"place": 4, "cancel": 3, "amend": 2},
        7.0,
        {
            "no FIX message": [1],
            "session message": [2],
            "the same message again": [4],
            "execution report: what came of an order": [5, 7, 8, 9],
            "corrupt: wrong checksum": [10],
            "cancel reject: what came of a request": [12],
            "stop, pegged or other order (40 is not 1 or 2)": [14],
            "symbol (55, 48) is not 1 to 32 of A-Z 0-9 . _ / -": [15],
            "status request (35=H)": [16],
            "the same execution at another hop": [20],
            "corrupt: cut message: it has no checksum": [22],
        },
        orphans=["cancel of CLI/OLD"],
        notes={"time goes back": [7, 21]},
    ),
    "lobster": Sample(
        "ABC_2012-06-21_34200000_57600000_message_10.csv",
        {"place": 4, "cancel": 2, "amend": 1},
        0.9,
        {
            "trading halt or resumption": [8],
            "cross trade": [9, 11],
            "corrupt: corrupt line": [10],
            "corrupt: no price or no size above zero": [13],
        },
        orphans=["cancel of 9"],
        notes={"time goes back": [9]},
    ),
    "sandbox-journal": Sample(
        "sandbox-journal-sample.jsonl",
        {"place": 3, "amend": 1, "cancel": 1},
        2.0,
        {"of somebody else": [4], "repeated attempt": [5], "corrupt: corrupt line": [6]},
        orphans=["cancel of 1:older"],
    ),
}
every_format = pytest.mark.parametrize("format_", SAMPLES)


@every_format
def test_a_sample_is_counted_to_the_last_line(format_: str, tmp_path: Path) -> None:
    sample = SAMPLES[format_]
    made = import_(format_, DATA / sample.file, tmp_path)
    collected, report = made.result.collected, made.report
    assert dict(collected.kinds) == sample.kinds
    assert collected.span_ns == pytest.approx(sample.span_s * 1e9, abs=1)
    assert skipped(report) == sample.skipped
    assert collected.first_orphans == sample.orphans
    assert {what: entry.lines for what, entry in report.notes.items()} == sample.notes
    assert report.kinds.total() == collected.rows + collected.left_out.total()
    assert report.first_ns is not None
    assert report.last_ns is not None
    assert made.trace.provenance == {
        "from": format_,
        "file": sample.file,
        "lines": len((DATA / sample.file).read_bytes().splitlines()),
        "sessions": 16,
    }


@every_format
def test_its_format_is_guessed_and_gzip_makes_no_difference(format_: str, tmp_path: Path) -> None:
    file = DATA / SAMPLES[format_].file
    packed = tmp_path / f"{file.name}.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    plain, unpacked = import_(format_, file, tmp_path), import_(None, packed, tmp_path)
    assert unpacked.trace.table.equals(plain.trace.table)
    assert unpacked.trace.name == plain.trace.name
    assert skipped(unpacked.report) == skipped(plain.report)


@every_format
def test_an_import_is_the_same_every_time_and_at_every_line_end(format_: str, tmp_path: Path) -> None:
    file = DATA / SAMPLES[format_].file
    first, again = import_(format_, file, tmp_path), import_(format_, file, tmp_path)
    assert first.trace.table.equals(again.trace.table)
    other = tmp_path / file.name
    other.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert import_(format_, other, tmp_path).trace.table.equals(first.trace.table)


@every_format
@pytest.mark.parametrize("share", [0.0, 0.02, 0.31, 0.5, 0.77, 0.99])
def test_a_recording_that_is_cut_gives_what_it_holds(format_: str, share: float, tmp_path: Path) -> None:
    sample = SAMPLES[format_]
    data = (DATA / sample.file).read_bytes()
    cut = tmp_path / sample.file
    cut.write_bytes(data[: int(len(data) * share)])
    try:
        made = import_(format_, cut, tmp_path)
    except DefinitionError as error:
        assert "nothing usable in" in str(error)  # noqa: PT017 - either is right, by where it is cut
    else:
        assert made.result.collected.rows <= sum(sample.kinds.values())
        assert made.report.lines <= data.count(b"\n")


@every_format
def test_a_damaged_line_costs_no_more_than_itself(format_: str, tmp_path: Path) -> None:
    sample = SAMPLES[format_]
    lines = (DATA / sample.file).read_bytes().splitlines()
    damaged = tmp_path / sample.file
    damaged.write_bytes(b"\n".join([*lines, b"\xff\xfe{8=FIX \x00 [", b"", b"8=FIX.4.4\x019=", b'{"kind":1}']))
    made = import_(format_, damaged, tmp_path)
    assert dict(made.result.collected.kinds) == sample.kinds
    corrupt = sum(entry.count for entry in made.report.skipped.values() if entry.corrupt)
    before = sum(len(lines) for why, lines in sample.skipped.items() if why.startswith("corrupt"))
    assert corrupt in (before + 2, before + 3)  # the last line may be read as no message at all


@every_format
def test_a_gzip_that_is_cut_gives_what_comes_before(format_: str, tmp_path: Path) -> None:
    sample = SAMPLES[format_]
    data = gzip.compress((DATA / sample.file).read_bytes(), 0)  # stored, so that what is before the cut is all there
    cut = tmp_path / f"{sample.file}.gz"
    cut.write_bytes(data[: len(data) - 12])
    made = import_(format_, cut, tmp_path)
    assert "corrupt: the gzip is cut: it ends here" in skipped(made.report)
    assert made.result.collected.rows


def test_no_gzip_at_all(tmp_path: Path) -> None:
    file = tmp_path / "x.log.gz"
    file.write_bytes(b"8=FIX.4.4")
    with pytest.raises(DefinitionError, match=r"0 lines: 1 × no gzip, or a damaged one from here on \(line 1\)"):
        import_("fix", file, tmp_path)


@every_format
def test_nothing_usable_is_an_error_that_says_why(format_: str, tmp_path: Path) -> None:
    bad = tmp_path / SAMPLES[format_].file
    bad.write_bytes(b"\xff\xfe\n1700000000.1: {\n1700000000.2: 17\n")
    with pytest.raises(DefinitionError, match=r"nothing usable in 3 lines: 3 × .* \(line 1\); is it a .* recording\?"):
        import_(format_, bad, tmp_path)
    bad.write_bytes(b"")
    with pytest.raises(DefinitionError, match="nothing usable in 0 lines: it is empty"):
        import_(format_, bad, tmp_path)
    assert list(tmp_path.iterdir()) == [bad]  # no trace, and nothing of one


def test_only_orphans_is_nothing_usable(tmp_path: Path) -> None:
    file = tmp_path / "ABC_2012-06-21_1_2_message_1.csv"
    file.write_text("1,3,5,10,100,1\n2,3,6,10,100,1\n")
    with pytest.raises(DefinitionError, match="2 lines: 2 × names an order that was not placed before"):
        import_("lobster", file, tmp_path)


def test_what_is_no_readable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DefinitionError, match="no such file; name the recording to import"):
        import_("bybit-ws", tmp_path / "none", tmp_path)
    with pytest.raises(DefinitionError, match="is a folder"):
        import_(None, tmp_path, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DefinitionError, match="is not a file"):
        import_("fix", tmp_path / "pipe", tmp_path)

    def forbidden(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    file = DATA / SAMPLES["fix"].file
    monkeypatch.setattr(Path, "open", forbidden)  # a test run by root may read anything
    with pytest.raises(DefinitionError, match="may not be read: permission denied"):
        importers.import_file("fix", file, tmp_path / "x.parquet")


def test_an_unknown_format_names_those_there_are(tmp_path: Path) -> None:
    known = "bybit-ws, fix, lobster, sandbox-journal, gor, har, access-log, csv, jsonl"
    with pytest.raises(UsageError, match=f'no importer "pcap"; known: {known}'):
        import_("pcap", DATA / SAMPLES["fix"].file, tmp_path)
    (tmp_path / "x.bin").write_bytes(b"\x00\x01\x02")
    with pytest.raises(UsageError, match=f"x.bin: cannot tell its format; name it with --from: {known}"):
        import_(None, tmp_path / "x.bin", tmp_path)
    (tmp_path / "x.bin").write_bytes(b"")
    with pytest.raises(DefinitionError, match="is empty; name a"):
        import_(None, tmp_path / "x.bin", tmp_path)


@pytest.mark.parametrize(
    ("name", "head", "format_"),
    [
        ("x.har", b'{"log":{}}', "har"),
        ("x.json", b'{\n "log": {"version"', "har"),
        ("requests_0.gor", b"", "gor"),
        ("x", b"1 932079936fa4306fc308d67588178d17d823647c 1439818823587396305\nGET / HTTP/1.1\r\n", "gor"),
        ("access.log", b'10.0.0.1 - - [05/Jan/2026:09:00:00 +0000] "GET / HTTP/1.1" 200 5\n', "access-log"),
        ("x.csv", b"time,symbol\n", "csv"),
        ("x.jsonl.gz", b"", "jsonl"),
        ("x", b'{"time":1}\n{"time":2}\n', "jsonl"),
        ("x", b"20260105 in: 8=FIX.4.2|9=5|", "fix"),
        ("x.txt", b"wss://stream.example/x <-> 1700000000.0\n", "bybit-ws"),
    ],
)
def test_a_format_is_told_by_name_and_first_bytes(name: str, head: bytes, format_: str, tmp_path: Path) -> None:
    data = head + b" " * 8
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    assert importers.guess(Source(tmp_path / name, Report())) == format_


def test_an_over_long_line_is_reported_and_not_loaded(tmp_path: Path) -> None:
    file = tmp_path / "x.txt"
    with file.open("wb") as out:
        out.write(b"a\n")
        out.write(b"x" * (LINE_LIMIT + 5) + b"\nb")
    report = Report()
    assert list(Source(file, report).lines()) == [(1, b"a"), (3, b"b")]
    assert skipped(report) == {"corrupt: longer than 16 MiB": [2]}


def test_a_sanitiser_stands_between_the_recording_and_the_trace(tmp_path: Path) -> None:
    class Half:
        def row(self, row: Row) -> Row | None:
            row.account = "a"
            return None if row.op == "amend" else row

        def finish(self) -> dict[str, Any]:
            return {"version": 1}

    out = tmp_path / "x.parquet"
    made = importers.import_file("bybit-ws", DATA / SAMPLES["bybit-ws"].file, out, sanitiser=Half())
    assert made.manifest["version"] == 1
    assert made.manifest["content"].startswith("sha256:")  # bound to what was written
    assert made.report.kinds == {"place": 5, "cancel": 4, "amend": 1}
    assert made.collected.kinds == {"place": 5, "cancel": 4}


def test_stamps_of_mixed_units_are_told_by_their_size_and_noted() -> None:
    report = Report()
    stamps = ["1700000000.000000001", 1_700_000_000_001, b"1700000000002000", 1_700_000_000_003_000_000, 1_700_000_000]
    assert [report.stamp(number, value) - 1_700_000_000 * 10**9 for number, value in enumerate(stamps, 1)] == [
        1,
        1_000_000,
        2_000_000,
        3_000_000,
        0,
    ]
    assert {what: entry.lines for what, entry in report.notes.items()} == {
        "stamp in ms, the first one was in s": [2],
        "stamp in µs, the first one was in s": [3],
        "stamp in ns, the first one was in s": [4],
        "time goes back": [5],
    }
    for value in ("", "-1", "1e9", "NaN", True, None, [1], "9" * 19, "1" * 400, b"\xff"):
        with pytest.raises(ValueError, match=r"no time|can't decode"):
            report.stamp(9, value)


def test_reasons_have_an_end_however_many_a_recording_makes_up() -> None:
    report = Report()
    for number in range(1, 1001):
        report.skip(number, f"topic\n{number}")
    assert len(report.skipped) == 101
    assert report.skipped["topic?7"].count == 1
    assert report.skipped["for other reasons"].count == 900


# -- memory: the second half of 200,000 lines must hold no more than the first -----------------------------------------

LINES = 200_000


def bybit_lines() -> Iterator[bytes]:
    level = '{{"price":"{}","symbol":"X","side":"Buy","size":{}}}'
    trade = '{}: {{"topic":"trade.X","data":[{{"symbol":"X","price":"{}","size":1,"side":"Buy","trade_id":"x"}}]}}'
    yield b'1700000000.0: {"topic":"orderBookL2_25.X","type":"snapshot","data":[%s]}' % level.format(9, 1).encode()
    for n in range(LINES // 2):
        t = f"{1_700_000_002 + n * 0.01:.2f}"
        size, price = n % 7 + 1, n % 50 + 100
        yield trade.format(t, n + 1).encode()
        book = f'{t}: {{"topic":"orderBookL2_25.X","type":"delta","data":{{"delete":[],"insert":[],"update":['
        yield (book + level.format(price, size) + "]}}").encode()


def fix_lines() -> Iterator[bytes]:
    for n in range(LINES // 2):
        at = f"20260105-{n // 3600 % 24:02d}:{n // 60 % 60:02d}:{n % 60:02d}"
        ids = ("49=C", "56=E", f"34={n}", f"11={n}", "55=X", "54=1", "38=1")
        yield fix("35=D", *ids, "40=2", "44=5", at=at).encode()
        yield fix("35=8", "49=E", "56=C", *ids[2:], f"37=o{n}", f"17=e{n}", "150=0", "39=0", at=at).encode()


def lobster_lines() -> Iterator[bytes]:
    for n in range(LINES // 2):
        yield b"%d.5,1,%d,100,5853300,1" % (34_200 + n // 50, n)
        yield b"%d.5,%d,%d,100,5853300,1" % (34_200 + n // 50, 3 + n % 2, n)


def journal_lines() -> Iterator[bytes]:
    line = (DATA / SAMPLES["sandbox-journal"].file).read_bytes().splitlines()[0]
    for n in range(LINES):
        yield line.replace(b"run-1", b"run-%d" % n)


FEEDS = {"bybit-ws": bybit_lines, "fix": fix_lines, "lobster": lobster_lines, "sandbox-journal": journal_lines}


@every_format
def test_memory_does_not_grow_with_the_recording(format_: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fix_flow, "_REMEMBERED", 1_000)  # else the bound of FIX is reached beyond 100,000 messages
    report, blocks = Report(), [0, 0]

    def measured() -> Iterator[bytes]:
        for number, line in enumerate(FEEDS[format_]()):
            if number % 1_000 == 0:  # what tracemalloc would tell takes it a minute
                half = min(1, 2 * number // LINES)
                blocks[half] = max(blocks[half], sys.getallocatedblocks())
            yield line

    source = Lines(Path("ABC_2012-06-21_1_2_message_1.csv"), report, measured)
    made = importlib.import_module(importers.FORMATS[format_]).rows(source, report, importers.Options())
    assert sum(1 for _ in made) >= LINES // 2
    assert report.lines >= LINES
    assert blocks[1] - blocks[0] < LINES // 20  # one object kept for each line would be LINES / 2
