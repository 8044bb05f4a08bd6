"""As much of HTTP/1.1 (RFC 9112) as a client needs that carries one request at a time on a connection it keeps.

Written here rather than taken from h11, the parser that the project has at hand: that one is pure Python too, and
makes an object of every header of every answer, where a replay wants three of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from loadgen.venues.endpoints import authority
from loadgen.venues.wire import Answer, Endpoint, Inbox, ProtocolError

Read = Callable[[int, bytes, int, bytes], Answer]
"""What an answer says: (number, the request it answers, HTTP status, body). It must take any body."""

_MAX_HEAD = 64 << 10
_MAX_BODY = 16 << 20
_HEAD = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)[ \r]")
_FIELDS = re.compile(rb"\r\n(content-length|transfer-encoding|connection):([^\r\n]*)", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")
_UNTIL_CLOSE, _CHUNKED = -1, -2
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)


def request(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """A request but for its Host, which the conversation adds; Content-Length is told where there is a body.

    Raises ValueError for a method, target or header that would not stay one line of its own.
    """
    if not _TOKEN.fullmatch(method) or not target.startswith("/") or not target.isascii() or not _visible(target):
        raise ValueError(f"not a request line: {method[:20]} {target[:80]!r}")
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or not value.isascii() or not (value.isprintable() or not value):
            raise ValueError(f"not a header: {name[:40]!r}")
        lines.append(f"{name}: {value}")
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _visible(text: str) -> bool:
    return text.isprintable() and " " not in text


class Http1:
    """One connection to `target`; see `loadgen.venues.wire.Conversation`.

    `read` says what an answer means. Where the venue announces that it closes the connection, the answer is put into
    the inbox first and ProtocolError raised then. `feed(b"")` says that the peer has closed.
    """

    def __init__(self, target: Endpoint, read: Read) -> None:
        self.ready = True
        self._host = f"\r\nHost: {authority(target)}\r\n".encode()
        self._read = read
        self._number = -1  # of the request that waits for its answer
        self._request = b""
        self._buffer = bytearray()
        self._status = 0  # of the answer whose body is to come
        self._length = 0
        self._close = False
        self._body = bytearray()
        self._last_chunk = False

    def greet(self) -> bytes:
        """Nothing: HTTP needs no introduction."""
        return b""

    def ping(self) -> bytes:
        """Nothing: HTTP has no such thing."""
        return b""

    def frame(self, numbers: Sequence[int], payloads: Sequence[bytes]) -> bytes:
        """The one request, with its Host; raises ProtocolError where the one before is not answered."""
        if len(numbers) != 1 or self._number >= 0:
            raise ProtocolError("HTTP/1.1 carries one request at a time")
        self._number, self._request = numbers[0], payloads[0]
        line, _, rest = self._request.partition(b"\r\n")
        return line + self._host + rest

    def feed(self, data: bytes, inbox: Inbox) -> bytes:
        """Take bytes of the venue; there is never anything to send at once."""
        if not data:
            self._ended(inbox)
            return b""
        self._buffer += data
        while self._buffer:
            if not self._status and not self._take_head():
                break
            if not self._take_body():
                break
            self._done(inbox)
        return b""

    def _ended(self, inbox: Inbox) -> None:
        if self._status and self._length == _UNTIL_CLOSE:
            self._done(inbox)
        elif self._status or self._buffer:
            raise ProtocolError("closed in the middle of an answer")
        elif self._number >= 0:
            raise ProtocolError("closed before it answered")

    def _take_head(self) -> bool:
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            start = bytes(buffer[:7])
            if not b"HTTP/1.".startswith(start):
                raise ProtocolError(f"not HTTP/1: {start!r}")
            if len(buffer) > _MAX_HEAD:
                raise ProtocolError("the head of an answer has no end")
            return False
        head = bytes(buffer[: end + 2])
        found = _HEAD.match(head)
        if found is None:
            raise ProtocolError(f"not HTTP/1: {head[:20]!r}")
        del buffer[: end + 4]
        self._status = int(found[2])
        self._framing(found[1] == b"0", _FIELDS.findall(head))
        return True

    def _framing(self, old: bool, fields: list[tuple[bytes, bytes]]) -> None:
        """How long the body is, and whether the connection lives on (RFC 9112, 6.3 and 9.3)."""
        length, self._close = _UNTIL_CLOSE, old
        for name, value in fields:
            key, word = name.lower(), value.strip(b" \t").lower()
            if key == b"transfer-encoding":
                if word != b"chunked":
                    raise ProtocolError(f"transfer encoding {word[:40]!r}")
                length = _CHUNKED
            elif key == b"content-length":
                if not word.isdigit() or len(word) > 9 or (length >= 0 and int(word) != length):
                    raise ProtocolError(f"content length {word[:40]!r}")
                length = int(word) if length != _CHUNKED else length
            else:
                words = [part.strip() for part in word.split(b",")]
                self._close = b"close" in words or (self._close and b"keep-alive" not in words)
        if self._status < 200 or self._status in (204, 304) or self._request.startswith(b"HEAD "):
            length = 0
        if length > _MAX_BODY:
            raise ProtocolError("an answer over 16 MiB")
        self._length = length

    def _take_body(self) -> bool:
        """Whether the body is complete; it is in `_body` then."""
        buffer, length = self._buffer, self._length
        if length == _CHUNKED:
            return self._take_chunks()
        if length == _UNTIL_CLOSE:
            self._body += buffer
            buffer.clear()
            self._check_size()
            return False
        if len(buffer) < length:
            return False
        self._body = buffer[:length]
        del buffer[:length]
        return True

    def _take_chunks(self) -> bool:
        buffer, at = self._buffer, 0
        while not self._last_chunk:
            line = _CHUNK.match(buffer, at)
            if line is None:
                if buffer.find(b"\r\n", at) >= 0 or len(buffer) - at > 1024:
                    raise ProtocolError("a chunk without its size")
                break
            size = int(line[1], 16)
            end = line.end() + size
            if size > _MAX_BODY:
                raise ProtocolError("an answer over 16 MiB")
            if not size:
                self._last_chunk, at = True, end
                break
            if len(buffer) < end + 2:
                break
            if buffer[end : end + 2] != b"\r\n":
                raise ProtocolError("a chunk longer than it said")
            self._body += buffer[line.end() : end]
            self._check_size()
            at = end + 2
        del buffer[:at]
        return self._last_chunk and self._take_trailers()

    def _take_trailers(self) -> bool:
        buffer = self._buffer
        while (end := buffer.find(b"\r\n")) > 0:
            del buffer[: end + 2]
        if end < 0:
            if len(buffer) > _MAX_HEAD:
                raise ProtocolError("trailers without an end")
            return False
        del buffer[:2]
        return True

    def _check_size(self) -> None:
        if len(self._body) > _MAX_BODY:
            raise ProtocolError("an answer over 16 MiB")

    def _done(self, inbox: Inbox) -> None:
        status, body, number = self._status, bytes(self._body), self._number
        self._status, self._body, self._last_chunk = 0, bytearray(), False
        if status == 101:
            raise ProtocolError("HTTP 101: another protocol than asked for")
        if status < 200:
            return  # the answer is still to come
        if number < 0:
            raise ProtocolError(f"HTTP {status} that nobody asked for")
        self._number = -1
        inbox.answers.append(self._read(number, self._request, status, body))
        self._request = b""
        if self._close or self._length == _UNTIL_CLOSE:
            raise ProtocolError("closed by the venue after its answer")
