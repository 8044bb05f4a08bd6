"""The client's side of the binary protocol: every byte that goes out, and what each answer says."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from decimal import Decimal
from struct import pack, unpack
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drills.errors import DefinitionError
from loadgen import trace
from loadgen.builder import Row, build
from loadgen.trace import Symbol, Trace
from loadgen.venues.sandbox_binary import BinaryConversation, SandboxBinary
from loadgen.venues.wire import Answer, Endpoint, Inbox, Meaning, ProtocolError

NOW_MS = 1_700_000_000_123
TENTH, UNIT = 10**7, 10**8
ROWS = [
    Row(0, 0, "a", "place", "BTCUSDT", "Buy", "Limit", "PostOnly", 30_000 * UNIT + TENTH, 5 * TENTH, "c-1"),
    Row(1, 0, "a", "place", "ETHUSDT", "Sell", "Market", "IOC", None, 3 * UNIT, "c-2"),
    Row(2, 0, "a", "amend", "BTCUSDT", price8=30_001 * UNIT, parent="c-1"),
    Row(3, 0, "a", "amend", "BTCUSDT", "Buy", qty8=6 * TENTH, parent="c-1"),
    Row(4, 0, "a", "cancel", "BTCUSDT", parent="c-1"),
]


def wire(recorded: Trace | None = None) -> SandboxBinary:
    return SandboxBinary(
        recorded or build("t", ROWS, {}),
        "run-1",
        [Endpoint("127.0.0.1", 9)],
        lambda session: (f"acct-{session}", b"s3cret"),
        wall=lambda: NOW_MS / 1000,
    )


def ints(values: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def window(made: SandboxBinary) -> tuple[bytearray, list[int]]:
    rows = range(len(ROWS))
    parents = [-1, -1, 100_000_000, 100_000_000, 100_000_000]
    data, starts = made.window(ints([100_000_000 + row for row in rows]), ints(rows), ints(parents), ints([7] * 5))
    return data, starts.tolist()


def changed(column: str, values: Sequence[object], grid: dict[str, Symbol] | None = None) -> Trace:
    """The trace of ROWS with another column."""
    base = build("t", ROWS, {})
    at = base.table.schema.get_field_index(column)
    table = base.table.set_column(at, base.table.schema.field(column), [list(values)])
    return trace.of("t", table, grid or base.grid, {}, base.duration_ns)


class TestOrders:
    def test_every_byte_of_a_window(self) -> None:
        data, starts = window(wire())
        assert starts == [0, 64, 128, 192, 256, 320]
        assert isinstance(data, bytearray)
        btc, eth = 0, 1
        assert [unpack("<HBBBBBxQQqqqQ8x", data[at : at + 64]) for at in starts[:-1]] == [
            (64, 16, 1, 1, 1, 3, 100_000_000, 0, 30_000 * UNIT + TENTH, 5 * TENTH, 7, btc),
            (64, 16, 1, 2, 2, 2, 100_000_001, 0, 0, 3 * UNIT, 7, eth),
            (64, 18, 1, 0, 0, 0, 100_000_002, 100_000_000, 30_001 * UNIT, 0, 7, btc),
            (64, 18, 1, 1, 0, 0, 100_000_003, 100_000_000, 0, 6 * TENTH, 7, btc),
            (64, 17, 1, 0, 0, 0, 100_000_004, 100_000_000, 0, 0, 7, btc),
        ]

    def test_rows_may_come_in_any_order_and_more_than_once(self) -> None:
        made = wire()
        whole = bytes(window(made)[0])
        numbers, parents = [100_000_004, 100_000_000, 100_000_004], [100_000_000, -1, 100_000_000]
        data, _ = made.window(ints(numbers), ints([4, 0, 4]), ints(parents), ints([7, 7, 7]))
        assert bytes(data) == whole[256:] + whole[:64] + whole[256:]
        nothing, starts = made.window(ints([]), ints([]), ints([]), ints([]))
        assert (nothing, starts.tolist()) == (bytearray(), [0])

    def test_one_by_one_is_the_same_with_the_time_of_the_last_tick(self) -> None:
        made = wire()
        data, starts = window(made)
        for row, at in enumerate(starts[:-1]):
            parent = 100_000_000 if row > 1 else -1
            data[at + 40 : at + 48] = pack("<q", NOW_MS)
            assert made.operation(100_000_000 + row, row, parent, 0, None) == data[at : at + 64]

    def test_the_clock_is_taken_at_a_tick(self) -> None:
        now = [1.5]
        made = SandboxBinary(build("t", ROWS, {}), "r", [], lambda session: ("", b""), wall=lambda: now[0])
        now[0] = 2.5
        assert made.status(1, 0, 0)[40:48] == pack("<q", 1500)
        made.tick()
        assert made.status(1, 0, 0)[40:48] == pack("<q", 2500)

    def test_a_place_is_asked_for_by_its_order_all_else_by_its_request(self) -> None:
        kinds = [unpack("<HBB4xQ24xQ16x", wire().status(row + 9, row, 0)) for row in range(5)]
        assert kinds == [(64, kind, 1, row + 9, NOW_MS) for row, kind in enumerate((19, 19, 20, 20, 20))]


class TestTraces:
    def test_a_tick_below_the_unit_is_refused(self) -> None:
        grid = {name: Symbol(Decimal("0.000000015"), Decimal(1)) for name in ("BTCUSDT", "ETHUSDT")}
        with pytest.raises(DefinitionError, match=r"BTCUSDT: tick 0\.000000015 is not a whole number of 1e-8"):
            wire(changed("qty_lots", [1, 1, None, 1, None], grid))

    def test_a_product_beyond_64_bits_is_refused_by_row(self) -> None:
        grid = {"BTCUSDT": Symbol(Decimal(1), Decimal(1)), "ETHUSDT": Symbol(Decimal(1), Decimal(1000))}
        wire(changed("qty_lots", [2**63 // UNIT, 1, None, 1, None], grid))
        with pytest.raises(DefinitionError, match="row 1: 92233721 lots are beyond 64 bits"):
            wire(changed("qty_lots", [1, 92_233_721, None, 1, None], grid))

    @pytest.mark.parametrize(
        ("column", "values", "says"),
        [
            ("op", ["place", "place", "request", "amend", "cancel"], "row 2: op request: not a word"),
            ("tif", ["GTC", "FOK", None, None, None], "row 1: tif FOK: not a word"),
            ("symbol", ["A" * 21] * 5, "symbol A{21} is longer than 20 bytes"),
        ],
    )
    def test_what_the_protocol_cannot_carry_is_named(self, column: str, values: list[object], says: str) -> None:
        with pytest.raises(DefinitionError, match=says):
            wire(changed(column, values))

    def test_many_symbols_are_declared_in_several_messages(self) -> None:
        names = [f"SYM{n}" for n in range(3001)]
        rows = [Row(n, 0, "a", "place", name, "Buy", "Limit", "GTC", 1, 1, f"c{n}") for n, name in enumerate(names)]
        sent = wire(build("t", rows, {})).converse(0).greet()[112:]
        assert sent[:4] == pack("<HBB", 60_004, 2, 1)
        assert sent[60_004:60_008] == pack("<HBB", 24, 2, 1)
        found = sent[4:60_004] + sent[60_008:]
        assert [found[at : at + 20].rstrip(b"\0").decode() for at in range(0, len(found), 20)] == names


def answer(number: int, code: int = 0, seq: int = 5, epoch: int = 2, kind: int = 144, found: int = 0) -> bytes:
    return pack("<HBBiQQIBBxx", 32, kind, 1, code, number, seq, epoch, found, 3)


LOGGED_IN, PONG = answer(0, kind=129, seq=0, epoch=0), answer(0, kind=130, seq=0, epoch=0)


def heard(data: bytes, conversation: BinaryConversation | None = None) -> Inbox:
    inbox = Inbox()
    assert (conversation or wire().converse(0)).feed(data, inbox) == b""
    return inbox


def columns(inbox: Inbox) -> list[list[list[int]]]:
    return [[column.tolist() for column in piece] for piece in inbox.bulk]


class TestConversation:
    def test_the_greeting_signs_the_account_of_the_session_in(self) -> None:
        expires = NOW_MS + 5000
        signature = hmac.digest(b"s3cret", f"GET/realtime{expires}".encode(), "sha256")
        login = pack("<HBBIq32s32s32s", 112, 1, 1, 5000, expires, signature, b"acct-3", b"run-1-")
        names = b"BTCUSDT".ljust(20, b"\0") + b"ETHUSDT".ljust(20, b"\0")
        assert wire().converse(3).greet() == login + pack("<HBB", 44, 2, 1) + names

    def test_it_is_ready_once_it_was_let_in(self) -> None:
        conversation = wire().converse(0)
        heard(LOGGED_IN[:31], conversation)
        assert not conversation.ready
        heard(LOGGED_IN[31:], conversation)
        assert conversation.ready
        assert conversation.frame([1, 2], [b"one", b"two"]) == b"onetwo"
        assert conversation.ping() == pack("<HBB", 4, 3, 1)
        assert heard(PONG, conversation) == Inbox()

    def test_plain_oks_come_as_columns(self) -> None:
        inbox = heard(b"".join(answer(n, seq=2**40 + n, epoch=4_000_000_000) for n in range(9)))
        assert columns(inbox) == [[list(range(9)), [2**40 + n for n in range(9)], [4_000_000_000] * 9]]
        assert inbox.bulk[0][0].dtype == inbox.bulk[0][2].dtype == np.int64
        assert inbox.answers == []

    def test_others_come_one_by_one(self) -> None:
        inbox = heard(answer(1) + answer(2, 110001) + PONG + answer(3) + answer(4, 10016, 0, 0) + answer(5, 77))
        assert columns(inbox) == [[[1, 3], [5, 5], [2, 2]]]
        assert inbox.answers == [
            Answer(2, Meaning.REJECT, "110001", seq=5, epoch=2),
            Answer(4, Meaning.UNAVAILABLE, "10016", seq=0, epoch=0),
            Answer(5, Meaning.UNKNOWN, "77", seq=5, epoch=2),
        ]
        assert heard(answer(2, 110072)).answers[0].meaning is Meaning.DUPLICATE

    def test_what_a_status_tells(self) -> None:
        inbox = heard(
            answer(1, kind=145, found=1)
            + answer(2, 110301, kind=145, found=1)
            + answer(3, 0, 0, 0, kind=145)
            + answer(4, 10000, 0, 0, kind=145)
        )
        assert inbox.bulk == []
        assert inbox.answers == [
            Answer(1, Meaning.OK, asked=True, seq=5, epoch=2),
            Answer(2, Meaning.REJECT, "110301", asked=True, seq=5, epoch=2),
            Answer(3, Meaning.OK, asked=True, found=False),
            Answer(4, Meaning.UNAVAILABLE, "10000", asked=True),
        ]

    @pytest.mark.parametrize(
        ("message", "says"),
        [
            (answer(0, 10004, kind=129), "sign-in refused: 10004"),
            (pack("<HBBi24s", 32, 255, 1, 0, b"the gateway stops"), "hung up by the gateway: the gateway stops$"),
            (pack("<HBBi24s", 32, 255, 1, 10001, b"x" * 24), r"hung up by the gateway: x{24} \(10001\)"),
            (answer(0, kind=7), "unknown type 7"),
            (b"HTTP/1.1 400 Bad Request\r\n".ljust(32), "not a message of version 1 and 32 bytes: 48 54 54 50"),
        ],
    )
    def test_the_end_of_a_conversation_is_told_after_what_came_before(self, message: bytes, says: str) -> None:
        inbox = Inbox()
        with pytest.raises(ProtocolError, match=says):
            wire().converse(0).feed(answer(1) + answer(2, 110001) + message + answer(3), inbox)
        assert [entry.number for entry in inbox.answers] == [2]
        assert columns(inbox)[0][0][0] == 1

    @given(
        st.lists(st.tuples(st.integers(0, 10**10 - 1), st.sampled_from([0, 0, 0, 110001])), max_size=40),
        st.integers(1, 200),
    )
    def test_any_cut_of_the_stream_says_the_same(self, said: list[tuple[int, int]], size: int) -> None:
        stream, conversation, inbox = b"".join(answer(*one) for one in said), wire().converse(0), Inbox()
        for start in range(0, len(stream), size):
            conversation.feed(stream[start : start + size], inbox)
        plain = [number for piece in inbox.bulk for number in piece[0].tolist()]
        assert plain == [number for number, code in said if not code]
        assert [entry.number for entry in inbox.answers] == [number for number, code in said if code]

    @given(st.lists(st.binary(max_size=100)))
    def test_no_bytes_bring_it_down(self, chunks: list[bytes]) -> None:
        conversation, inbox = wire().converse(0), Inbox()
        try:
            for chunk in chunks:
                conversation.feed(chunk, inbox)
        except ProtocolError:
            return
        assert all(len(piece) == 3 for piece in inbox.bulk)
