"""As much of RFC 6455 as a client needs: the opening handshake, masked frames out, frames in."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Iterator

from loadgen.venues.wire import ProtocolError as ProtocolError

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_MAX_MESSAGE = 16 << 20


def request(host: str, path: str, key: bytes) -> bytes:
    """The opening handshake; `key` is base64 of 16 bytes."""
    head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head.encode() + b"Sec-WebSocket-Key: " + key + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"


def check_response(head: bytes, key: bytes) -> None:
    """Raise ProtocolError unless `head` (up to the blank line) accepts the upgrade for `key`."""
    status, *lines = head.split(b"\r\n")
    if b" 101" not in status:
        raise ProtocolError(f"upgrade refused: {status[:80].decode('latin-1')}")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    expected = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    if headers.get(b"sec-websocket-accept") != expected:
        raise ProtocolError("upgrade answered with a wrong Sec-WebSocket-Accept")


def frame(payload: bytes, rng: random.Random, opcode: int = TEXT) -> bytes:
    """One final, masked frame."""
    size, key = len(payload), rng.getrandbits(32).to_bytes(4, "little")
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
    # one big integer: XOR of a whole message costs about a microsecond
    mask = int.from_bytes((key * (size // 4 + 1))[:size], "little")
    return head + key + (int.from_bytes(payload, "little") ^ mask).to_bytes(size, "little")


class Joiner:
    """Frames in, whole messages out; fragments are joined."""

    def __init__(self) -> None:
        self._parts = bytearray()
        self._opcode = TEXT

    def add(self, head: int, payload: bytes) -> tuple[int, bytes] | None:
        """(opcode, payload) where a frame ends a message; raises ProtocolError."""
        opcode = head & 0x0F
        if opcode >= CLOSE or (head & 0x80 and opcode and not self._parts):
            return opcode, payload
        if opcode:
            self._opcode = opcode
        self._parts += payload
        if len(self._parts) > _MAX_MESSAGE:
            raise ProtocolError("message over 16 MiB")
        if not head & 0x80:
            return None
        whole = bytes(self._parts)
        self._parts.clear()
        return self._opcode, whole


class Decoder:
    """Bytes of a server in, whole messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._joiner = Joiner()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (opcode, payload) of every message that is complete now; raises ProtocolError."""
        buffer = self._buffer
        buffer += data
        at = 0
        while (found := next_frame(buffer, at)) is not None:
            head, payload, at = found
            message = self._joiner.add(head, payload)
            if message is not None:
                yield message
        del buffer[:at]


def next_frame(buffer: bytearray | bytes, at: int) -> tuple[int, bytes, int] | None:
    """First byte, payload and end of the frame at `at`; None where it is not complete."""
    have = len(buffer) - at
    if have < 2:
        return None
    size, start = buffer[at + 1], at + 2
    if size & 0x80:
        raise ProtocolError("the server masked a frame")
    if size >= 126:
        width = 2 if size == 126 else 8
        if have < 2 + width:
            return None
        size = int.from_bytes(buffer[start : start + width], "big")
        start += width
    if size > _MAX_MESSAGE:
        raise ProtocolError("message over 16 MiB")
    end = start + size
    return None if len(buffer) < end else (buffer[at], bytes(buffer[start:end]), end)
