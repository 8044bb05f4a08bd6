"""Whatever is written, and wherever a crash cuts the file: an acknowledged intent is never forgotten."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from drills.ledger import NEXT, Ledger, LedgerError, State, fold, read

IDS = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(
    st.tuples(IDS, st.one_of(st.just("intent"), st.sampled_from([str(one) for one in State]))), max_size=20
)


@contextmanager
def opened() -> Iterator[Ledger]:
    with tempfile.TemporaryDirectory() as folder:
        book = Ledger(Path(folder) / "ledger.ndjson", "run-1")
        yield book
        book.close()


def play(book: Ledger, steps: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Write what the states allow; return it."""
    taken = []
    for fault_id, what in steps:
        try:
            if what == "intent":
                book.write("intent", fault_id=fault_id, fault="x", recipes=[{"verb": fault_id, "args": {}}])
            else:
                book.write("state", fault_id=fault_id, state=what)
        except LedgerError:
            continue
        taken.append((fault_id, what))
    return taken


@given(STEPS)
def test_the_file_says_what_the_writer_knows(steps: list[tuple[str, str]]) -> None:
    with opened() as book:
        play(book, steps)
        assert read(book.path).entries == book.book.entries


@given(STEPS)
def test_only_allowed_states_follow(steps: list[tuple[str, str]]) -> None:
    model: dict[str, State] = {}
    with opened() as book:
        for fault_id, what in play(book, steps):
            before = model.get(fault_id)
            if what == "intent":
                assert before in (None, State.VERIFIED)
                model[fault_id] = State.INTENT
            else:
                assert before is not None
                assert State(what) in NEXT[before]
                model[fault_id] = State(what)
        wanted = {fault_id for fault_id, state in model.items() if state is not State.VERIFIED}
        assert {entry.fault_id for entry in book.book.open()} == wanted


@given(STEPS, st.data())
def test_a_crash_at_any_byte_loses_at_most_the_line_being_written(
    steps: list[tuple[str, str]], data: st.DataObject
) -> None:
    with opened() as book:
        play(book, steps)
        whole = book.path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        lines = whole[:cut].split(b"\n")
        seen = fold(lines)
        # the fold of the whole lines, and nothing else; a cut that left a whole line without its newline counts
        kept = lines if lines[-1].endswith(b"}") and seen.torn == 0 else lines[:-1]
        assert seen.entries == fold(kept).entries
        assert seen.torn <= 1


@given(STEPS, st.binary(max_size=40))
def test_a_new_writer_goes_on_after_any_torn_tail(steps: list[tuple[str, str]], tail: bytes) -> None:
    tail = b"{" + tail.replace(b"\n", b"").replace(b"}", b"")  # never a whole object
    with opened() as book:
        play(book, steps)
        entries = book.book.entries
        with book.path.open("ab") as file:
            file.write(tail)
        again = Ledger(book.path, "run-1")
        assert (again.book.entries, again.book.torn) == (entries, 1)
        again.write("intent", fault_id="new", fault="x", recipes=[])
        again.close()
        assert [entry.fault_id for entry in read(book.path).entries] == [e.fault_id for e in entries] + ["new"]
