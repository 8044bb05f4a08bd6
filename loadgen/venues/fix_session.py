"""The session layer of FIX 4.4 on one connection: logon, sequence numbers, heartbeats, gaps.

Every connection begins a session of its own (ResetSeqNumFlag): after a failover nobody waits for a resend. What a
venue asks to be sent again is filled with a gap: to repeat an order that got lost, under the same ClOrdID, is up to the
replay, and one that comes late by a resend would be another operation than the one that was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from loadgen.venues.fix_codec import Decoder, Fields, encode, field, number, text
from loadgen.venues.wire import Answer, Inbox, ProtocolError

Read = Callable[[Fields, tuple[int, bool] | None], Answer | None]
"""What a message of the venue says; beside its fields: (number, whether a question) of the message it refers to."""

_REMEMBERED = 1 << 16
_ORDER_STATUS_REQUEST = b"35=H"


@dataclass(frozen=True, slots=True)
class Login:
    """Who logs on, and where."""

    sender: str
    target: str
    heartbeat_s: int
    username: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.sender} to {self.target})"

    def fields(self) -> bytes:
        """The fields of the Logon message behind its header."""
        own = field(98, 0) + field(108, self.heartbeat_s) + field(141, "Y")
        return own + field(553, self.username) + field(554, self.password)


class FixConversation:
    """See `loadgen.venues.wire.Conversation`; ready once the venue has answered the logon."""

    def __init__(self, login: Login, read: Read, now: Callable[[], bytes]) -> None:
        self.ready = False
        self._login, self._read, self._now = login, read, now
        self._parties = field(49, login.sender) + field(56, login.target)
        self._peer = (login.target.encode(), login.sender.encode())
        self._decoder = Decoder()
        self._next_out = self._next_in = 1
        self._sent: dict[int, tuple[int, bool]] = {}  # sequence number: operation, and whether it asks for a status
        self._tests = 0

    def greet(self) -> bytes:
        """The Logon."""
        return self._message(b"35=A\x01", self._login.fields())

    def ping(self) -> bytes:
        """A TestRequest, which is answered with a Heartbeat."""
        self._tests += 1
        return self._message(b"35=1\x01", field(112, self._tests))

    def frame(self, numbers: Sequence[int], payloads: Sequence[bytes]) -> bytes:
        """Messages with their header, sequence number, length and checksum."""
        out = []
        for op, payload in zip(numbers, payloads, strict=True):
            self._sent[self._next_out] = (op, payload[:4] == _ORDER_STATUS_REQUEST)
            self._sent.pop(self._next_out - _REMEMBERED, None)
            out.append(self._message(payload[:5], payload[5:]))
        return b"".join(out)

    def feed(self, data: bytes, inbox: Inbox) -> bytes:
        """Take bytes of the venue; returns what the session layer answers."""
        return b"".join([self._take(fields, inbox) for fields in self._decoder.feed(data)])

    def _message(self, kind: bytes, rest: bytes, seq: int | None = None) -> bytes:
        """A whole message; with `seq` in place of an earlier one, else under the next number."""
        if seq is None:
            seq, self._next_out = self._next_out, self._next_out + 1
        return encode(b"%b%b34=%d\x0152=%b\x01%b" % (kind, self._parties, seq, self._now(), rest))

    def _take(self, fields: Fields, inbox: Inbox) -> bytes:
        kind, seq = fields.get(b"35", b""), number(fields, b"34")
        if (fields.get(b"49"), fields.get(b"56")) != self._peer:
            raise ProtocolError(f"from {text(fields, b'49')!r} to {text(fields, b'56')!r}")
        if seq < 1:
            raise ProtocolError("a message without its sequence number")
        if kind == b"4" and fields.get(b"123") != b"Y":
            self._next_in = max(self._next_in, number(fields, b"36"))
            return b""
        out = self._order(seq, fields)
        if not self.ready:
            self._before_logon(kind, fields)
        elif kind in (b"8", b"9", b"j", b"3"):
            answer = self._read(fields, self._sent.get(number(fields, b"45")))
            if answer is not None:
                inbox.answers.append(answer)
        return out + self._administer(kind, fields)

    def _order(self, seq: int, fields: Fields) -> bytes:
        """Keep count; asks once for what is missing before a message, which is taken nevertheless."""
        missing = self._next_in
        if seq < missing:
            if fields.get(b"43") != b"Y":
                raise ProtocolError(f"sequence number {seq} where {missing} was due")
            return b""
        self._next_in = seq + 1
        if fields.get(b"35") == b"4":
            self._next_in = max(self._next_in, number(fields, b"36"))
        if seq == missing:
            return b""
        return self._message(b"35=2\x01", field(7, missing) + field(16, seq - 1))

    def _before_logon(self, kind: bytes, fields: Fields) -> None:
        if kind == b"A":
            self.ready = True
        elif kind in (b"5", b"3"):
            raise ProtocolError(f"logon refused: {text(fields, b'58') or 'no reason given'}")
        elif kind not in (b"0", b"1", b"2", b"4"):
            raise ProtocolError(f"message {kind[:8]!r} before the logon was answered")

    def _administer(self, kind: bytes, fields: Fields) -> bytes:
        if kind == b"1":
            asked = fields.get(b"112", b"")
            return self._message(b"35=0\x01", b"112=%b\x01" % asked if asked else b"")
        if kind == b"2":
            first = number(fields, b"7")
            if not 1 <= first < self._next_out:
                return b""
            rest = field(43, "Y") + b"122=%b\x01" % self._now() + field(123, "Y") + field(36, self._next_out)
            return self._message(b"35=4\x01", rest, first)
        if kind == b"5":
            raise ProtocolError(f"logged out: {text(fields, b'58') or 'no reason given'}")
        return b""
