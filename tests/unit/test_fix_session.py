"""The session layer of FIX: logon, counting, gaps, heartbeats, and what ends a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadgen.venues.fix44 import Fix44
from loadgen.venues.fix_session import FixConversation, Login
from loadgen.venues.wire import Inbox, Meaning, ProtocolError
from tests.contract.fakes import Book
from tests.contract.fakes.cases import CASES, RUN, Talk, trace
from tests.contract.fakes.fix import FixFake, message

FIX = next(case for case in CASES if case.name == "fix44")
NAME = f"{RUN}-0000000005"


@pytest.fixture
def wire(tmp_path: Path) -> Fix44:
    made = FIX.make(trace(), tmp_path)
    assert isinstance(made, Fix44)
    return made


@pytest.fixture
def fake() -> FixFake:
    return FixFake(Book())


@pytest.fixture
def talk(wire: Fix44, fake: FixFake) -> Talk:
    return Talk(wire, fake)


def said(talk: Talk, kind: str, *fields: str) -> list[dict[str, str]]:
    """What the client sends back to one message of the venue."""
    fake = talk.fake
    assert isinstance(fake, FixFake)
    before = len(fake.taken)
    fake.receive(talk.hear(fake.send(kind, *fields)))
    return fake.taken[before:]


def test_a_test_request_is_answered_with_its_own_words(talk: Talk, fake: FixFake) -> None:
    (beat,) = said(talk, "1", "112=are you there")
    assert (beat["35"], beat["112"]) == ("0", "are you there")
    assert said(talk, "0") == []
    assert fake.book.problems == []


def test_what_is_asked_for_again_is_filled_with_a_gap(talk: Talk, fake: FixFake) -> None:
    talk.operate(5, 0)
    talk.operate(6, 1)
    (fill,) = said(talk, "2", "7=2", "16=0")
    assert {tag: fill[tag] for tag in ("35", "34", "43", "123", "36")} == {
        "35": "4",
        "34": "2",
        "43": "Y",
        "123": "Y",
        "36": "4",
    }
    talk.operate(7, 0)
    assert fake.book.problems == []  # the count goes on as before


def test_a_resend_request_for_nothing_is_left_alone(talk: Talk) -> None:
    assert said(talk, "2", "7=99", "16=0") == []


def test_a_gap_is_asked_for_once_and_nothing_is_lost(talk: Talk, fake: FixFake) -> None:
    lost = fake.send("8", f"11={NAME}", "37=o", "150=0", "39=0")
    later = f"{RUN}-0000000006"
    (again,) = said(talk, "8", f"11={later}", "37=o", "150=0", "39=0")
    assert (again["35"], again["7"], again["16"]) == ("2", "2", "2")
    assert [answer.number for answer in talk.heard()] == [6]
    resent = message("8", 2, "43=Y", f"11={NAME}", "37=o", "150=0", "39=0")
    assert len(resent) > len(lost)
    assert talk.hear(resent) == b""
    assert [answer.number for answer in talk.heard()] == [5]
    assert said(talk, "0") == []


def test_a_venue_may_fill_a_gap_or_reset_its_count(talk: Talk, fake: FixFake) -> None:
    assert said(talk, "4", "123=Y", "36=10") == []
    fake.next_out = 10
    assert said(talk, "0") == []
    assert talk.hear(message("4", 50, "36=80")) == b""
    fake.next_out = 80
    assert said(talk, "0") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (message("0", 1), "sequence number 1 where 2"),
        (message("5", 2, "58=maintenance"), "logged out: maintenance"),
        (message("0", 2, target="key-1"), "from 'VENUE' to 'key-1'"),
        (message("0", 2).replace(b"34=2", b"34=x"), "length or checksum"),
        (message("0", 2).replace(b"9=5", b"9=4"), "length or checksum"),
        (b"8=FIX.4.2\x019=5\x01", "not FIX 4.4"),
        (b"8=FIX.4.4\x019=-5\x01", "body length"),
        (b"8=FIX.4.4\x019=99999999\x01", "body length"),
        (b"8=FIX.4.4\x019=123456789", "without an end"),
    ],
)
def test_what_ends_a_session(talk: Talk, text: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        talk.hear(text)


@pytest.mark.parametrize("kind", ["5", "3"])
def test_a_refused_logon_says_why(wire: Fix44, kind: str) -> None:
    conversation = wire.converse(0)
    conversation.greet()
    with pytest.raises(ProtocolError, match="logon refused: wrong password"):
        conversation.feed(message(kind, 1, "58=wrong password"), Inbox())
    assert not conversation.ready


def test_nothing_may_come_before_the_logon(wire: Fix44) -> None:
    conversation = wire.converse(0)
    conversation.greet()
    with pytest.raises(ProtocolError, match="before the logon"):
        conversation.feed(message("8", 1, f"11={NAME}", "150=0"), Inbox())


@pytest.mark.parametrize(
    ("fields", "meaning"),
    [
        (("150=A", "39=A"), None),
        (("150=6", "39=6"), None),
        (("150=0", "39=0"), Meaning.OK),
        (("150=F", "39=2"), Meaning.OK),
        (("150=4", "39=4"), Meaning.OK),
        (("150=8", "39=8", "103=2"), Meaning.UNAVAILABLE),
        (("150=8", "39=8", "103=6"), Meaning.DUPLICATE),
        (("150=8", "39=8"), Meaning.UNKNOWN),
        (("150=8", "39=8", "103=4711"), Meaning.UNKNOWN),
        ((), None),
    ],
)
def test_execution_reports(talk: Talk, fields: tuple[str, ...], meaning: Meaning | None) -> None:
    said(talk, "8", f"11={NAME}", "37=o-5", *fields)
    assert [(answer.number, answer.meaning) for answer in talk.heard()] == ([(5, meaning)] if meaning else [])


def test_orders_of_others_are_left_alone(talk: Talk) -> None:
    for name in ("somebody-0000000005", f"{RUN}-5", f"{RUN}-00000000x5", RUN):
        said(talk, "8", f"11={name}", "150=0", "39=0")
        said(talk, "9", f"11={name}", "102=0", "39=0")
    said(talk, "3", "45=4711", "373=1")
    assert talk.heard() == []


def test_a_pending_order_is_asked_for_again(talk: Talk) -> None:
    said(talk, "8", f"11={RUN}-0000000009", f"790=q{NAME}", "150=I", "39=A")
    (answer,) = talk.heard()
    assert (answer.number, answer.asked, answer.meaning) == (5, True, Meaning.UNAVAILABLE)


def test_a_reject_is_found_by_the_message_it_names(talk: Talk, fake: FixFake) -> None:
    fake.book.word = "silent"
    assert talk.operate(5, 0) == []
    said(talk, "3", "45=2", "373=5", "58=value")
    (answer,) = talk.heard()
    assert (answer.number, answer.meaning, answer.code) == (5, Meaning.REJECT, "SessionRejectReason 5")


def test_a_password_is_never_shown(wire: Fix44) -> None:
    login = Login("me", "VENUE", 30, "user", "hunter2")
    assert "hunter2" not in repr(login)
    conversation = FixConversation(login, wire.read, lambda: b"20231114-22:13:20.123")
    assert b"554=hunter2\x01" in conversation.greet()
