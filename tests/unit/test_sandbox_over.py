"""What the node agent remembers of faults that are undone: older orders are late, younger are not, all is bounded."""

from hypothesis import given
from hypothesis import strategies as st

from sandbox.node import over
from sandbox.node.over import Over


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_order_is_late_when_it_is_older_than_the_undo_of_its_own_tag() -> None:
    seen = Over()
    assert not seen.late("a", 10)
    seen.end("a", 10)
    assert (seen.late("a", 9), seen.late("a", 10), seen.late("a", 11)) == (True, True, False)
    assert not seen.late("b", 9)


@given(st.lists(st.integers(0, 100), min_size=1))
def test_an_undo_that_is_itself_late_brings_nothing_back(undos: list[int]) -> None:
    seen = Over()
    for sent_ns in undos:
        seen.end("a", sent_ns)
    assert seen.late("a", max(undos))
    assert not seen.late("a", max(undos) + 1)


def test_what_is_remembered_is_bounded_by_number_and_by_age() -> None:
    clock = Clock()
    seen = Over(clock)
    for number in range(over.MOST + 10):
        seen.end(f"tag-{number}", 5)
    assert len(seen) == over.MOST
    assert (seen.late("tag-9", 5), seen.late("tag-10", 5)) == (False, True)
    clock.now = over.KEEP_S + 1
    seen.end("another", 5)
    assert len(seen) == 1
