"""The wires that the suite puts to the test; a new one is one more entry in `CASES`."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson

from loadgen import venues
from loadgen.builder import Row, build
from loadgen.trace import Trace
from loadgen.venues import keys
from loadgen.venues.bybit_rest import BybitRest
from loadgen.venues.bybit_ws import TradeWire
from loadgen.venues.endpoints import endpoints
from loadgen.venues.fix44 import Fix44
from loadgen.venues.http import HttpWire
from loadgen.venues.sandbox_binary import SandboxBinary
from loadgen.venues.wire import Answer, Conversation, Inbox, Meaning, Wire
from tests.contract.fakes import Book, Fake, Word
from tests.contract.fakes.fix import FixFake
from tests.contract.fakes.http import NOW_MS, SECRETS, BinanceFake, BybitRestFake, PlainFake
from tests.contract.fakes.sandbox import BinaryFake, WebSocketFake

RUN = "drill-20261121-101500-abcd"[:25]
EXAMPLE = Path(__file__).parents[3] / "examples" / "binance_spot" / "muster_binance_spot.py"


def example() -> ModuleType:
    """The module of the documented example."""
    spec = importlib.util.spec_from_file_location("muster_binance_spot", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def trace() -> Trace:
    """Rows 0 to 3 place, 4 and 5 amend, 6 cancels."""

    def row(op: str, **more: Any) -> Row:  # noqa: ANN401 - fields of a row
        return Row(len(rows) * 1000, 0, "somebody", op, "BTCUSDT", **more)

    rows: list[Row] = []
    rows.append(row("place", side="Buy", type="Limit", tif="GTC", price8=10050000000, qty8=150000000, client_id="a"))
    rows.append(row("place", side="Sell", type="Market", tif="IOC", qty8=50000000, client_id="b"))
    rows.append(row("place", side="Sell", type="Limit", tif="PostOnly", price8=10100000000, qty8=1e8, client_id="c"))
    rows.append(row("place", side="Buy", type="Limit", tif="IOC", price8=10000000000, qty8=200000000, client_id="d"))
    rows.append(row("amend", price8=10000000000, parent="a"))
    rows.append(row("amend", qty8=100000000, parent="a"))
    rows.append(row("cancel", parent="a"))
    for one in rows:
        one.qty8 = None if one.qty8 is None else int(one.qty8)
    return build("sample", rows, {})


ALL = {
    Meaning.OK: None,
    Meaning.REJECT: "110001",
    Meaning.DUPLICATE: "110072",
    Meaning.UNAVAILABLE: "10016",
    Meaning.UNKNOWN: "987654",
}


@dataclass(frozen=True)
class Case:
    """One wire: how it is made, who is at its other end, and what its venue calls things."""

    name: str
    make: Callable[[Trace, Path], Wire]
    fake: Callable[[Book], Fake]
    codes: Mapping[Meaning, str | None] = field(default_factory=lambda: ALL)  # of the answers to a place
    asked: Sequence[int] = (0, 4, 6)  # rows that can be asked for
    garbage: bytes = b"\x00\xff garbage"
    numbered: bool = False  # the answers carry seq and epoch
    signed: bool = True
    coded: bool = True  # its venue says why, not only that

    def __str__(self) -> str:
        return self.name


def _wall() -> float:
    return NOW_MS / 1000


def _keys(folder: Path) -> dict[str, Any]:
    path = folder / "keys.json"
    if not path.exists():
        path.write_bytes(orjson.dumps([{"key": key, "secret": secret} for key, secret in SECRETS.items()]))
    return {"keys": {"file": str(path)}}


def _sandbox(folder: Path) -> dict[str, Any]:
    path = folder / "secret"
    if not path.exists():
        path.write_bytes(b"not really a secret\n")
    return {"secret_file": str(path)}


REST = {"rest": ["http://venue.test:8080"]}
TEMPLATES = {
    "place": {
        "path": "/orders",
        "body": {name: f"{{{{{name}}}}}" for name in ("id", "symbol", "side", "type", "tif", "price", "qty")},
    },
    "cancel": {"method": "DELETE", "path": "/orders/{{server_id}}?id={{id}}&symbol={{symbol}}"},
    "amend": {
        "method": "PATCH",
        "path": "/orders/{{server_id}}",
        "body": '{"id":"{{id}}","symbol":"{{symbol}}","price":"{{price}}","qty":"{{qty}}"}',
    },
    "status": {"method": "GET", "path": "/orders/{{id}}"},
}


def generic(folder: Path) -> dict[str, Any]:
    """A venue of templates below /api."""
    return {
        "rest": ["http://venue.test:8080/api"],
        "templates": TEMPLATES,
        "headers": {"Authorization": "Bearer staging"},
        "correlate": {"from": "/order/id"},
    }


def _ws(trace: Trace, folder: Path) -> Wire:
    venue = {"ws": ["ws://venue.test:8080/v5/trade"], **_sandbox(folder)}
    return TradeWire(trace, RUN, endpoints(venue, "ws", "ws"), keys.of(venue), wall=_wall)


def _binary(trace: Trace, folder: Path) -> Wire:
    venue = {"binary": ["tcp://venue.test:8080"], **_sandbox(folder)}
    return SandboxBinary(trace, RUN, endpoints(venue, "binary", "tcp"), keys.of(venue), wall=_wall)


def _binance(trace: Trace, folder: Path) -> Wire:
    made: Wire = example().BinanceWire(trace, RUN, {**REST, **_keys(folder)}, wall=_wall)
    return made


CASES = [
    Case("sandbox", _ws, WebSocketFake, garbage=b"\x81\x85", numbered=True),
    Case("sandbox-binary", _binary, BinaryFake, garbage=b"\xff" * 32, numbered=True),
    Case(
        "sandbox-rest",
        lambda trace, folder: BybitRest(trace, RUN, {**REST, **_sandbox(folder)}, dialect="sandbox", wall=_wall),
        lambda book: BybitRestFake(book, sandbox=True).connection(),
        numbered=True,
    ),
    Case(
        "bybit-v5",
        lambda trace, folder: BybitRest(trace, RUN, {**REST, **_keys(folder)}, wall=_wall),
        lambda book: BybitRestFake(book, sandbox=False).connection(),
        codes={**ALL, Meaning.UNAVAILABLE: "HTTP 503"},
        asked=(0,),
    ),
    Case(
        "fix44",
        lambda trace, folder: Fix44(
            trace, RUN, {"fix": ["tcp://venue.test:8080"], "target": "VENUE", **_keys(folder)}, wall=_wall
        ),
        FixFake,
        codes={
            Meaning.OK: None,
            Meaning.REJECT: "OrdRejReason 1",
            Meaning.DUPLICATE: "OrdRejReason 6",
            Meaning.UNAVAILABLE: "BusinessRejectReason 4",
            Meaning.UNKNOWN: "OrdRejReason 99",
        },
    ),
    Case(
        "http",
        lambda trace, folder: HttpWire(trace, RUN, generic(folder), wall=_wall),
        lambda book: PlainFake(book).connection(),
        codes={
            Meaning.OK: None,
            Meaning.REJECT: "HTTP 409",
            Meaning.UNAVAILABLE: "HTTP 503",
            Meaning.UNKNOWN: "HTTP 500",
        },
        signed=False,
        coded=False,
    ),
    Case(
        "binance-spot",
        _binance,
        lambda book: BinanceFake(book).connection(),
        codes={
            Meaning.OK: None,
            Meaning.REJECT: "-2011 Unknown order sent.",
            Meaning.DUPLICATE: "-2010 Duplicate order sent.",
            Meaning.UNAVAILABLE: "-1003",
            Meaning.UNKNOWN: "-987",
        },
        asked=(0,),
    ),
]
WORDS: dict[Meaning, Word] = {
    Meaning.OK: "ok",
    Meaning.REJECT: "reject",
    Meaning.DUPLICATE: "duplicate",
    Meaning.UNAVAILABLE: "unavailable",
    Meaning.UNKNOWN: "unknown",
}


class Talk:
    """A session's connection between a wire and a fake, driven by hand."""

    def __init__(self, wire: Wire, fake: Fake, session: int = 0, step: int | None = None) -> None:
        self.wire, self.fake, self.session, self.step = wire, fake, session, step
        self.inbox = Inbox()
        self.conversation: Conversation = wire.converse(session)
        out = self.conversation.greet()
        while out:
            out = self.hear(fake.receive(out))
        assert self.conversation.ready

    def hear(self, data: bytes) -> bytes:
        """Feed bytes of the venue, `step` at a time; returns what is to be sent."""
        step = self.step or max(1, len(data))
        parts = [data[at : at + step] for at in range(0, len(data), step)]
        return b"".join([self.conversation.feed(part, self.inbox) for part in parts])

    def send(self, numbers: Sequence[int], payloads: Sequence[bytes]) -> bytes:
        """What the venue says to messages that go out together."""
        return self.fake.receive(self.conversation.frame(numbers, payloads))

    def operate(self, number: int, row: int, parent: int = -1) -> list[Answer]:
        """One operation, and what was heard of it."""
        given = f"o-{RUN}-{parent:010d}".encode() if self.wire.needs_server_id and parent >= 0 else None
        payload = self.wire.operation(number, row, parent, self.session, given)
        self.hear(self.send([number], [payload]))
        return self.heard()

    def ask(self, number: int, row: int) -> list[Answer]:
        """One status question, and what was heard of it."""
        question = self.wire.status(number, row, self.session)
        assert question is not None
        self.hear(self.send([number], [question]))
        return self.heard()

    def heard(self) -> list[Answer]:
        """Everything in the inbox, one by one, which is empty then."""
        inbox, self.inbox = self.inbox, Inbox()
        found = [Answer(int(n), Meaning.OK, seq=int(seq), epoch=int(epoch)) for n, seq, epoch in inbox.found]
        for columns in inbox.bulk:
            found += [
                Answer(n, Meaning.OK, seq=seq, epoch=epoch)
                for n, seq, epoch in zip(*(column.tolist() for column in columns), strict=True)
            ]
        return found + inbox.answers


def supported(wire: Wire, trace: Trace) -> list[int]:
    """Rows of a trace that a wire can render."""
    codes, names = trace.codes("op")
    return [row for row in range(trace.rows) if names[codes[row]] in venues.kinds(wire)]
