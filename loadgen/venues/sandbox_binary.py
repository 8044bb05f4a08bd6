"""The sandbox's binary protocol, as a client speaks it: orders rendered and answers read in bulk, by columns.

Little-endian; every message says its length, type and version in its first four bytes. An order message is 64 bytes,
eight columns of 64 bits; everything that a gateway sends is 32 bytes, four such columns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from struct import Struct

import numpy as np
import numpy.typing as npt

from drills.errors import DefinitionError
from loadgen.trace import Trace
from loadgen.venues.bybit_v5 import BUSINESS_REJECTS, RECV_WINDOW_MS, classify, signature
from loadgen.venues.wire import Answer, Endpoint, Inbox, Ints, Meaning, ProtocolError

VERSION = 1
LOGIN, SYMBOLS, PING = 1, 2, 3
PLACE, CANCEL, AMEND, ORDER_STATUS, REQUEST_STATUS = 16, 17, 18, 19, 20
LOGGED_IN, PONG, ANSWER, STATUS, BYE = 129, 130, 144, 145, 255

_LOGIN = Struct("<HBBIq32s32s32s")
_ORDER = Struct("<Qqqqqqq8x")
_ANSWER = Struct("<HBBiqqIB3x")
_BYE = Struct("<HBBi24s")
_HEAD = Struct("<HBB")
_SIZE, _ANSWER_SIZE, _SYMBOL_SIZE = _ORDER.size, _ANSWER.size, 20
_PLAIN = _ANSWER_SIZE | ANSWER << 16 | VERSION << 24  # the first eight bytes of a plain ok: its code, the rest, is 0
_MAX_INT64 = 2**63 - 1
_MAX_SYMBOLS = 65_536
_SYMBOLS_A_MESSAGE = 3000
_TYPES = {"place": PLACE, "cancel": CANCEL, "amend": AMEND}
_SIDES = {"Buy": 1, "Sell": 2}
_ORDER_TYPES = {"Limit": 1, "Market": 2}
_TIFS = {"GTC": 1, "IOC": 2, "PostOnly": 3}


class SandboxBinary:
    """See `loadgen.venues.wire.Wire`. `secret(session)` gives account and secret of a session, for the login.

    Raises DefinitionError for a trace that the protocol cannot carry.
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
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.endpoints = endpoints
        self._prefix, self._secret, self._wall = f"{run_id}-".encode(), secret, wall
        self._shape, self._leads = _shapes(trace)
        self._symbol, names = trace.codes("symbol")
        self._declared = _declaration(trace.name, names)
        self._price, self._qty = trace.ints("price_ticks"), trace.ints("qty_lots")
        self._tick8 = _units8(trace, names, "tick", self._price)
        self._lot8 = _units8(trace, names, "lot", self._qty)
        self._now_ms = 0
        self.tick()

    def tick(self) -> None:
        """Take the wall clock anew: what `operation` and `status` render until the next call carries this time."""
        self._now_ms = int(self._wall() * 1000)

    def warm(self, rows: Sequence[int]) -> None:
        """Nothing: messages are made of columns."""

    def window(self, numbers: Ints, rows: Ints, parents: Ints, sent_ms: Ints) -> tuple[bytearray, Ints]:
        """Order messages of many operations, one behind the other, and where each starts."""
        count = len(numbers)
        data = bytearray(count * _SIZE)
        columns = np.frombuffer(data, "<i8").reshape(count, 8)
        symbol = self._symbol[rows]
        columns[:, 0] = self._leads[self._shape[rows]]
        columns[:, 1] = numbers
        columns[:, 2] = np.maximum(parents, 0)
        # what the trace leaves out is -1 there and 0 here
        columns[:, 3] = np.maximum(self._price[rows] * self._tick8[symbol], 0)
        columns[:, 4] = np.maximum(self._qty[rows] * self._lot8[symbol], 0)
        columns[:, 5] = sent_ms
        columns[:, 6] = symbol
        return data, np.arange(0, (count + 1) * _SIZE, _SIZE)

    def operation(self, number: int, row: int, parent: int, session: int, server_id: bytes | None) -> bytes:
        """One order message, stamped with the time of the last `tick`."""
        symbol = self._symbol[row]
        return _ORDER.pack(
            self._leads[self._shape[row]],
            number,
            max(parent, 0),
            max(self._price[row] * self._tick8[symbol], 0),
            max(self._qty[row] * self._lot8[symbol], 0),
            self._now_ms,
            symbol,
        )

    def status(self, number: int, row: int, session: int) -> bytes:
        """The question what became of an operation: a place is known by its order, all else by its own id."""
        place = self._leads[self._shape[row]] >> 16 & 0xFF == PLACE
        lead = _lead(ORDER_STATUS if place else REQUEST_STATUS)
        return _ORDER.pack(lead, number, 0, 0, 0, self._now_ms, 0)

    def converse(self, session: int, target: Endpoint | None = None) -> BinaryConversation:
        """A conversation that logs a session's account in."""
        return BinaryConversation(lambda: self._login(session) + self._declared)

    def _login(self, session: int) -> bytes:
        account, secret = self._secret(session)
        expires = int(self._wall() * 1000) + RECV_WINDOW_MS
        signed = bytes.fromhex(signature(secret, f"GET/realtime{expires}"))
        return _LOGIN.pack(_LOGIN.size, LOGIN, VERSION, RECV_WINDOW_MS, expires, signed, account.encode(), self._prefix)


class BinaryConversation:
    """See `loadgen.venues.wire.Conversation`; ready once the gateway has let us in."""

    def __init__(self, greeting: Callable[[], bytes]) -> None:
        self.ready = False
        self._greeting, self._rest = greeting, b""

    def greet(self) -> bytes:
        """The login, and the names of all symbols."""
        return self._greeting()

    def frame(self, numbers: Sequence[int], payloads: Sequence[bytes]) -> bytes:
        """The messages as they are."""
        return b"".join(payloads)

    def ping(self) -> bytes:
        """A message that is answered with a pong."""
        return _HEAD.pack(_HEAD.size, PING, VERSION)

    def feed(self, data: bytes, inbox: Inbox) -> bytes:
        """Put answers into the inbox: all plain oks in one piece, then the others.

        Raises ProtocolError where the gateway hangs up, refuses the login, or sends what is no message of its own.
        """
        if self._rest:
            data = self._rest + data
        count, rest = divmod(len(data), _ANSWER_SIZE)
        self._rest = data[len(data) - rest :] if rest else b""
        if not count:
            return b""
        columns = np.frombuffer(data, "<i8", count * 4).reshape(count, 4).T
        others: list[int] = []
        plain = columns[0] == _PLAIN
        if not plain.all():
            others = np.flatnonzero(~plain).tolist()
            columns = columns[:, plain]
        if len(others) < count:
            inbox.bulk.append((columns[1].copy(), columns[2].copy(), columns[3] & 0xFFFFFFFF))
        for k in others:
            self._take(data[k * _ANSWER_SIZE : (k + 1) * _ANSWER_SIZE], inbox)
        return b""

    def _take(self, message: bytes, inbox: Inbox) -> None:
        size, kind, version, code, number, seq, epoch, found = _ANSWER.unpack(message)
        if (size, version) != (_ANSWER_SIZE, VERSION):
            raise ProtocolError(f"not a message of version {VERSION} and {_ANSWER_SIZE} bytes: {message[:4].hex(' ')}")
        if kind == ANSWER:
            word = str(code) if code else None
            inbox.answers.append(Answer(number, classify(code), word, seq=seq, epoch=epoch))
        elif kind == STATUS:
            inbox.answers.append(_told(number, code, seq, epoch, found=bool(found)))
        elif kind == LOGGED_IN:
            if code:
                raise ProtocolError(f"sign-in refused: {code}")
            self.ready = True
        elif kind == BYE:
            raise ProtocolError(f"hung up by the gateway: {_reason(message)}")
        elif kind != PONG:
            raise ProtocolError(f"unknown type {kind}")


def _told(number: int, code: int, seq: int, epoch: int, *, found: bool) -> Answer:
    """The answer to a status question; not found with a code: the question came to nothing and may be put again."""
    word = str(code) if code else None
    if found:
        return Answer(number, classify(code), word, asked=True, seq=seq, epoch=epoch)
    if code:
        return Answer(number, Meaning.UNAVAILABLE, word, asked=True)
    return Answer(number, Meaning.OK, asked=True, found=False)


def _reason(message: bytes) -> str:
    code, text = _BYE.unpack(message)[3:]
    reason: str = text.rstrip(b"\0").decode("ascii", "replace")
    return f"{reason} ({code})" if code else reason


def _declaration(name: str, symbols: Sequence[str]) -> bytes:
    """The messages that number the symbols from 0, in order."""
    long = next((symbol for symbol in symbols if len(symbol.encode()) > _SYMBOL_SIZE), None)
    if long is not None:
        raise DefinitionError(name, f"symbol {long} is longer than {_SYMBOL_SIZE} bytes")
    if len(symbols) > _MAX_SYMBOLS:
        raise DefinitionError(name, f"{len(symbols)} symbols, the binary protocol knows {_MAX_SYMBOLS}")
    out = b""
    for first in range(0, len(symbols), _SYMBOLS_A_MESSAGE):
        names = b"".join(
            symbol.encode().ljust(_SYMBOL_SIZE, b"\0") for symbol in symbols[first : first + _SYMBOLS_A_MESSAGE]
        )
        out += _HEAD.pack(_HEAD.size + len(names), SYMBOLS, VERSION) + names
    return out


def _units8(trace: Trace, symbols: Sequence[str], what: str, values: Ints) -> Ints:
    """Units of 1e-8 in a tick (or lot) of each symbol; raises DefinitionError where a product is beyond 64 bits."""
    units = []
    for symbol in symbols:
        grid = trace.grid.get(symbol)
        size = Decimal(0) if grid is None else grid.tick if what == "tick" else grid.lot  # without a grid: in no row
        unit = size.scaleb(8)
        if unit != unit.to_integral_value() or unit > _MAX_INT64:
            raise DefinitionError(trace.name, f"{symbol}: {what} {size:f} is not a whole number of 1e-8, or too large")
        units.append(int(unit))
    units8 = np.array(units, dtype=np.int64)
    highest = int(values.max(initial=0))
    if highest * max(units, default=0) > _MAX_INT64:
        over = np.flatnonzero(values > (_MAX_INT64 // np.maximum(units8, 1))[trace.codes("symbol")[0]])
        if over.size:
            raise DefinitionError(trace.name, f"row {over[0]}: {values[over[0]]} {what}s are beyond 64 bits of 1e-8")
    return units8


def _shapes(trace: Trace) -> tuple[npt.NDArray[np.uint8], Ints]:
    """What all rows of one kind, side, type and time in force share: a number for each row, and the first eight bytes.

    Raises DefinitionError for an operation that is not about an order, and for a word that the protocol lacks.
    """
    kind, side, type_, tif = (
        _numbered(trace, name, words)
        for name, words in (("op", _TYPES), ("side", _SIDES), ("type", _ORDER_TYPES), ("tif", _TIFS))
    )
    shape = (((kind - PLACE) * 3 + side) * 3 + type_) * 4 + tif
    leads = [
        _lead(kind, side, type_, tif)
        for kind in (PLACE, CANCEL, AMEND)
        for side in range(3)
        for type_ in range(3)
        for tif in range(4)
    ]
    return shape.astype(np.uint8), np.array(leads, dtype=np.int64)


def _numbered(trace: Trace, column: str, words: Mapping[str, int]) -> npt.NDArray[np.uint8]:
    """A column of words as the numbers of the protocol, 0 for null."""
    codes, names = trace.codes(column)
    strange = [code for code, name in enumerate(names) if name not in words]
    for row in np.flatnonzero(np.isin(codes, strange))[:1] if strange else ():
        raise DefinitionError(
            trace.name, f"row {row}: {column} {names[codes[row]]}: not a word of the sandbox's binary protocol"
        )
    table = np.array([*(words.get(name, 0) for name in names), 0], dtype=np.uint8)  # the last for code -1, null
    return np.take(table, codes)


def _lead(kind: int, side: int = 0, type_: int = 0, tif: int = 0) -> int:
    return _SIZE | kind << 16 | VERSION << 24 | side << 32 | type_ << 40 | tif << 48
