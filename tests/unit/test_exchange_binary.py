"""The messages of the binary protocol, cut out of a stream."""

from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.exchange.binary import BadStream, Cutter

WHOLE = [
    pack("<HBB", size, kind, 1).ljust(size, b"x") for size, kind in ((4, 3), (64, 16), (112, 1), (44, 2), (64, 20))
]


class TestCutter:
    @given(st.lists(st.sampled_from(WHOLE)), st.integers(1, 99))
    def test_any_cut_of_the_stream_gives_the_same_messages(self, messages: list[bytes], size: int) -> None:
        stream, cutter, out = b"".join(messages), Cutter(), list[bytes]()
        for start in range(0, len(stream), size):
            out += [message for _, message in cutter.feed(stream[start : start + size])]
        assert out == messages

    @given(st.lists(st.binary(max_size=200)))
    def test_no_bytes_bring_it_down(self, chunks: list[bytes]) -> None:
        cutter, why = Cutter(), ""
        try:
            for chunk in chunks:
                for kind, message in cutter.feed(chunk):
                    assert message[2] == kind
        except BadStream as error:
            why = str(error)
        assert len(why) <= 24

    def test_a_wrong_head_is_not_waited_for(self) -> None:
        with pytest.raises(BadStream, match="type 16 of 65"):
            list(Cutter().feed(pack("<HBB", 65, 16, 1)))
