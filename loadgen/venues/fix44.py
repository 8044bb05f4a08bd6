"""Orders over FIX 4.4: how operations become messages, and what the venue's messages mean."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drills.errors import DefinitionError
from loadgen.trace import Trace
from loadgen.venues import keys
from loadgen.venues.endpoints import endpoints
from loadgen.venues.fix_codec import Fields, field
from loadgen.venues.fix_session import FixConversation, Login
from loadgen.venues.rest import ORDER_KINDS, Kept, not_found
from loadgen.venues.rows import Order, Rows
from loadgen.venues.wire import Answer, Endpoint, Ints, Meaning

_TYPES = {"place": "D", "cancel": "F", "amend": "G"}
_SIDES = {"Buy": "1", "Sell": "2"}
_ORDER_TYPES = {"Market": "1", "Limit": "2"}
_TIFS = {"GTC": "1", "IOC": "3", "PostOnly": "1"}
_REJECT, _UNKNOWN = Meaning.REJECT, Meaning.UNKNOWN

ORD_REJ_REASONS: Mapping[bytes, Meaning] = {
    b"0": _REJECT,  # broker option
    b"1": _REJECT,  # unknown symbol
    b"2": Meaning.UNAVAILABLE,  # exchange closed
    b"3": _REJECT,  # exceeds limit
    b"4": _REJECT,  # too late to enter
    b"5": _REJECT,  # unknown order
    b"6": Meaning.DUPLICATE,
    b"8": _REJECT,  # stale
    b"11": _REJECT,  # unsupported characteristic
    b"13": _REJECT,  # quantity
    b"15": _REJECT,  # unknown account
}
"""Tag 103 of a rejected order; a reason that is not here leaves the outcome unknown, as do those below."""
CXL_REJ_REASONS: Mapping[bytes, Meaning] = {
    b"0": _REJECT,  # too late
    b"1": _REJECT,  # unknown order
    b"2": _REJECT,  # broker option
    b"3": _REJECT,  # already pending
    b"6": Meaning.DUPLICATE,
}
"""Tag 102 of a refused cancel or replace."""
BUSINESS_REJ_REASONS: Mapping[bytes, Meaning] = {
    **dict.fromkeys((b"1", b"2", b"3", b"5", b"6"), _REJECT),  # id, security, message type, field, not authorised
    b"4": Meaning.UNAVAILABLE,  # application not available
    b"7": Meaning.UNAVAILABLE,  # firm not available
}
"""Tag 380 of a BusinessMessageReject."""
SESSION_REJ_REASONS: Mapping[bytes, Meaning] = {str(reason).encode(): _REJECT for reason in range(18)}
"""Tag 373 of a Reject: the message was never looked at."""

_PENDING = frozenset({b"6", b"A", b"D", b"E", b"G", b"H"})  # pending, restated, corrected: decide nothing
_REJECTED, _ORDER_STATUS = b"8", b"I"


class Fix44:
    """See `loadgen.venues.wire.Wire`. `venue`: `fix` lists tcp:// or tcps:// addresses, `target` is the venue's CompID.

    SenderCompID, Username and Password of a session come from `venue.keys` (`sender` overrides the first); Account is
    left out unless `account` is given. What became of an operation is asked with an OrderStatusRequest for its ClOrdID.
    """

    prerendered = False
    serial = False
    needs_server_id = False
    business = frozenset({"CxlRejReason 0", "CxlRejReason 1"})
    kinds = ORDER_KINDS

    def __init__(
        self, trace: Trace, run_id: str, venue: Mapping[str, Any], *, wall: Callable[[], float] = time.time
    ) -> None:
        self.endpoints: Sequence[Endpoint] = endpoints(venue, "fix", "tcp", "tcps")
        self._venue, self._secret, self._wall = venue, keys.of(venue), wall
        self._target = _setting(venue, "target", "")
        self._heartbeat_s = _heartbeat(venue)
        self._account = field(1, venue["account"]) if venue.get("account") else b""
        self._rows, self._trace_name = Rows(trace), trace.name
        self._parts = Kept(self._part)
        self._prefix = f"{run_id}-".encode()
        self._second, self._day, self._stamp = -1, b"", b""
        self.tick()

    def tick(self) -> None:
        """Take the wall clock anew, for SendingTime and TransactTime."""
        second, ms = divmod(int(self._wall() * 1000), 1000)
        if second != self._second:
            self._second, self._day = second, time.strftime("%Y%m%d-%H:%M:%S", time.gmtime(second)).encode()
        self._stamp = b"%b.%03d" % (self._day, ms)

    def warm(self, rows: Sequence[int]) -> None:
        """Render what never changes of rows."""
        for row in rows:
            self._parts.of(row)

    def window(self, numbers: Ints, rows: Ints, parents: Ints, sent_ms: Ints) -> tuple[bytearray, Ints]:
        """Never called: sequence numbers are known only when a message is sent."""
        raise NotImplementedError

    def operation(self, number: int, row: int, parent: int, session: int, server_id: bytes | None) -> bytes:
        """The body of an order message; header and trailer are the conversation's."""
        head, tail = self._parts.of(row)
        ids = b"11=%b%010d\x01" % (self._prefix, number)
        if parent >= 0:
            ids += b"41=%b%010d\x01" % (self._prefix, parent)
            if server_id:
                ids += b"37=%b\x01" % server_id
        return b"%b%b60=%b\x01%b" % (head, ids, self._stamp, tail)

    def status(self, number: int, row: int, session: int) -> bytes | None:
        """An OrderStatusRequest for the ClOrdID of the operation."""
        order, name = self._rows.whole(row), b"%b%010d" % (self._prefix, number)
        rest = field(55, order.symbol) + field(54, _SIDES.get(order.side, "1"))
        return b"35=H\x01790=q%b\x0111=%b\x01%b%b" % (name, name, self._account, rest)

    def converse(self, session: int, target: Endpoint | None = None) -> FixConversation:
        """A connection that logs a session on."""
        key, secret = self._secret(session)
        sender = _setting(self._venue, "sender", key)
        login = Login(sender, self._target, self._heartbeat_s, key, secret.decode())
        return FixConversation(login, self.read, lambda: self._stamp)

    def number(self, name: bytes) -> int:
        """The number in a ClOrdID, -1 where it is not ours."""
        digits = name[len(self._prefix) :]
        return int(digits) if len(digits) == 10 and digits.isdigit() and name.startswith(self._prefix) else -1

    def read(self, fields: Fields, referred: tuple[int, bool] | None) -> Answer | None:
        """What a message of the venue says; None where it decides nothing of ours.

        `referred`: the operation, and whether it was a question, of the message of ours that it names by RefSeqNum.
        """
        kind = fields.get(b"35")
        if kind == b"8":
            return self._execution(fields)
        if kind == b"9":
            return self._refused(self.number(fields.get(b"11", b"")), fields, b"102", "CxlRejReason", CXL_REJ_REASONS)
        number, asked = referred or (self.number(fields.get(b"379", b"")), fields.get(b"372") == b"H")
        if kind == b"j":
            answer = self._refused(number, fields, b"380", "BusinessRejectReason", BUSINESS_REJ_REASONS)
        else:
            answer = self._refused(number, fields, b"373", "SessionRejectReason", SESSION_REJ_REASONS)
        if answer is not None and asked:
            answer.asked, answer.meaning = True, Meaning.UNAVAILABLE  # a refused question says nothing of the operation
        return answer

    def _execution(self, fields: Fields) -> Answer | None:
        kind, server_id = fields.get(b"150"), fields.get(b"37")
        if kind == _ORDER_STATUS:
            # ClOrdID may be that of a later amend; the id of the question is the question's
            name = fields.get(b"790", b"q" + fields.get(b"11", b""))
            return self._told(self.number(name[1:]), fields, server_id)
        number = self.number(fields.get(b"11", b""))
        if number < 0 or kind is None or kind in _PENDING:
            return None
        if kind == _REJECTED:
            return self._refused(number, fields, b"103", "OrdRejReason", ORD_REJ_REASONS)
        return Answer(number, Meaning.OK, server_id=server_id)

    def _told(self, number: int, fields: Fields, server_id: bytes | None) -> Answer | None:
        """The answer to a status question."""
        if number < 0:
            return None
        status = fields.get(b"39", b"")
        if status != _REJECTED:
            open_ = status in _PENDING or not status
            return Answer(number, Meaning.UNAVAILABLE if open_ else Meaning.OK, asked=True, server_id=server_id)
        if fields.get(b"103") == b"5":
            return not_found(number)
        answer = self._refused(number, fields, b"103", "OrdRejReason", ORD_REJ_REASONS)
        assert answer is not None
        answer.asked, answer.meaning = True, Meaning.REJECT
        return answer

    @staticmethod
    def _refused(number: int, fields: Fields, tag: bytes, word: str, reasons: Mapping[bytes, Meaning]) -> Answer | None:
        if number < 0:
            return None
        reason = fields.get(tag, b"")
        return Answer(number, reasons.get(reason, _UNKNOWN), f"{word} {reason[:20].decode('ascii', 'replace')}".strip())

    def _part(self, row: int) -> tuple[bytes, bytes]:
        """The fields of a row before its ids, and those behind its time."""
        order = self._rows.whole(row)
        kind = self._rows.kind(row)
        if kind not in _TYPES:
            raise DefinitionError(self._trace_name, f"row {row}: {kind}: no operation of this venue")
        try:
            tail = field(55, order.symbol) + field(54, _SIDES[order.side]) + self._amounts(kind, order)
        except (KeyError, ValueError) as error:
            raise DefinitionError(self._trace_name, f"row {row}: not to be said in FIX: {error}") from error
        return b"35=%b\x01" % _TYPES[kind].encode(), self._account + tail

    @staticmethod
    def _amounts(kind: str, order: Order) -> bytes:
        text = field(38, order.qty)
        if kind == "cancel":
            return text
        text += field(40, _ORDER_TYPES[order.type])
        if order.type == "Limit":
            text += field(44, order.price)
        text += field(59, _TIFS[order.tif]) + field(21, 1)
        return text + field(18, 6) if order.tif == "PostOnly" else text  # 6: participate, do not initiate


def _setting(venue: Mapping[str, Any], key: str, default: str) -> str:
    value = str(venue.get(key) or default)
    if not value or not value.isascii() or not value.isprintable():
        raise DefinitionError(f"venue.{key}", f"{value!r} is not a CompID", hint="a FIX venue needs sender and target")
    return value


def _heartbeat(venue: Mapping[str, Any]) -> int:
    value = venue.get("heartbeat_s", 30)
    if not isinstance(value, int) or not 1 <= value <= 3600:
        raise DefinitionError("venue.heartbeat_s", f"{value!r} is not a number of seconds from 1 to 3600")
    return value
