from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drills.clock import FakeClock
from drills.errors import DefinitionError
from drills.events import GENESIS, Event, EventLog, Kind, read_events


def log_of(path: Path, count: int = 5) -> bytes:
    clock = FakeClock()
    log = EventLog(path, clock)
    for number in range(count):
        clock.advance(0.1)
        log.emit(Kind.NOTE, text=f"note {number}", value=number / 3, more=[1, None, "ü"])
    log.close()
    return path.read_bytes()


def test_what_is_emitted_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    log = EventLog(path, FakeClock(5))
    seen: list[Event] = []
    log.subscribe(seen.append)
    log.emit(Kind.RUN_STARTED, run_id="x")
    log.emit(Kind.RUN_ENDED, verdict="passed")
    log.close()
    assert list(read_events(path)) == seen
    assert [event.seq for event in seen] == [0, 1]
    assert seen[0].prev == GENESIS
    assert seen[1].prev == seen[0].hash
    assert seen[0].t_ns == 5
    assert seen[0].wall.endswith("Z")


def test_an_event_is_on_disk_before_a_handler_sees_it(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    log = EventLog(path, FakeClock())
    on_disk: list[int] = []
    log.subscribe(lambda event: on_disk.append(len(path.read_bytes().splitlines())))
    log.emit(Kind.NOTE, text="a")
    log.emit(Kind.NOTE, text="b")
    log.close()
    assert on_disk == [1, 2]


def test_closing_twice_is_safe(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.ndjson", FakeClock())
    log.close()
    log.close()


def test_a_short_write_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.ndjson"
    log = EventLog(path, FakeClock())
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
    log.emit(Kind.NOTE, text="longer than seven bytes")
    monkeypatch.undo()
    log.close()
    assert [event.data["text"] for event in read_events(path)] == ["longer than seven bytes"]


def test_a_full_disk_reaches_the_caller_and_not_the_handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(tmp_path / "events.ndjson", FakeClock())
    seen: list[Event] = []
    log.subscribe(seen.append)

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        log.emit(Kind.NOTE, text="a")
    monkeypatch.undo()
    log.close()
    assert seen == []


def test_a_torn_last_line_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    whole = log_of(path)
    last = len(whole.splitlines()[-1])
    for cut in range(2, last):
        path.write_bytes(whole[:-cut])
        assert len(list(read_events(path))) == 4


def test_an_empty_log_has_no_events(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"")
    assert list(read_events(path)) == []


@given(data=st.data())
def test_any_altered_byte_is_detected(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "altered.ndjson"
    path.unlink(missing_ok=True)
    whole = log_of(path)
    # what follows the last newline is a line that its writer did not finish; all before it counts
    place = data.draw(st.integers(0, len(whole) - 2))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != whole[place]))
    path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
    with pytest.raises(DefinitionError, match="altered"):
        list(read_events(path))


@pytest.mark.parametrize("line", [0, 2])
def test_a_removed_line_is_detected(tmp_path: Path, line: int) -> None:
    path = tmp_path / "events.ndjson"
    lines = log_of(path).splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:line] + lines[line + 1 :]))
    with pytest.raises(DefinitionError, match="hash chain broken"):
        list(read_events(path))


def test_swapped_lines_are_detected(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    a, b, *rest = log_of(path).splitlines(keepends=True)
    path.write_bytes(b"".join([b, a, *rest]))
    with pytest.raises(DefinitionError, match="hash chain broken"):
        list(read_events(path))


@pytest.mark.parametrize("line", [b"[]", b"{}", b"3", b'{"seq": 0}'])
def test_a_line_that_is_no_event_is_detected(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "events.ndjson"
    whole = log_of(path)
    path.write_bytes(line + b"\n" + whole)
    with pytest.raises(DefinitionError, match="altered"):
        list(read_events(path))


def test_a_line_that_is_not_json_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"\xff\xfe\n" + log_of(path))
    with pytest.raises(DefinitionError, match="not JSON; the log was altered"):
        list(read_events(path))


def test_a_line_is_one_json_object_with_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    raw = orjson.loads(log_of(path, 1).splitlines()[0])
    assert set(raw) == {"seq", "t_ns", "wall", "kind", "data", "prev", "hash"}
