"""The messages of the binary protocol: little-endian, each with its length, type and version in its first four bytes.

Everything a gateway sends is 32 bytes, every order message 64. The tables of docs/reference/sandbox.md name each byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from sandbox.exchange.codes import RetCode, Status

VERSION = 1
SYMBOL_SIZE = 20
MAX_SYMBOLS = 65_536
"""What the 16 bits of an order message can tell apart."""
MAX_NUMBER = 9_999_999_999
"""Numbers stand in ids as ten digits."""


class Type(IntEnum):
    """The third byte of a message; from 128 on it comes from the gateway."""

    LOGIN = 1
    SYMBOLS = 2
    PING = 3
    PLACE = 16
    CANCEL = 17
    AMEND = 18
    ORDER_STATUS = 19
    REQUEST_STATUS = 20
    LOGGED_IN = 129
    PONG = 130
    ANSWER = 144
    STATUS = 145
    BYE = 255


_HEAD = Struct("<HBB")
_LOGIN = Struct("<HBBIq32s32s32s")
_ORDER = Struct("<xxBxBBBxQQqqqH14x")
_ANSWER = Struct("<HBBiQQIBB2x")
_BYE = Struct("<HBBi24s")

_LENGTHS = {
    Type.LOGIN: _LOGIN.size,
    Type.PING: _HEAD.size,
    **dict.fromkeys((Type.PLACE, Type.CANCEL, Type.AMEND, Type.ORDER_STATUS, Type.REQUEST_STATUS), _ORDER.size),
}
_STATUSES: dict[str, int] = {status: n for n, status in enumerate(Status, 1)}


class BadStream(Exception):
    """The stream is of no use from here on; `code` and the message, at most 24 characters, are for the client."""

    def __init__(self, code: RetCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class Login(NamedTuple):
    """The message that opens a connection: `window_ms` 0 is the default; `prefix` goes before every number."""

    window_ms: int
    expires_ms: int
    signature: str  # hex
    account: str
    prefix: str


class OrderMessage(NamedTuple):
    """One request about an order; 0 stands for what is not given. `symbol` counts the declared names from 0."""

    type: int
    side: int
    order_type: int
    tif: int
    number: int
    parent: int
    price8: int
    qty8: int
    sent_ms: int
    symbol: int


def read_login(message: bytes) -> Login:
    """The fields of a login of the right length; text that is not ASCII comes out as something that no check passes."""
    _, _, _, window_ms, expires_ms, signature, account, prefix = _LOGIN.unpack(message)
    return Login(window_ms, expires_ms, signature.hex(), _text(account), _text(prefix))


def read_symbols(message: bytes) -> list[str]:
    """The names of a symbols message of a right length, as they are."""
    return [_text(message[at : at + SYMBOL_SIZE]) for at in range(_HEAD.size, len(message), SYMBOL_SIZE)]


def read_order(message: bytes) -> OrderMessage:
    """The fields of an order message of the right length."""
    return OrderMessage._make(_ORDER.unpack(message))


def logged_in(code: int) -> bytes:
    """The answer to a login."""
    return _ANSWER.pack(_ANSWER.size, Type.LOGGED_IN, VERSION, code, 0, 0, 0, 0, 0)


def pong() -> bytes:
    """The answer to a ping."""
    return _ANSWER.pack(_ANSWER.size, Type.PONG, VERSION, 0, 0, 0, 0, 0, 0)


def answer(number: int, code: int, seq: int, epoch: int, status: str) -> bytes:
    """The answer to a place, cancel or amend; `status` is empty where the leader did not answer."""
    return _ANSWER.pack(_ANSWER.size, Type.ANSWER, VERSION, code, number, seq, epoch, 0, _STATUSES.get(status, 0))


def status(number: int, code: int, seq: int, epoch: int, found: bool, status: str) -> bytes:
    """The answer to a status question: not found with a code says that the question itself came to nothing."""
    return _ANSWER.pack(_ANSWER.size, Type.STATUS, VERSION, code, number, seq, epoch, found, _STATUSES.get(status, 0))


def bye(code: int, reason: str) -> bytes:
    """The last message of a connection, and why."""
    return _BYE.pack(_BYE.size, Type.BYE, VERSION, code, reason.encode("ascii", "replace"))


class Cutter:
    """Cuts a byte stream into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(type, message) of each message that `data` completes; raises BadStream where the stream stops making sense.

        A message whose first four bytes are wrong is not waited for.
        """
        data = self._rest + data if self._rest else data
        at, end = 0, len(data)
        while end - at >= _HEAD.size:
            size, kind, version = _HEAD.unpack_from(data, at)
            if size != _LENGTHS.get(kind) or version != VERSION:
                _check_head(size, kind, version)
            if end - at < size:
                break
            yield kind, data[at : at + size]
            at += size
        self._rest = data[at:]


def _check_head(size: int, kind: int, version: int) -> None:
    if version != VERSION:
        raise BadStream(RetCode.BAD_REQUEST, f"version {version}, not {VERSION}")
    names, odd = divmod(size - _HEAD.size, SYMBOL_SIZE)
    if kind == Type.SYMBOLS and names > 0 and not odd:
        return
    known = kind == Type.SYMBOLS or kind in _LENGTHS
    raise BadStream(RetCode.BAD_REQUEST, f"type {kind} of {size} bytes" if known else f"unknown type {kind}")


def _text(field: bytes) -> str:
    return field.rstrip(b"\0").decode("latin-1")
