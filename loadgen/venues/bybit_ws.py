"""The trading WebSocket of Bybit's V5 API, which the sandbox speaks too: rendering in bulk, reading in bulk.

A message is made of a part that never changes, rendered once a row of the trace, and three numbers of fixed width
(operation, timestamp, order) that are written into it. All frames of a replay are masked with one random key, so that
the masked form of the unchanging part is kept.
"""

from __future__ import annotations

import base64
import random
import re
import time
from collections.abc import Callable, Sequence
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import orjson

from loadgen.trace import Trace
from loadgen.venues import ws
from loadgen.venues.bybit_v5 import (
    BUSINESS_REJECTS,
    RECV_WINDOW_MS,
    Arguments,
    classify,
    signature,
)
from loadgen.venues.endpoints import authority
from loadgen.venues.wire import Answer, Endpoint, Inbox, Ints, Meaning, ProtocolError

_OPS = {"place": "order.create", "cancel": "order.cancel", "amend": "order.amend"}
_WINDOW = str(RECV_WINDOW_MS).encode()
_HEADER = 8  # of a frame of 126 to 65,535 bytes: 4 and the mask
_FOUR_DIGITS = np.array([f"{number:04d}".encode() for number in range(10_000)], "S4").view(np.uint32)
_FIELDS = itemgetter(0, 1, 2)
_CACHE_BYTES = 256 << 20


class TradeWire:
    """See `loadgen.venues.wire.Wire`. `secret(session)` gives API key and secret of a session, for the sign-in.

    `statuses`: the venue can be asked over this connection; `sequenced`: its answers carry seq and epoch.
    """

    prerendered = True
    serial = False
    needs_server_id = False
    business = frozenset(str(code) for code in BUSINESS_REJECTS)

    def __init__(
        self,
        trace: Trace,
        run_id: str,
        endpoints: Sequence[Endpoint],
        secret: Callable[[int], tuple[str, bytes]],
        *,
        category: str | None = None,
        statuses: bool = True,
        seed: int = 1,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.endpoints = endpoints
        self._secret, self._statuses, self._wall = secret, statuses, wall
        self._prefix = f"{run_id}-"
        self._rng = random.Random(seed)
        self._templates = _Templates(trace, self._prefix, Arguments(trace, category), random.randbytes(4))
        self._reader = Reader(self._prefix)
        self._head = b""
        self.tick()

    def tick(self) -> None:
        """Take the wall clock anew: messages rendered one by one until the next call carry this timestamp."""
        self._head = _head(str(int(self._wall() * 1000)).encode())

    def warm(self, rows: Sequence[int]) -> None:
        """Render the unchanging part of rows."""
        self._templates.warm(rows)

    def window(self, numbers: Ints, rows: Ints, parents: Ints, sent_ms: Ints) -> tuple[bytearray, Ints]:
        """Frames of many operations, and where each starts."""
        return self._templates.fill(numbers, rows, parents, sent_ms)

    def operation(self, number: int, row: int, parent: int, session: int, server_id: bytes | None) -> bytes:
        """The message of one operation, with the timestamp of the last `tick`."""
        kind, args = self._templates.parts(row)
        link = number if kind == "place" else parent
        return _message(self._prefix, number, self._head, kind, link, args)

    def status(self, number: int, row: int, session: int) -> bytes | None:
        """The question what became of an operation."""
        if not self._statuses:
            return None
        kind, _ = self._templates.parts(row)
        field = "orderLinkId" if kind == "place" else "reqId"
        rest = f'order.status","args":[{{"{field}":"{self._prefix}{number:010d}"}}]}}'
        return f'{{"reqId":"q{self._prefix}{number:010d}'.encode() + self._head + rest.encode()

    def converse(self, session: int, target: Endpoint | None = None) -> TradeConversation:
        """A connection: upgrade, sign-in, then messages."""
        return TradeConversation(self._auth(session), self._reader, self._rng, target or self.endpoints[0])

    def _auth(self, session: int) -> Callable[[], bytes]:
        def message() -> bytes:
            key, secret = self._secret(session)
            expires = int(self._wall() * 1000) + RECV_WINDOW_MS
            args = [key, expires, signature(secret, f"GET/realtime{expires}")]
            return orjson.dumps({"reqId": "auth", "op": "auth", "args": args})

        return message


def _head(stamp: bytes) -> bytes:
    return b'","header":{"X-BAPI-TIMESTAMP":"' + stamp + b'","X-BAPI-RECV-WINDOW":"' + _WINDOW + b'"},"op":"'


def _message(prefix: str, number: int, head: bytes, kind: str, link: int, args: bytes) -> bytes:
    middle = f'{_OPS[kind]}","args":[{{"orderLinkId":"{prefix}{link:010d}"'
    return f'{{"reqId":"{prefix}{number:010d}'.encode() + head + middle.encode() + args


class _Templates:
    """Masked frames by row of the trace, with zeros where the three numbers go."""

    def __init__(self, trace: Trace, prefix: str, arguments: Arguments, mask: bytes) -> None:
        self._prefix, self._arguments, self._mask = prefix, arguments, mask
        codes, names = trace.codes("op")
        self._kinds, self._names = codes, names
        empty = _head(b"0" * 13)
        start = len('{"reqId":"') + len(prefix)
        stamp = start + 10 + empty.index(b"0" * 13)
        self._slots = (start, stamp)
        self._links = np.array(
            [
                start + 10 + len(empty) + len(f'{_OPS.get(name, "")}","args":[{{"orderLinkId":"{prefix}')
                for name in names
            ],
            np.int64,
        )
        self._empty = empty
        self._frames: dict[int, bytes] = {}
        self._bytes = 0
        self._place = names.index("place") if "place" in names else -1

    def warm(self, rows: Sequence[int]) -> None:
        """Render frames of rows, as far as they are kept."""
        for row in rows:
            if self._bytes > _CACHE_BYTES:
                return
            self._frame(row)

    def parts(self, row: int) -> tuple[str, bytes]:
        """Kind of a row, and its arguments behind the order's id."""
        return self._names[self._kinds[row]], self._arguments.of(row)

    def fill(self, numbers: Ints, rows: Ints, parents: Ints, sent_ms: Ints) -> tuple[bytearray, Ints]:
        """Frames of many operations, and where each starts."""
        frames = self._frames
        try:
            parts = [frames[row] for row in rows.tolist()]
        except KeyError:
            parts = [self._frame(row) for row in rows.tolist()]
        starts = np.zeros(len(parts) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)), out=starts[1:])
        data = bytearray().join(parts)
        view = np.frombuffer(data, np.uint8)
        at = starts[:-1] + _HEADER
        kinds = self._kinds[rows]
        links = np.where(kinds == self._place, numbers, parents)
        self._write(view, at, self._slots[0], numbers, 10)
        self._write(view, at, self._slots[1], sent_ms, 13)
        slots = self._links[
            kinds
        ]  # the names of operations differ in length, and with them where the order's id stands
        for slot in set(self._links.tolist()):
            mine = slots == slot
            self._write(view, at[mine], slot, links[mine], 10)
        return data, starts

    def _write(self, view: npt.NDArray[np.uint8], at: Ints, slot: int, values: Ints, width: int) -> None:
        """Write decimal digits, masked, at a slot (offset within the payload) of every message."""
        quads = np.empty((len(values), 4), np.uint32)
        for column in (3, 2, 1, 0):
            values, rest = np.divmod(values, 10_000)
            quads[:, column] = _FOUR_DIGITS[rest]
        columns = np.arange(slot, slot + width)
        mask = np.frombuffer(self._mask, np.uint8)[columns % 4]
        view[at[:, None] + columns] = quads.view(np.uint8)[:, -width:] ^ mask

    def _frame(self, row: int) -> bytes:
        frame = self._frames.get(row)
        if frame is not None:
            return frame
        kind, args = self.parts(row)
        payload = _message(self._prefix, 0, self._empty, kind, 0, args)
        size = len(payload)
        mask = int.from_bytes((self._mask * (size // 4 + 1))[:size], "little")
        masked = (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")
        frame = b"\x81\xfe" + size.to_bytes(2, "big") + self._mask + masked
        if self._bytes > _CACHE_BYTES:
            self._frames.clear()  # a long trace: what was rendered longest ago is not needed soon
            self._bytes = 0
        self._frames[row] = frame
        self._bytes += size + 100
        return frame


class Reader:
    """Answers of the venue to operations of one run."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        name = re.escape(prefix.encode())
        # a plain ok from end to end, as the venue writes it; or else everything that is left
        self.plain = re.compile(
            rb'(?s:\x81(?:\x7e..|[\x00-\x7d]))\{"reqId":"'
            + name
            + rb'(\d{10})","retCode":0,"retMsg":"OK","op":"[^"]*",'
            rb'"data":\{"orderId":"[^"]*","orderLinkId":"[^"]*","seq":(\d{1,18}),"epoch":(\d{1,9})[^{}]*\}\}|((?s:.+))'
        )

    def answer(self, message: dict[str, object]) -> Answer | None:
        """What a message says; None where it is no answer to an operation of ours."""
        request = str(message.get("reqId", ""))
        asked = request.startswith("q")
        digits = request[1 if asked else 0 :].removeprefix(self._prefix)
        if len(digits) != 10 or not (digits.isascii() and digits.isdecimal()) or self._prefix not in request:
            return None
        code = _int(message.get("retCode"), -1)
        data = message.get("data")
        data = data if isinstance(data, dict) else {}
        found = Answer(int(digits), classify(code), str(code), asked)
        found.seq, found.epoch = _int(data.get("seq"), 0), _int(data.get("epoch"), 0)
        if asked and found.meaning is not Meaning.OK:
            found.meaning = Meaning.UNAVAILABLE  # a refused question says nothing of the operation
        elif asked:
            found.found = bool(data.get("found"))
            if data.get("code"):
                found.meaning, found.code = Meaning.REJECT, str(data["code"])
        return found


def _int(value: object, default: int) -> int:
    return value if isinstance(value, int) and abs(value) < 1 << 62 else default


class TradeConversation:
    """One connection; see `loadgen.venues.wire.Conversation`."""

    def __init__(self, auth: Callable[[], bytes], reader: Reader, rng: random.Random, target: Endpoint) -> None:
        self.ready = False
        self._auth, self._reader, self._rng = auth, reader, rng
        self._path, self._host = target.path, authority(target)
        self._key = base64.b64encode(rng.randbytes(16))
        self._upgraded = False
        self._rest = b""
        self._joiner = ws.Joiner()

    def greet(self) -> bytes:
        """The upgrade request."""
        return ws.request(self._host, self._path, self._key)

    def frame(self, numbers: Sequence[int], payloads: Sequence[bytes]) -> bytes:
        """One text frame a message."""
        rng = self._rng
        return b"".join([ws.frame(payload, rng) for payload in payloads])

    def ping(self) -> bytes:
        """The API's own ping: it proves more than one of the transport."""
        return ws.frame(b'{"op":"ping"}', self._rng)

    def feed(self, data: bytes, inbox: Inbox) -> bytes:
        """Take bytes of the venue; returns what is to be sent at once."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        if self._upgraded:
            return self._messages(data, inbox)
        head, blank, rest = data.partition(b"\r\n\r\n")
        if not blank:
            if len(data) > 65536:
                raise ProtocolError("the answer to the upgrade has no end")
            self._rest = data
            return b""
        ws.check_response(head, self._key)
        self._upgraded = True
        return ws.frame(self._auth(), self._rng) + (self._messages(rest, inbox) if rest else b"")

    def _messages(self, data: bytes, inbox: Inbox) -> bytes:
        """Plain oks in bulk as far as they go, what is left frame by frame."""
        reply, at = b"", 0
        while at < len(data):
            if self.ready:
                found = self._reader.plain.findall(data, at)
                data, at = found[-1][3], 0
                inbox.found += map(_FIELDS, found[:-1] if data else found)
            frame = ws.next_frame(data, at)
            if frame is None:
                break
            head, payload, at = frame
            message = self._joiner.add(head, payload)
            if message is not None:
                reply += self._message(*message, inbox)
        self._rest = data[at:]
        return reply

    def _message(self, opcode: int, payload: bytes, inbox: Inbox) -> bytes:
        if opcode == ws.CLOSE:
            raise ProtocolError("closed by the gateway")
        if opcode == ws.PING:
            return ws.frame(payload, self._rng, ws.PONG)
        if opcode not in (ws.TEXT, ws.BINARY):
            return b""
        try:
            message = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            raise ProtocolError("a message is not JSON") from error
        if not isinstance(message, dict):
            raise ProtocolError("a message is not a JSON object")
        if message.get("op") == "auth":
            if message.get("retCode") != 0:
                raise ProtocolError(f"sign-in refused: {message.get('retCode')} {message.get('retMsg')}")
            self.ready = True
        else:
            answer = self._reader.answer(message)
            if answer is not None:
                inbox.answers.append(answer)
        return b""
