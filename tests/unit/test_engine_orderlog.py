import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from nats.errors import OutboundBufferLimitError

from sandbox.exchange.orderlog import LogBroken, LogUnavailable, OrderLog, Page, WrongLast


@dataclass
class Message:
    subject: str
    data: bytes = b""
    headers: dict[str, str] | None = None


@dataclass
class FakeClient:
    """Answers each publish with what `script` makes of it; an empty list is silence."""

    log: OrderLog
    script: Callable[[bytes, dict[str, str] | None], list[Message]]
    is_connected: bool = True
    reconnects: int = 0
    sent: list[tuple[str, bytes, dict[str, str] | None]] = field(default_factory=list)

    async def publish(self, subject: str, payload: bytes, reply: str, headers: dict[str, str] | None) -> None:
        self.sent.append((subject, payload, headers))
        for message in self.script(payload, headers):
            message.subject = reply
            await self.log._on_message(message)  # type: ignore[arg-type]

    async def force_reconnect(self) -> None:
        self.reconnects += 1


def connected(script: Callable[[bytes, dict[str, str] | None], list[Message]]) -> tuple[OrderLog, FakeClient]:
    log = OrderLog(["127.0.0.1:1"], "test")
    client = FakeClient(log, script)
    log._nc, log._inbox = client, "_INBOX.x"  # type: ignore[assignment]
    return log, client


def says(**body: Any) -> list[Message]:  # noqa: ANN401 - a JSON body
    return [Message("", orjson.dumps(body))]


def row(sequence: int) -> Message:
    return Message("", b"entry", {"Nats-Sequence": str(sequence)})


def end(pending: int) -> Message:
    return Message("", b"", {"Status": "204", "Nats-Num-Pending": str(pending)})


def test_append_expects_the_end_of_the_log() -> None:
    log, client = connected(lambda payload, headers: says(stream="ORD", seq=8))
    assert asyncio.run(log.append(b"x", 7, 1)) == 8
    assert client.sent == [("ord.tyo", b"x", {"Nats-Expected-Last-Sequence": "7"})]


def test_append_without_expectation_carries_no_header() -> None:
    log, client = connected(lambda payload, headers: says(stream="ORD", seq=8))
    asyncio.run(log.append(b"x", None, 1))
    assert client.sent[0][2] is None


def test_a_failed_compare_and_set_tells_where_the_log_ends() -> None:
    error = {"code": 400, "err_code": 10071, "description": "wrong last sequence: 2000"}
    log, _ = connected(lambda payload, headers: says(error=error, seq=0))
    with pytest.raises(WrongLast) as caught:
        asyncio.run(log.append(b"x", 7, 1))
    assert caught.value.actual == 2000


@pytest.mark.parametrize(
    "answer",
    [
        says(error={"code": 503, "err_code": 10076, "description": "JetStream not enabled"}),
        [Message("", b"", {"Status": "503"})],
    ],
)
def test_any_other_error_leaves_the_outcome_open(answer: list[Message]) -> None:
    log, _ = connected(lambda payload, headers: answer)
    with pytest.raises(LogUnavailable):
        asyncio.run(log.append(b"x", 7, 1))


def test_no_answer_moves_on_to_the_next_link() -> None:
    log, client = connected(lambda payload, headers: [])
    with pytest.raises(LogUnavailable, match=r"no answer on ord\.tyo"):
        asyncio.run(log.append(b"x", 7, 0.001))
    assert client.reconnects == 1


def test_nothing_is_sent_while_disconnected() -> None:
    log, client = connected(lambda payload, headers: says(seq=1))
    client.is_connected = False
    with pytest.raises(LogUnavailable, match="not connected"):
        asyncio.run(log.append(b"x", 0, 1))
    assert client.sent == []


def test_a_client_that_refuses_to_buffer_is_no_answer() -> None:
    def refuse(payload: bytes, headers: dict[str, str] | None) -> list[Message]:
        raise OutboundBufferLimitError

    log, _ = connected(refuse)
    with pytest.raises(LogUnavailable, match="OutboundBufferLimitError"):
        asyncio.run(log.append(b"x", 0, 1))


def test_a_lost_link_fails_what_is_under_way_at_once() -> None:
    async def scenario() -> None:
        log, _ = connected(lambda payload, headers: [])
        task = asyncio.create_task(log.append(b"x", 0, 60))
        await asyncio.sleep(0)
        await log._on_disconnect()
        with pytest.raises(LogUnavailable, match="link"):
            await task

    asyncio.run(scenario())


def test_pages_are_in_order_and_tell_whether_there_is_more() -> None:
    log, client = connected(lambda payload, headers: [row(5), row(6), end(3)])
    page = asyncio.run(log.read(5, 1))
    assert page == Page([(5, b"entry"), (6, b"entry")], more=True)
    assert orjson.loads(client.sent[0][1])["seq"] == 5


def test_beyond_the_end_there_is_an_empty_page() -> None:
    log, _ = connected(lambda payload, headers: [Message("", b"", {"Status": "404"})])
    assert asyncio.run(log.read(5, 1)) == Page([], more=False)


@pytest.mark.parametrize("sequences", [[6], [5, 7]])
def test_a_missing_entry_is_never_stepped_over(sequences: list[int]) -> None:
    log, _ = connected(lambda payload, headers: [*map(row, sequences), end(0)])
    with pytest.raises(LogBroken, match="is missing"):
        asyncio.run(log.read(5, 1))


def test_a_page_without_its_end_is_not_used() -> None:
    log, _ = connected(lambda payload, headers: [row(5)])
    with pytest.raises(LogUnavailable):
        asyncio.run(log.read(5, 0.001))


def test_a_mirror_takes_no_entries_and_a_log_made_anew_is_not_the_one_that_was_read() -> None:
    answers = [
        says(created="1", config={"name": "ORDDR", "mirror": {"name": "ORD"}}),
        says(created="1", config={"name": "ORDDR"}),
        says(error={"description": "stream not found"}),
        says(created="2", config={"name": "ORDDR"}),
    ]
    log, client = connected(lambda payload, headers: answers.pop(0))
    log.stream = "ORDDR"
    assert asyncio.run(log.takes_entries(1)) is False
    assert asyncio.run(log.takes_entries(1)) is True
    with pytest.raises(LogUnavailable, match="stream not found"):
        asyncio.run(log.takes_entries(1))
    with pytest.raises(LogBroken, match="ORDDR of 1 is gone, another was made at 2"):
        asyncio.run(log.takes_entries(1))
    assert client.sent[0][0] == "$JS.API.STREAM.INFO.ORDDR"
