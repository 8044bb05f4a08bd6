"""FIX messages to rows: which order each names, what it asks for, what came of it. The rules stand in fix.py."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from dataclasses import dataclass

from loadgen.builder import Row
from loadgen.importers.recent import Recent
from loadgen.importers.values import Dealer, symbol, units8

Fields = dict[str, str]

_REMEMBERED = 65_536
_SESSION_LEVEL = ("0", "1", "2", "3", "4", "5", "A")
_OTHER = {
    "H": "status request (35=H)",
    "AB": "multileg order (35=AB)",
    "s": "cross order (35=s)",
    "E": "list of orders (35=E)",
}
_SIDES = {"1": "Buy", "2": "Sell", "3": "Buy", "4": "Sell", "5": "Sell", "6": "Sell"}
_TYPES = {"1": "Market", "2": "Limit"}
_IOC = ("3", "4")
_IDS = ("1", "11", "17", "37", "41", "49", "56", "109", "115")
_ID_LIMIT = 128
_NO_ANSWER = ("A", "6", "E", "I")  # pending, or what a status request asked for
_CODE = re.compile(r"\d{1,4}", re.ASCII)
_EVIDENCE = "execution report: what came of an order"
_OF_LEFT_OUT = "names an order that was left out"
_STATUS = {
    "0": "New",
    "1": "PartiallyFilled",
    "2": "Filled",
    "3": "DoneForDay",
    "4": "Cancelled",
    "5": "Replaced",
    "7": "Stopped",
    "8": "Rejected",
    "9": "Suspended",
    "C": "Expired",
}


class LeftOut(Exception):
    """A message that is no operation; the text is the reason."""


@dataclass(slots=True)
class _Order:
    client: str  # CompID of who placed it
    client_id: str
    session: int
    account: str
    symbol: str = ""  # "" where only a cancel or amend named it yet
    asked: bool = False  # known by what its client sent, not only by reports
    usable: bool = True
    cancelled: bool = False
    last_ns: int = 0  # time of the last operation on it


class Flow:
    """Orders by every id that names them, and the rows that still wait for their answers."""

    def __init__(self) -> None:
        self._orders: Recent[tuple[str, str, str], _Order] = Recent(_REMEMBERED)
        self._seen: Recent[bytes, bool] = Recent(_REMEMBERED)
        self._sessions = Dealer()
        self._held: deque[tuple[Row, tuple[str, str] | None]] = deque()  # with who asked for it, by which ClOrdID
        self._unanswered: dict[tuple[str, str], Row] = {}

    def settled(self, held: int) -> list[Row]:
        """The oldest rows, all but the `held` last ones; no answer reaches them any more."""
        made = []
        while len(self._held) > held:
            row, asked = self._held.popleft()
            if asked and self._unanswered.get(asked) is row:
                del self._unanswered[asked]
            made.append(row)
        return made

    def take(self, fields: Fields, t_ns: int) -> None:
        """Take one message, sent at `t_ns`.

        Raises LeftOut for what is no operation, KeyError (the tag) or ValueError for what lacks what its type needs.
        """
        kind = fields["35"]
        if kind in _SESSION_LEVEL:
            raise LeftOut("session message")
        if any(len(fields.get(tag, "")) > _ID_LIMIT for tag in _IDS):
            raise LeftOut(f"id longer than {_ID_LIMIT} characters")
        if "34" in fields and self._again("m", *(fields.get(tag, "") for tag in ("49", "56", "34", "35", "11", "17"))):
            raise LeftOut("the same message again")
        if kind == "D":
            self._place(fields, t_ns)
        elif kind in ("F", "G"):
            self._change(fields, t_ns)
        elif kind == "8":
            self._reported(fields, t_ns)
        elif kind == "9":
            self._answer((fields["56"], fields["11"]), _status({"39": "8", "103": fields.get("102", "")}), t_ns)
            raise LeftOut("cancel reject: what came of a request")
        else:
            raise LeftOut(_OTHER.get(kind, f"message type {kind[:3]}"))

    # -- requests ----------------------------------------------------------------------------------------------------

    def _place(self, fields: Fields, t_ns: int) -> None:
        client, name = self._new_request(fields)
        order = self._order(fields, client, fields["56"], name)
        order.asked = True
        self._name(order, fields, name)
        self._add(self._placed(order, fields, t_ns), (client, name))

    def _change(self, fields: Fields, t_ns: int) -> None:
        (client, name), original = self._new_request(fields), fields["41"]
        order = self._orders.get(("c", client, original))
        if order is None:  # from before the log: an orphan, which the trace counts
            order = self._order(fields, client, fields["56"], original)
            order.symbol = _symbol(fields)
            self._name(order, fields, original)
        order.asked = True
        self._name(order, fields, name)
        if not order.usable:
            raise LeftOut(_OF_LEFT_OUT)
        row = self._row(order, "cancel", t_ns) if fields["35"] == "F" else self._amended(order, fields, t_ns)
        self._add(row, (client, name))

    def _new_request(self, fields: Fields) -> tuple[str, str]:
        """Who asks, and the ClOrdID of the request; raises LeftOut where it is known."""
        client, name = fields["49"], fields["11"]
        known = self._orders.get(("c", client, name))
        if known:
            raise LeftOut("passed on by the next hop" if known.client != client else "client id a second time")
        return client, name

    # -- reports -----------------------------------------------------------------------------------------------------

    def _reported(self, fields: Fields, t_ns: int) -> None:
        """Rows of a drop copy, or what came of a request."""
        client, kind = fields["56"], fields.get("150") or fields["39"]
        order = self._reported_order(fields)
        if order:
            self._remember(order, fields)
        if fields.get("20", "0") != "0":
            raise LeftOut("report that corrects or repeats another (20 is not 0)")
        execution = [fields.get(tag, "") for tag in ("17", "37", "11")]
        if execution[0] not in ("", "0") and self._again("x", *execution, kind):
            raise LeftOut("the same execution at another hop")
        if order and order.asked:
            if kind not in _NO_ANSWER:
                self._answer((client, fields.get("11", "")), _status(fields), t_ns)
            raise LeftOut(_EVIDENCE)
        if not self._told(order, fields, kind, t_ns):
            raise LeftOut(_EVIDENCE)

    def _told(self, order: _Order | None, fields: Fields, kind: str, t_ns: int) -> bool:
        """Add what a drop copy tells of an order; whether that is anything."""
        told = order is None or kind == "5"
        if order is None:
            order = self._order(fields, fields["56"], fields["49"], fields.get("41") or fields["11"])
            self._remember(order, fields)
            status = None if kind in ("4", "5") else _status(fields)  # those tell of a later operation
            self._add(self._placed(order, fields, t_ns, status))
        elif not order.usable:
            raise LeftOut(_OF_LEFT_OUT)
        elif kind == "5":
            self._add(self._amended(order, fields, t_ns))
        if kind == "4" and not order.cancelled:
            order.cancelled = told = True
            self._add(self._row(order, "cancel", t_ns, "Cancelled"))
        return told

    def _reported_order(self, fields: Fields) -> _Order | None:
        names = [fields[tag] for tag in ("41", "11") if fields.get(tag)]
        keys = [("c", fields["56"], name) for name in names]
        keys += [("o", fields["37"], name) for name in names if fields.get("37")]
        return next((order for key in keys if (order := self._orders.get(key))), None)

    def _remember(self, order: _Order, fields: Fields) -> None:
        """Find the order again by what this report calls it."""
        for name in (fields.get("41"), fields.get("11")):
            if name:
                self._orders.put(("c", fields["56"], name), order)
                if fields.get("37"):
                    self._orders.put(("o", fields["37"], name), order)

    def _answer(self, request: tuple[str, str], status: str | None, t_ns: int) -> None:
        row = self._unanswered.pop(request, None)
        if row is not None:
            row.rec_status = status
            if t_ns >= row.t_ns:  # else their clocks differ by more than it took
                row.rec_latency_us = (t_ns - row.t_ns) // 1000

    # -- orders and rows ---------------------------------------------------------------------------------------------

    def _order(self, fields: Fields, client: str, venue: str, name: str) -> _Order:
        account = next((fields[tag] for tag in ("1", "109", "115") if fields.get(tag)), client)
        session = self._sessions.session((client, venue, account))
        return _Order(client, f"{client}/{name}", session, account)

    def _name(self, order: _Order, fields: Fields, name: str) -> None:
        """The client calls its order so, and the counterparty may pass it on under that name."""
        self._orders.put(("c", fields["49"], name), order)
        passed_on = ("c", fields["56"], name)
        if self._orders.get(passed_on) is None:
            self._orders.put(passed_on, order)

    def _placed(self, order: _Order, fields: Fields, t_ns: int, status: str | None = None) -> Row:
        order.usable = False  # until all of it is known to be of use
        type_ = _TYPES.get(fields.get("40") or ("2" if "44" in fields else "1"))
        side = _SIDES.get(fields["54"])
        if type_ is None or side is None:
            raise LeftOut("stop, pegged or other order (40 is not 1 or 2)" if side else "side (54) other than 1 to 6")
        if "38" not in fields and "152" in fields:
            raise LeftOut("quantity in cash (152)")
        order.symbol = _symbol(fields)
        if not order.symbol:
            raise LeftOut("symbol (55, 48) is not 1 to 32 of A-Z 0-9 . _ / -")
        row = self._row(order, "place", t_ns, status)
        row.client_id, row.parent, row.side, row.type = order.client_id, None, side, type_
        row.tif = _tif(fields, type_)
        row.price8 = units8(fields["44"]) if type_ == "Limit" else None
        row.qty8 = _quantity(fields)
        order.usable = True
        return row

    def _amended(self, order: _Order, fields: Fields, t_ns: int) -> Row:
        row = self._row(order, "amend", t_ns)
        if "44" in fields and fields.get("40") != "1":
            row.price8 = units8(fields["44"])
        row.qty8 = units8(fields["38"]) if "38" in fields else None
        if row.price8 is None and row.qty8 is None:
            raise LeftOut("amends neither price nor quantity")
        return row

    def _row(self, order: _Order, op: str, t_ns: int, status: str | None = None) -> Row:
        order.last_ns = max(order.last_ns, t_ns)  # clocks of several hosts: a cancel is not before its order
        row = Row(order.last_ns, order.session, order.account, op, order.symbol, rec_status=status)
        row.parent = order.client_id
        return row

    def _add(self, row: Row, asked: tuple[str, str] | None = None) -> None:
        self._held.append((row, asked))
        if asked:
            self._unanswered[asked] = row

    def _again(self, *parts: str) -> bool:
        """Whether this was seen before; it is from now on."""
        digest = hashlib.blake2b("\x01".join(parts).encode(), digest_size=8).digest()
        if self._seen.get(digest):
            return True
        self._seen.put(digest, True)
        return False


def _symbol(fields: Fields) -> str:
    """Symbol (55), else SecurityID (48); "" where neither is of use."""
    for tag in ("55", "48"):
        try:
            return symbol(fields.get(tag))
        except ValueError:
            continue
    return ""


def _quantity(fields: Fields) -> int:
    if "38" in fields or "151" not in fields:
        return units8(fields["38"])
    return sum(units8(fields[tag]) for tag in ("151", "14") if fields.get(tag, "0").strip("0."))


def _tif(fields: Fields, type_: str) -> str:
    if type_ == "Market" or fields.get("59") in _IOC:
        return "IOC"
    return "PostOnly" if "6" in fields.get("18", "").split() else "GTC"


def _status(fields: Fields) -> str | None:
    found = _STATUS.get(fields.get("39") or fields.get("150", ""))
    reason = fields.get("103", "")
    return f"Rejected {reason}" if found == "Rejected" and _CODE.fullmatch(reason) else found
