"""The sandbox's own journal as JSON lines, one executed command each, as its audit gives it out at /audit/journal.

* A command is a row: the intent with the fields that the client gave, and in `rec_status` what came of it.
* Left out: a repeated attempt of one intent (outcome `duplicate`), and canaries, which belong to no client.
* Accounts become sessions in the order in which they appear, and are named after them.
* A cancel or amend of an order that the journal does not hold is an orphan: the trace leaves it out and counts it.
* The journal keeps no latencies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from loadgen.builder import Row
from loadgen.importers import Options, Report, Source
from loadgen.importers.values import Dealer, symbol, units8

_SIDES = ("Buy", "Sell")
_TYPES = ("Limit", "Market")
_TIFS = ("GTC", "IOC", "PostOnly")
_KINDS = ("place", "cancel", "amend")


class LeftOut(Exception):
    """A command that is no intent of the recording; the message is the reason."""


def rows(source: Source, report: Report, options: Options) -> Iterator[Row]:
    """The commands of a journal, one at a time; holds the accounts."""
    commands = Commands()
    for number, line in source.lines():
        if not line.strip():
            continue
        try:
            row = commands.row(orjson.loads(line))
            row.t_ns = report.at(number, row.t_ns)
            yield row
        except LeftOut as reason:
            report.skip(number, str(reason))
        except (ValueError, KeyError, TypeError, AttributeError):
            report.skip(number, "corrupt line", corrupt=True)


class Commands:
    """Rows of a trace from commands of the journal; with `own`, only of op ids that start with it."""

    def __init__(self, own: str | None = None) -> None:
        self._own = own
        self._accounts = Dealer()

    def row(self, raw: Mapping[str, Any]) -> Row:
        """The row of one command.

        Raises LeftOut where it is none of the recording's, and ValueError, KeyError, TypeError or AttributeError where
        it is no command.
        """
        account, kind = _text(raw["account"]), raw["kind"]
        if account == "canary" or (self._own is not None and not raw["op_id"].startswith(self._own)):
            raise LeftOut("of somebody else")
        if raw["outcome"] == "duplicate":
            raise LeftOut("repeated attempt")
        if kind not in _KINDS or not isinstance(raw["t_ns"], int) or not 0 <= raw["t_ns"] < 2**63:
            raise ValueError("no command")
        name = symbol(raw["symbol"])
        session = self._accounts.session(account)
        made = Row(raw["t_ns"], session, f"acct-{session}", kind, name, rec_status=_status(raw))
        if kind == "place":
            made.client_id = f"{session}:{_text(raw['client_id'])}"
            made.side, made.type = _one_of(raw, "side", _SIDES), _one_of(raw, "type", _TYPES)
            made.tif = _one_of(raw, "tif", _TIFS)
        else:
            made.parent = f"{session}:{_text(raw['parent'])}"
        if kind != "cancel":
            made.price8, made.qty8 = _units(raw["price"]), _units(raw["qty"])
            _complete(made)
        return made


def _complete(row: Row) -> None:
    """Raise ValueError where an order lacks what it is made of."""
    if row.op == "amend" and row.price8 is None and row.qty8 is None:
        raise ValueError("an amend of nothing")
    if row.op == "place" and (row.qty8 is None or (row.price8 is None) != (row.type == "Market")):
        raise ValueError("no quantity or price")


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 128:
        raise ValueError("no name")
    return value


def _one_of(raw: Mapping[str, Any], key: str, known: tuple[str, ...]) -> str:
    if raw[key] not in known:
        raise ValueError(f"unknown {key}")
    return str(raw[key])


def _status(raw: Mapping[str, Any]) -> str:
    return str(raw["status"])[:40] if raw["outcome"] == "ok" else f"Rejected {int(raw['code'])}"


def _units(text: str | None) -> int | None:
    """None where the command does not name it: null or zero."""
    try:
        return units8(text) if Decimal(text or 0) else None
    except InvalidOperation as error:
        raise ValueError("no number") from error
