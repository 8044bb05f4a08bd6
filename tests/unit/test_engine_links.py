import asyncio
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from sandbox.exchange.commands import Result
from sandbox.exchange.engine_links import GatewayLink
from tests.unit.engine_fakes import Clock, FakeEngine, FakeLog, place_row


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.aborted = False
        self.unsent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def get_write_buffer_size(self) -> int:
        return self.unsent


def with_link(folder: Path, scenario: Callable[[GatewayLink, FakeTransport], None]) -> list[bytes]:
    """Run `scenario` on a fresh link, give the loop one tick, and return what was written after the greeting."""

    async def run() -> list[bytes]:
        link = GatewayLink(FakeEngine(folder, FakeLog(Clock())).core)
        transport = FakeTransport()
        link.connection_made(transport)
        assert orjson.loads(transport.writes[0])["s"]["leader"] is False
        scenario(link, transport)
        await asyncio.sleep(0)
        return transport.writes[1:]

    return asyncio.run(run())


def test_answers_of_one_tick_leave_in_one_write(tmp_path: Path) -> None:
    def scenario(link: GatewayLink, transport: FakeTransport) -> None:
        link.reply(1, Result(0, 5, 2, "O5", "New", 0))
        link.reply(2, Result(110072, 6, 2, "O5", "New", 0))
        link.answer(3, None)
        link.cannot_answer(4)

    written = with_link(tmp_path, scenario)
    assert [orjson.loads(line) for line in written] == [
        {"r": [[1, 0, 5, 2, "O5", "New", 0], [2, 110072, 6, 2, "O5", "New", 0]], "a": [[3, None]], "x": [4]}
    ]


def test_commands_to_a_follower_are_refused_whole_lines_only(tmp_path: Path) -> None:
    line = orjson.dumps({"c": [place_row(1)]}) + b"\n"

    def scenario(link: GatewayLink, transport: FakeTransport) -> None:
        link.data_received(b'{"hello":"gateway-0"}\n' + line[:20])
        link.data_received(line[20:] + line[:5])

    written = with_link(tmp_path, scenario)
    assert [orjson.loads(each)["r"][0][:2] for each in written] == [[1, 10016]]


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n", b"[1]\n", b'{"c":5}\n', b'{"c":[[]]}\n', b'{"q":[[1]]}\n'])
def test_who_does_not_speak_the_protocol_is_cut_off(tmp_path: Path, noise: bytes) -> None:
    def scenario(link: GatewayLink, transport: FakeTransport) -> None:
        link.data_received(noise)
        assert transport.aborted

    assert with_link(tmp_path, scenario) == []


def test_a_gateway_that_never_reads_is_cut_off(tmp_path: Path) -> None:
    def scenario(link: GatewayLink, transport: FakeTransport) -> None:
        transport.unsent = 9 * 2**20
        link.send_status({})
        assert transport.aborted

    assert with_link(tmp_path, scenario) == []


def test_answers_for_a_connection_that_is_gone_go_nowhere(tmp_path: Path) -> None:
    def scenario(link: GatewayLink, transport: FakeTransport) -> None:
        link.connection_lost(None)
        link.reply(1, Result(0, 5, 2, "O5", "New", 0))

    assert with_link(tmp_path, scenario) == []
