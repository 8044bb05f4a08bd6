"""The binary protocol of a real gateway: what goes in there stands in the journal like everything else."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import orjson
import pytest

from loadgen.builder import Row, build
from loadgen.venues.endpoints import endpoint
from loadgen.venues.sandbox_binary import BinaryConversation, SandboxBinary
from loadgen.venues.wire import Answer, Inbox, Meaning, ProtocolError
from sandbox.exchange.signing import account_secret
from tests.sandbox.box import TestBox, exchange, until

pytestmark = [pytest.mark.sandbox, pytest.mark.untimed]

UNIT = 10**8
ROWS = [
    Row(0, 0, "a", "place", "BTCUSDT", "Buy", "Limit", "PostOnly", 30_000 * UNIT, UNIT // 2, "c-1"),
    Row(1, 0, "a", "amend", "BTCUSDT", price8=29_999 * UNIT, parent="c-1"),
    Row(2, 0, "a", "cancel", "BTCUSDT", parent="c-1"),
    Row(3, 0, "a", "cancel", "BTCUSDT", parent="c-1"),
]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestBox]:
    with exchange(tmp_path_factory.mktemp("box")) as made:
        yield made


class Client:
    """One connection to the binary port of a gateway."""

    def __init__(self, wire: SandboxBinary, gateway: int) -> None:
        target = wire.endpoints[gateway]
        self.socket = socket.create_connection((target.host, target.port), timeout=5)
        self.conversation: BinaryConversation = wire.converse(0)
        self.inbox = Inbox()
        self.send(self.conversation.greet())
        while not self.conversation.ready:
            self.read()

    def send(self, data: bytes | bytearray) -> None:
        self.socket.sendall(data)

    def read(self) -> None:
        data = self.socket.recv(1 << 16)
        assert data, "hung up"
        self.conversation.feed(data, self.inbox)

    def answers(self, count: int) -> tuple[list[int], list[Answer]]:
        """Numbers of the plain oks, and the other answers, once `count` answers are there."""
        while len(self.inbox.answers) + sum(len(piece[0]) for piece in self.inbox.bulk) < count:
            self.read()
        inbox, self.inbox = self.inbox, Inbox()
        return [number for piece in inbox.bulk for number in piece[0].tolist()], inbox.answers


def wire_of(venue: dict[str, Any]) -> SandboxBinary:
    master = Path(venue["secret_file"]).read_bytes().strip()
    return SandboxBinary(
        build("t", ROWS, {}),
        "run-7",
        [endpoint(url, "tcp") for url in venue["binary"]],
        lambda session: (f"acct-{session}", account_secret(master, f"acct-{session}").encode()),
    )


def journal(box: TestBox, count: int) -> list[dict[str, Any]]:
    """The first rows of one engine, which may be a moment behind."""
    url = f"{box.describe()['venue']['audit'][0]}/audit/journal?from=1&to={count}"

    def rows() -> list[dict[str, Any]]:
        with urlopen(url, timeout=5) as answer:
            found = [orjson.loads(line) for line in answer.read().splitlines()]
        return found if len(found) == count else []

    return until(rows)


def test_orders_over_the_binary_port_stand_in_the_journal(box: TestBox) -> None:
    venue = box.describe()["venue"]
    assert [url.split(":")[0] for url in venue["binary"]] == ["tcp", "tcp"]
    wire = wire_of(venue)
    first, second = Client(wire, 0), Client(wire, 1)
    numbers = np.array([40, 41])
    data, _ = wire.window(numbers, np.array([0, 1]), np.array([-1, 40]), np.full(2, time.time_ns() // 1_000_000))
    first.send(data)
    assert first.answers(2) == ([40, 41], [])
    wire.tick()
    second.send(second.conversation.frame([42, 43], [wire.operation(n, n - 40, 40, 0, None) for n in (42, 43)]))
    oks, [reject] = second.answers(2)
    assert oks == [42]
    assert (reject.number, reject.meaning, reject.code) == (43, Meaning.REJECT, "110001")

    second.send(b"".join(wire.status(number, number - 40, 0) for number in (40, 43)) + wire.status(99, 3, 0))
    _, told = second.answers(3)
    rows = {row["op_id"]: row for row in journal(box, 4)}
    assert {entry.number: (entry.found, entry.meaning, entry.code) for entry in told} == {
        40: (True, Meaning.OK, None),
        43: (True, Meaning.REJECT, "110001"),
        99: (False, Meaning.OK, None),
    }
    assert {entry.number: entry.seq for entry in told if entry.found} == {
        40: rows["run-7-0000000040"]["seq"],
        43: rows["run-7-0000000043"]["seq"],
    }
    fields = ("account", "op_id", "kind", "price", "parent", "client_id", "code")
    place, amend, cancel, again = ([row[name] for name in fields] for row in rows.values())
    ids = [f"run-7-{number:010}" for number in range(40, 44)]
    assert place == ["acct-0", ids[0], "place", "30000", None, ids[0], 0]
    assert amend == ["acct-0", ids[1], "amend", "29999", ids[0], "", 0]
    assert cancel == ["acct-0", ids[2], "cancel", None, ids[0], "", 0]
    assert again == ["acct-0", ids[3], "cancel", None, ids[0], "", 110001]
    first.socket.close()
    second.socket.close()


def test_a_gateway_that_is_stopped_says_so(box: TestBox) -> None:
    venue = box.describe()["venue"]
    client = Client(wire_of(venue), 1)
    until(lambda: box.call("GET", "/status", base=venue["rest"][1])[1]["connections"] == 1)
    box.act("gateway-1", "kill", {"signal": "TERM"})
    with pytest.raises(ProtocolError, match="hung up by the gateway: the gateway stops"):
        client.answers(1)
    client.socket.close()
    until(lambda: box.view("gateway-1")["ready"])
