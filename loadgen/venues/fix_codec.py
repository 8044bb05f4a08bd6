"""FIX tag=value messages: framing, body length and checksum, both ways."""

from __future__ import annotations

from collections.abc import Iterator

from loadgen.venues.wire import ProtocolError

SOH = b"\x01"
Fields = dict[bytes, bytes]
_BEGIN = b"8=FIX.4.4\x019="
_MAX_BODY = 1 << 20
_TRAILER = 7  # 10=nnn and its SOH


def encode(fields: bytes) -> bytes:
    """A whole message of its fields from MsgType on, each ended by SOH."""
    text = b"%b%d\x01%b" % (_BEGIN, len(fields), fields)
    return b"%b10=%03d\x01" % (text, sum(text) & 0xFF)


def field(tag: int, value: object) -> bytes:
    """One field; raises ValueError for a value that would end it."""
    text = str(value).encode()
    if SOH in text or not text:
        raise ValueError(f"tag {tag}: {str(value)[:40]!r}")
    return b"%d=%b\x01" % (tag, text)


class Decoder:
    """Bytes of a peer in, whole messages out."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Fields]:
        """Yield the messages that are complete now, in order.

        A tag that comes twice (repeating groups) keeps its first value. Raises ProtocolError for what is no message of
        FIX 4.4 or fails its length or checksum.
        """
        buffer = self._buffer + data if self._buffer else data
        at, size = 0, len(buffer)
        while at < size:
            start = _body(buffer, at)
            if start is None:
                break
            first, length = start
            end = first + length
            if size < end + _TRAILER:
                break
            trailer = buffer[end : end + _TRAILER]
            if trailer != b"10=%03d\x01" % (sum(buffer[at:end]) & 0xFF) or buffer[end - 1 : end] != SOH:
                raise ProtocolError("a message fails its length or checksum")
            yield _fields(buffer[first : end - 1])
            at = end + _TRAILER
        self._buffer = buffer[at:]


def _body(buffer: bytes, at: int) -> tuple[int, int] | None:
    """Where the body of the message at `at` starts, and its length; None where that is not there yet."""
    begin = buffer[at : at + len(_BEGIN)]
    if not _BEGIN.startswith(begin):
        raise ProtocolError(f"not FIX 4.4: {begin!r}")
    low = at + len(_BEGIN)
    end = buffer.find(SOH, low, low + 9)
    if end < 0:
        if len(buffer) - low >= 9:
            raise ProtocolError("a body length without an end")
        return None
    digits = buffer[low:end]
    if not digits.isdigit() or not 5 <= int(digits) <= _MAX_BODY:
        raise ProtocolError(f"body length {digits!r}")
    return end + 1, int(digits)


def _fields(body: bytes) -> Fields:
    pairs = [part.split(b"=", 1) for part in body.split(SOH)]
    pairs.reverse()  # the first of a tag wins
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def number(fields: Fields, tag: bytes, default: int = -1) -> int:
    """A field as a whole number of at most nine digits; `default` where it is absent or none."""
    text = fields.get(tag, b"")
    return int(text) if text.isdigit() and len(text) <= 9 else default


def text(fields: Fields, tag: bytes) -> str:
    """A field as text for a person, cut to 120 characters; empty where it is absent."""
    return fields.get(tag, b"")[:120].decode("ascii", "replace")
