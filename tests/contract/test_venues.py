"""What every wire must do, whatever its protocol: rendering, signing, classifying, and staying calm with any bytes."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadgen.venues.wire import Inbox, Meaning, ProtocolError, Wire
from tests.contract.fakes import Book, Seen
from tests.contract.fakes.cases import CASES, RUN, WORDS, Case, Talk, supported, trace
from tests.contract.fakes.fix import FixFake, message
from tests.contract.fakes.http import response

TRACE = trace()
PARENT = 5
NUMBERS = (0, 7, 100_000_042, 4_900_000_000, 9_999_999_999)
EXPECTED = [
    Seen("place", "", "", "BTCUSDT", "Buy", "Limit", "GTC", "100.5", "1.5"),
    Seen("place", "", "", "BTCUSDT", "Sell", "Market", "IOC", "", "0.5"),
    Seen("place", "", "", "BTCUSDT", "Sell", "Limit", "PostOnly", "101", "1"),
    Seen("place", "", "", "BTCUSDT", "Buy", "Limit", "IOC", "100", "2"),
    Seen("amend", "", "", "BTCUSDT", "", "", "", "100", ""),
    Seen("amend", "", "", "BTCUSDT", "", "", "", "", "1"),
    Seen("cancel", "", "", "BTCUSDT", "", "", "", "", ""),
]

every_wire = pytest.mark.parametrize("case", CASES, ids=str)
signed_wire = pytest.mark.parametrize("case", [case for case in CASES if case.signed], ids=str)
coded_wire = pytest.mark.parametrize("case", [case for case in CASES if case.coded], ids=str)
"""Those whose venue says more than an HTTP status."""


@cache
def made(name: str) -> Wire:
    """One wire of each case: making it reads files."""
    with TemporaryDirectory() as folder:
        return next(case for case in CASES if case.name == name).make(TRACE, Path(folder))


@pytest.fixture
def book() -> Book:
    return Book()


@pytest.fixture
def talk(case: Case, book: Book, tmp_path: Path) -> Talk:
    return Talk(case.make(TRACE, tmp_path), case.fake(book))


def parent_of(row: int) -> int:
    return -1 if row < 4 else PARENT


def name(number: int) -> str:
    return f"{RUN}-{number:010d}"


@every_wire
def test_every_kind_of_operation_is_rendered(case: Case, book: Book, talk: Talk) -> None:
    rows = supported(talk.wire, TRACE)
    assert set(rows) >= {0, 1, 2, 3, 6}
    for row in rows:
        assert [answer.number for answer in talk.operate(10 + row, row, parent_of(row))] == [10 + row]
    for row, seen in zip(rows, book.seen, strict=True):
        own = name(10 + row) if row < 4 or row in case.asked else seen.id  # not every venue takes an id for a cancel
        wanted = replace(EXPECTED[row], id=own, parent=name(PARENT) if row > 3 else "")
        # what a row does not say may be said all the same, as it is known of its order
        said = {key: getattr(seen, key) for key in ("side", "type", "tif", "price", "qty")}
        told = {key: getattr(wanted, key) or value for key, value in said.items()}
        if seen.type == "Market":
            told["tif"] = seen.tif  # a market order needs none
        assert number_free(seen) == number_free(replace(wanted, **told))
    assert book.problems == []


def number_free(seen: Seen) -> Seen:
    """Prices and quantities as numbers: 1.50 is 1.5."""
    return replace(
        seen, **{key: value and f"{float(value):g}" for key, value in (("price", seen.price), ("qty", seen.qty))}
    )


@signed_wire
def test_the_venue_would_notice_a_wrong_signature(case: Case, book: Book, tmp_path: Path) -> None:
    Talk(case.make(TRACE, tmp_path), case.fake(book), session=1).operate(1, 0)
    assert book.problems == []
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes().replace(b"not", b"ton").replace(b"number", b"rebmun"))
    Talk(case.make(TRACE, tmp_path), case.fake(book), session=1).operate(2, 0)
    assert set(book.problems) == {"signature"}


@pytest.mark.parametrize(
    ("case", "meaning"),
    [pytest.param(case, meaning, id=f"{case}-{meaning.name.lower()}") for case in CASES for meaning in case.codes],
)
def test_answers_mean_what_the_venue_means(case: Case, book: Book, talk: Talk, meaning: Meaning) -> None:
    book.word = WORDS[meaning]
    (answer,) = talk.operate(123, 0)
    assert (answer.number, answer.meaning, answer.code, answer.asked) == (123, meaning, case.codes[meaning], False)
    if meaning is Meaning.OK and case.numbered:
        assert (answer.seq, answer.epoch) == (7, 2)


@coded_wire
def test_a_business_reject_is_known_as_one(case: Case, book: Book, talk: Talk) -> None:
    book.word = "reject"
    (answer,) = talk.operate(123, 6, PARENT)
    assert answer.meaning is Meaning.REJECT
    assert answer.code in talk.wire.business


@every_wire
def test_messages_that_come_byte_by_byte(case: Case, book: Book, tmp_path: Path) -> None:
    talk = Talk(case.make(TRACE, tmp_path), case.fake(book), step=1)
    for number, meaning in enumerate((Meaning.OK, Meaning.REJECT, Meaning.UNAVAILABLE, Meaning.OK)):
        book.word = WORDS[meaning]
        (answer,) = talk.operate(number, 0)
        assert (answer.number, answer.meaning) == (number, meaning)


@every_wire
def test_two_messages_in_one_read(case: Case, book: Book, talk: Talk) -> None:
    payloads = [talk.wire.operation(number, number, -1, 0, None) for number in (0, 1)]
    if talk.wire.serial:
        with pytest.raises(ProtocolError):
            talk.conversation.frame([0, 1], payloads)
        talk.hear(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + talk.send([0], payloads[:1]))
        assert [answer.number for answer in talk.heard()] == [0]
        return
    talk.hear(talk.send([0, 1], payloads))
    assert [answer.number for answer in talk.heard()] == [0, 1]


@every_wire
def test_what_is_cut_off_is_never_an_answer(case: Case, book: Book, talk: Talk) -> None:
    reply = talk.send([1], [talk.wire.operation(1, 0, -1, 0, None)])
    talk.hear(reply[: len(reply) - 1])
    assert talk.heard() == []
    if talk.wire.serial:
        with pytest.raises(ProtocolError, match="middle"):
            talk.conversation.feed(b"", talk.inbox)


@every_wire
def test_garbage_is_an_error_of_the_protocol(case: Case, book: Book, talk: Talk) -> None:
    with pytest.raises(ProtocolError):
        talk.hear(case.garbage)


@every_wire
@pytest.mark.parametrize("row", [0, 4, 6])
def test_what_became_of_an_operation_can_be_asked(case: Case, book: Book, talk: Talk, row: int) -> None:
    if row not in case.asked:
        assert row not in supported(talk.wire, TRACE) or talk.wire.status(77, row, 0) is None
        return
    (answer,) = talk.ask(77, row)
    assert (answer.number, answer.asked, answer.found) == (77, True, False)
    assert answer.meaning in (Meaning.OK, Meaning.REJECT)  # else it would be asked again
    book.word = "silent"
    assert talk.operate(77, row, parent_of(row)) == [] if not talk.wire.serial else True
    done = Book(done={name(77): True})
    (answer,) = Talk(talk.wire, case.fake(done)).ask(77, row)
    assert (answer.number, answer.asked, answer.found, answer.meaning) == (77, True, True, Meaning.OK)
    assert (done.asked, done.problems, book.problems) == ([name(77)], [], [])


@coded_wire
def test_a_refused_operation_is_told_as_such(case: Case, tmp_path: Path) -> None:
    talk = Talk(case.make(TRACE, tmp_path), case.fake(Book(done={name(77): False})))
    (answer,) = talk.ask(77, 0)
    assert (answer.asked, answer.found, answer.meaning) == (True, True, Meaning.REJECT)


@every_wire
def test_a_refused_question_decides_nothing(case: Case, tmp_path: Path) -> None:
    talk = Talk(case.make(TRACE, tmp_path), case.fake(Book(refuse_questions=True, done={name(77): True})))
    (answer,) = talk.ask(77, 0)
    assert answer.asked
    assert answer.meaning in (Meaning.UNAVAILABLE, Meaning.UNKNOWN)


@every_wire
@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_of_up_to_ten_digits_come_back(case: Case, book: Book, talk: Talk, number: int) -> None:
    assert [answer.number for answer in talk.operate(number, 0)] == [number]
    (answer,) = talk.ask(number, 0)
    assert (answer.number, answer.found) == (number, True)
    cancelled = talk.operate(1, 6, number)
    assert [answer.meaning for answer in cancelled] == [Meaning.OK]
    assert book.seen[-1].parent == name(number)


@every_wire
def test_a_window_says_the_same_as_its_operations(case: Case, book: Book, talk: Talk) -> None:
    if not talk.wire.prerendered:
        with pytest.raises(NotImplementedError):
            talk.wire.window(*[np.zeros(0, np.int64)] * 4)
        return
    rows = np.arange(TRACE.rows)
    parents = np.array([parent_of(row) for row in rows.tolist()])
    now = np.full(len(rows), 1_700_000_000_123)
    data, starts = talk.wire.window(rows + 10, rows, parents, now)
    assert (starts[0], starts[-1], len(starts)) == (0, len(data), len(rows) + 1)
    for low, high in pairwise(starts.tolist()):
        talk.hear(talk.fake.receive(bytes(data[low:high])))
    bulk, book.seen = book.seen, []
    for row in rows.tolist():
        talk.operate(10 + row, row, parent_of(row))
    assert book.seen == bulk
    assert book.problems == []


@every_wire
def test_a_ping_is_answered_with_something(case: Case, book: Book, talk: Talk) -> None:
    ping = talk.conversation.ping()
    if not ping:
        assert talk.wire.serial
        return
    reply = talk.fake.receive(ping)
    assert reply
    talk.hear(reply)
    assert talk.heard() == []


# -- any bytes ---------------------------------------------------------------------------------------------------------

calm = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def connected(case: Case) -> tuple[Talk, bytes]:
    """A talk with one operation on its way, and the answer that was not fed yet."""
    talk = Talk(made(case.name), case.fake(Book()))
    return talk, talk.send([1], [talk.wire.operation(1, 0, -1, 0, None)])


@every_wire
@calm
@given(data=st.data())
def test_any_bytes_are_taken_or_refused(case: Case, data: st.DataObject) -> None:
    talk, answer = connected(case)
    fresh = talk.wire.converse(0)
    fresh.greet()
    noise = data.draw(st.binary(max_size=200))
    for conversation in (fresh, talk.conversation):
        with contextlib.suppress(ProtocolError):
            conversation.feed(noise, Inbox())
    talk, answer = connected(case)
    damaged = bytearray(answer)
    for at in data.draw(st.lists(st.integers(0, len(answer) - 1), min_size=1, max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(answer)))
    with contextlib.suppress(ProtocolError):
        for part in (damaged[:cut], damaged[cut:], b"", noise):
            talk.conversation.feed(bytes(part), talk.inbox)
    for found in talk.heard():
        assert isinstance(found.meaning, Meaning)
        assert found.seq is None or abs(found.seq) < 1 << 63  # as columns of the witness hold it


WORDS_OF_JSON = [
    "retCode",
    "result",
    "list",
    "found",
    "code",
    "seq",
    "epoch",
    "orderId",
    "orderStatus",
    "msg",
    "status",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS_OF_JSON), inner, max_size=6),
    max_leaves=10,
)


@pytest.mark.parametrize("case", [case for case in CASES if made(case.name).serial], ids=str)
@calm
@given(status=st.integers(200, 599), value=JSON | st.binary(max_size=20), asking=st.booleans())
def test_any_body_under_any_status_is_taken(case: Case, status: int, value: object, asking: bool) -> None:
    wire = made(case.name)
    request = wire.status(5, 0, 0) if asking else wire.operation(5, 0, -1, 0, None)
    assert request is not None
    conversation, inbox = wire.converse(0), Inbox()
    conversation.frame([5], [request])
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    conversation.feed(response(status, b"" if status in (204, 304) else body), inbox)
    (answer,) = inbox.answers
    assert (answer.number, answer.asked) == (5, asking)


@calm
@given(
    kind=st.sampled_from("0123456789AjRZ"),
    fields=st.dictionaries(
        st.sampled_from(
            ["11", "7", "16", "36", "37", "39", "43", "45", "58", "102", "103", "112", "123", "150", "373", "380"]
        ),
        st.text("0123456789AFIYN-", min_size=1, max_size=12) | st.just(name(3)),
    ),
)
def test_any_fields_of_a_fix_message_are_taken(kind: str, fields: dict[str, str]) -> None:
    talk = Talk(made("fix44"), FixFake(Book()))
    talk.send([3], [talk.wire.operation(3, 0, -1, 0, None)])
    with contextlib.suppress(ProtocolError):
        talk.hear(message(kind, 3, *(f"{tag}={value}" for tag, value in fields.items())))
    assert {answer.number for answer in talk.heard()} <= {3}


# -- over a socket -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def served(case: Case, book: Book) -> Iterator[int]:
    """The port of a server that puts one connection to a fake."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            fake = case.fake(book)
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(fake.receive(data))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()


@every_wire
def test_over_a_socket(case: Case, book: Book, tmp_path: Path) -> None:
    wire = case.make(TRACE, tmp_path)
    conversation, inbox = wire.converse(0), Inbox()
    with served(case, book) as port, socket.create_connection(("127.0.0.1", port), 10) as line:
        line.settimeout(10)
        line.sendall(conversation.greet())
        while not conversation.ready:
            line.sendall(conversation.feed(line.recv(65536), inbox))
        line.sendall(conversation.frame([3], [wire.operation(3, 0, -1, 0, None)]))
        while not inbox.count():
            line.sendall(conversation.feed(line.recv(65536), inbox))
    assert [seen.id for seen in book.seen] == [name(3)]
    assert book.problems == []
