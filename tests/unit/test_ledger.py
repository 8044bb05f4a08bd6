"""The ledger: its states, and what is left of it after a crash at any byte."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from drills import ledger
from drills.clock import FakeClock
from drills.ledger import Ledger, LedgerBusy, LedgerError, LedgerUnwritable, RunOver, State, fold, read

RECIPE = {"verb": "agent.release", "args": {"agent": "http://127.0.0.1:1", "instance": "engine-0"}}


@pytest.fixture
def book(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.ndjson", "run-1", FakeClock())


def intent(book: Ledger, fault_id: str = "f1") -> None:
    book.write("intent", fault_id=fault_id, fault="process.kill", describe="SIGKILL engine-0", recipes=[RECIPE])


def state(book: Ledger, to: State, fault_id: str = "f1", **data: object) -> None:
    book.write("state", fault_id=fault_id, state=str(to), **data)


def test_the_whole_life_of_a_fault(book: Ledger) -> None:
    intent(book)
    state(book, State.APPLIED, issued_ns=1)
    state(book, State.IN_EFFECT, effect_ns=2, witnesses=["gone"])
    state(book, State.UNDOING, by="restore")
    state(book, State.UNDONE)
    state(book, State.VERIFIED, undone_ns=3)
    entry = read(book.path).entries[0]
    assert (entry.state, entry.issued_ns, entry.effect_ns, entry.undone_ns) == (State.VERIFIED, 1, 2, 3)
    assert (entry.by, entry.recipes, entry.open) == ("restore", (RECIPE,), False)


def test_only_verified_is_closed() -> None:
    assert [one for one in State if not ledger.Entry("f", "x", "", (), (), state=one).open] == [State.VERIFIED]


def test_the_latest_fault_is_undone_first(book: Ledger) -> None:
    for fault_id in ("a", "b", "c"):
        intent(book, fault_id)
    state(book, State.UNDOING, "b")
    state(book, State.UNDONE, "b")
    state(book, State.VERIFIED, "b")
    assert [entry.fault_id for entry in book.book.open()] == ["c", "a"]


def test_the_same_id_may_come_again_after_its_undo(book: Ledger) -> None:
    intent(book)
    with pytest.raises(LedgerError, match="f1 is already INTENT; undo it first"):
        intent(book)
    for to in (State.UNDOING, State.UNDONE, State.VERIFIED):
        state(book, to)
    intent(book)
    assert [entry.state for entry in read(book.path).entries] == [State.VERIFIED, State.INTENT]


def test_a_state_that_cannot_follow_is_refused_and_not_written(book: Ledger) -> None:
    intent(book)
    before = book.path.read_bytes()
    with pytest.raises(LedgerError, match="f1 is INTENT; IN_EFFECT cannot follow"):
        state(book, State.IN_EFFECT)
    with pytest.raises(LedgerError, match="no fault 'f2' in this run"):
        state(book, State.APPLIED, "f2")
    assert book.path.read_bytes() == before


def test_a_full_disk_changes_nothing(book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    intent(book)
    before = book.path.read_bytes()
    monkeypatch.setattr(os, "write", half_then_full())
    with pytest.raises(LedgerUnwritable, match=r"ledger\.ndjson: no space left on device"):
        intent(book, "f2")
    assert book.path.read_bytes() == before
    assert book.book.find("f2") is None


def test_an_undo_does_not_wait_for_a_disk(book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    intent(book)
    monkeypatch.setattr(os, "write", half_then_full())
    assert "no space left" in str(book.force("state", fault_id="f1", state="UNDOING"))
    assert book.book.entries[0].state is State.UNDOING
    assert read(book.path).entries[0].state is State.INTENT  # so a later undo plays it again: safe
    with pytest.raises(LedgerError, match="IN_EFFECT cannot follow"):
        book.force("state", fault_id="f1", state="IN_EFFECT")


def half_then_full() -> Callable[[int, bytes], int]:
    real = os.write
    calls = iter((lambda fd, line: real(fd, line[:10]), *[_full] * 9))
    return lambda fd, line: next(calls)(fd, line)


def _full(fd: int, line: bytes) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_line_cut_by_a_crash_is_counted_and_the_next_one_is_whole(book: Ledger) -> None:
    intent(book)
    book.close()
    with book.path.open("ab") as file:
        file.write(b'{"e":"state","fault_id":"f1","st')
    again = Ledger(book.path, "run-1")
    state(again, State.APPLIED)
    seen = read(book.path)
    assert (seen.torn, seen.entries[0].state) == (1, State.APPLIED)


def test_an_altered_line_is_said(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="a line was altered"):
        fold([b'{"e":"intent","fault_id":"f1"}'])
    with pytest.raises(LedgerError, match="a line was altered"):
        fold([b"[1]"])
    with pytest.raises(LedgerError, match="directory"):
        read(tmp_path)


def test_an_absent_ledger_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == ledger.Book()


def test_children_sandbox_and_end(book: Ledger) -> None:
    book.write("children", pids=[[7, 1.5, "runner"]])
    book.write("children", pids=[[8, 2.5, "load"]])
    book.write("sandbox", down=["muster", "sandbox", "down"])
    book.write("over", by="the supervisor died")
    book.write("close")
    seen = read(book.path)
    assert seen.children == [(7, 1.5, "runner"), (8, 2.5, "load")]
    assert seen.sandbox_down == ("muster", "sandbox", "down")
    assert (seen.over, seen.closed, seen.run_id) == ("the supervisor died", True, "run-1")


def test_commands_by_hand_are_not_repeated() -> None:
    entry = ledger.Entry("f", "x", "", (), (), by_hand=("curl a", "curl b"))
    assert ledger.by_hand([entry, entry]) == ["curl a", "curl b"]


def test_every_line_carries_both_clocks(book: Ledger) -> None:
    line = orjson.loads(book.path.read_bytes().splitlines()[0])
    assert (line["e"], line["t_ns"], line["wall"]) == ("start", 0, "2026-01-01T00:00:00.000000Z")


def test_a_ledger_that_is_to_be_ours_alone_has_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "ledger.ndjson"
    first = Ledger(path, "run-1", FakeClock(), alone_s=0)
    said = path.read_bytes()
    with pytest.raises(LedgerBusy, match=r"another guardian or `muster undo` is at work on it") as refused:
        Ledger(path, "run-1", FakeClock(), alone_s=0)
    assert refused.value.exit_code == 6
    assert path.read_bytes() == said
    first.close()
    Ledger(path, "run-1", FakeClock(), alone_s=0).close()


def test_no_intent_follows_the_end_of_a_run(book: Ledger) -> None:
    book.force("over", by="the supervisor died")
    with pytest.raises(RunOver, match=r"the run is over \(the supervisor died\); no fault"):
        intent(book)
    assert read(book.path).entries == []


def test_the_next_writer_waits_for_the_last_line_of_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "ledger.ndjson"
    dying = Ledger(path, "run-1", FakeClock(), alone_s=0)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(Ledger, path, "run-1", FakeClock(), alone_s=30)
        intent(dying, "f0")
        dying.close()
        assert [entry.fault_id for entry in waiting.result().book.open()] == ["f0"]
