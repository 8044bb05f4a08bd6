"""The trading WebSocket in bulk: what goes out is what single messages would be, and no chunking changes what comes."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.builder import build
from loadgen.venues import ws
from loadgen.venues.bybit_ws import TradeConversation, TradeWire
from loadgen.venues.wire import Answer, Endpoint, Inbox, ProtocolError
from tests.unit.replaybench import WALL, amend, cancel, place, unframed

RUN = "20261121T081502Z-7k2m"


def wire() -> TradeWire:
    rows = [place(0, "a"), amend(1, "a"), cancel(2, "a"), place(3, "b", 1)]
    here = [Endpoint("127.0.0.1", 1, "/v5/trade")]
    return TradeWire(build("t", rows, {}), RUN, here, lambda session: ("acct", b"00"), wall=lambda: WALL)


def array(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, np.int64)


def test_a_window_holds_the_messages_that_would_go_out_one_by_one() -> None:
    made = wire()
    numbers, rows, parents = array(7, 8, 9, 1_200_000_000, 10), array(0, 1, 2, 3, 0), array(-1, 7, 7, -1, -1)
    data, starts = made.window(numbers, rows, parents, np.full(5, int(WALL * 1000)))
    assert starts[-1] == len(data)
    for k in range(5):
        (payload,) = unframed(bytes(data[starts[k] : starts[k + 1]]))
        assert payload == made.operation(int(numbers[k]), int(rows[k]), int(parents[k]), 0, None)


def test_every_message_carries_the_time_at_which_it_goes_out() -> None:
    data, starts = wire().window(array(0, 1), array(0, 3), array(-1, -1), array(1_700_000_000_123, 9_999_999_999_999))
    stamps = [orjson.loads(payload)["header"]["X-BAPI-TIMESTAMP"] for payload in unframed(bytes(data))]
    assert stamps == ["1700000000123", "9999999999999"]
    assert starts.tolist()[0] == 0


def framed(payload: bytes, opcode: int = ws.TEXT, *, final: bool = True) -> bytes:
    """A frame as a server sends it."""
    head = bytes(((0x80 if final else 0) | opcode,))
    if len(payload) < 126:
        return head + bytes((len(payload),)) + payload
    return head + b"\x7e" + len(payload).to_bytes(2, "big") + payload


def ok(number: int, **extra: object) -> bytes:
    link = f"{RUN}-{number:010d}"
    data = {"orderId": str(number), "orderLinkId": link, "seq": number + 1, "epoch": 3, "status": "New", "filled": "0"}
    return orjson.dumps({"reqId": link, "retCode": 0, "retMsg": "OK", "op": "order.create", "data": data} | extra)


def reject(number: int, code: int) -> bytes:
    return orjson.dumps({"reqId": f"{RUN}-{number:010d}", "retCode": code, "retMsg": "no", "op": "x", "data": {}})


def status(number: int) -> bytes:
    data = {"found": True, "code": 0, "seq": 5, "epoch": 1}
    return orjson.dumps({"reqId": f"q{RUN}-{number:010d}", "retCode": 0, "retMsg": "OK", "op": "s", "data": data})


numbers = st.integers(0, 9_999_999_999)
frames = st.one_of(
    numbers.map(lambda n: framed(ok(n))),
    numbers.map(lambda n: framed(ok(n, connId="x"))),  # another shape: read one by one
    st.tuples(numbers, st.sampled_from((110001, 10016, 5))).map(lambda told: framed(reject(*told))),
    numbers.map(lambda n: framed(status(n))),
    st.just(framed(b'{"op":"pong"}')),
    st.just(framed(b"hello", ws.PING)),
    numbers.map(lambda n: framed(ok(n)[:20], final=False) + framed(ok(n)[20:], ws.CONTINUATION)),
)


def ready() -> TradeConversation:
    made = wire().converse(0)
    inbox = Inbox()
    made._upgraded = True
    made.feed(framed(b'{"op":"auth","retCode":0}'), inbox)
    assert made.ready
    return made


def heard(inbox: Inbox) -> list[tuple[int, str, int]]:
    plain = [(int(digits), "ok", int(seq)) for digits, seq, _ in inbox.found]
    return plain + [(a.number, "ok" if a.code == "0" and not a.asked else f"{a}", a.seq or 0) for a in inbox.answers]


@settings(max_examples=200, deadline=None)
@given(st.lists(frames, max_size=12), st.data())
def test_no_chunking_changes_what_is_heard(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    whole, pieces = Inbox(), Inbox()
    back = ready().feed(stream, whole) if stream else b""
    conversation, replies = ready(), b""
    for low, high in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        if high > low:
            replies += conversation.feed(stream[low:high], pieces)
    assert sorted(heard(whole)) == sorted(heard(pieces))
    assert len(back) == len(replies) == 11 * stream.count(b"hello")
    assert len(heard(whole)) == stream.count(b'"retCode":')


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_garbage_is_a_protocol_error_or_nothing(data: bytes) -> None:
    for conversation in (ready(), wire().converse(0)):
        try:
            conversation.feed(data, Inbox())
        except ProtocolError:
            continue


def test_a_refused_sign_in_names_its_code() -> None:
    made = wire().converse(0)
    made._upgraded = True
    with pytest.raises(ProtocolError, match="sign-in refused: 10004 wrong"):
        made.feed(framed(b'{"op":"auth","retCode":10004,"retMsg":"wrong"}'), Inbox())


def test_an_answer_of_another_run_is_not_ours() -> None:
    inbox = Inbox()
    conversation = ready()
    for name in ("other-0000000001", f"{RUN}-1", f"x{RUN}-0000000001", "", f"{RUN}-00000000０1"):
        conversation.feed(framed(orjson.dumps({"reqId": name, "retCode": 0, "data": {}})), inbox)
    assert inbox.answers == []
    assert inbox.found == []


def test_the_mask_is_not_the_same_in_every_replay() -> None:
    one, two = (bytes(wire().window(array(1), array(0), array(-1), array(1))[0])[4:8] for _ in range(2))
    assert one != two  # by chance the same once in four thousand million


def test_the_kind_of_an_answer_is_kept() -> None:
    inbox = Inbox()
    ready().feed(framed(reject(4, 110001)) + framed(status(5)), inbox)
    assert [(a.number, a.code, a.asked, a.found) for a in inbox.answers] == [
        (4, "110001", False, True),
        (5, "0", True, True),
    ]
    assert all(isinstance(a, Answer) for a in inbox.answers)
