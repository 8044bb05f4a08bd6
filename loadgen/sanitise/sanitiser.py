"""Rows through the allow-list, on their way from an importer to a trace; fails closed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from drills.errors import UsageError
from loadgen.builder import Row
from loadgen.sanitise import leaks, words
from loadgen.sanitise.leaks import LeakFound
from loadgen.sanitise.payload import Payloads, Unusable
from loadgen.sanitise.pseudonyms import HOW, SHAPE, Pseudonyms
from loadgen.trace import KINDS

KEPT = (
    "t_ns", "session", "account", "op", "symbol", "side", "type", "tif", "price8", "qty8", "client_id", "parent",
    "rec_status", "rec_latency_us", "payload",
)  # fmt: skip
"""Fields of a row that are kept: times, whole numbers, words of a list, symbols, pseudonyms, and cleaned payloads."""

ORDERS = frozenset({"place", "cancel", "amend"})
SIDES, TYPES = frozenset({None, "Buy", "Sell"}), frozenset({None, "Limit", "Market"})
TIFS = frozenset({None, "GTC", "IOC", "FOK", "PostOnly"})
_REMEMBERED, _SHORT = 16_384, 2_048


class Sanitiser:
    """Takes everything out of the rows of one import that is not known to be harmless.

    `key` makes the pseudonyms (None: a random one); it is not kept anywhere. `file` is what errors name. `keep`:
    further words that paths of requests may be made of.
    """

    def __init__(self, key: bytes | None = None, *, file: str = "recording", keep: Iterable[str] = ()) -> None:
        self._names = Pseudonyms(key)
        self._file = file
        self._keep = _checked(keep)
        self._dropped: Counter[str] = Counter()
        self._renamed: Counter[str] = Counter()
        self._payloads = Payloads(self._names, self._keep, self._dropped, self._renamed)
        self._seen = self._kept = self._scanned = 0
        self._harmless: set[str] = set()

    def row(self, row: Row) -> Row | None:
        """The row as it may be kept, or None where it is dropped (and counted).

        Raises LeakFound where something that looks like a secret came through all the same.
        """
        self._seen += 1
        symbol = row.symbol or ""
        if row.op not in KINDS:
            return self._drop("operation of an unknown kind")
        if (symbol or row.op == "place") and not words.SYMBOL.fullmatch(symbol):
            return self._drop("operation whose symbol does not look like one")
        if row.side not in SIDES or row.type not in TYPES or row.tif not in TIFS:
            return self._drop("operation with an unknown side, type or time in force")
        try:
            payload = self._payload(row)
        except Unusable as why:
            return self._drop(str(why))
        made = Row(
            t_ns=int(row.t_ns),
            session=int(row.session),
            account=self._names.account(row.account),
            op=row.op,
            symbol=symbol,
            side=row.side,
            type=row.type,
            tif=row.tif,
            price8=row.price8,
            qty8=row.qty8,
            client_id=None if row.client_id is None else self._names.order(row.client_id),
            parent=None if row.parent is None else self._names.order(row.parent),
            rec_status=self._status(row.rec_status),
            rec_latency_us=row.rec_latency_us,
            payload=payload,
        )
        self._look(made)
        self._kept += 1
        return made

    def finish(self) -> dict[str, Any]:
        """The manifest: what was kept, renamed and dropped, and that nothing was found in what is left.

        It counts only together with the digest of the trace's content: see `manifest.seal`.
        """
        for word in sorted(self._keep):
            self._check("a word of --keep", word)
        return {
            "version": words.VERSION,
            "rows": self._kept,
            "kept": list(KEPT),
            "kept_on_request": sorted(self._keep),
            "pseudonyms": HOW,
            "renamed": dict(self._renamed.most_common()),
            "dropped": dict(self._dropped.most_common()),
            "strings_scanned": self._scanned,
            "findings": 0,
        }

    def _drop(self, why: str) -> Row | None:
        self._dropped[why] += 1
        return None

    def _payload(self, row: Row) -> bytes | None:
        if row.payload is None:
            return None
        if row.op in ORDERS:
            self._dropped["payload of an order, cancel or amend"] += 1
            return None
        return self._payloads.clean(row.payload)

    def _status(self, text: str | None) -> str | None:
        if text and words.STATUS.fullmatch(text):
            return text
        if text:
            self._dropped["status that is none we know"] += 1
        return None

    def _look(self, row: Row) -> None:
        """The last look at every string of a row."""
        for what, text in (("account", row.account), ("client_id", row.client_id), ("parent", row.parent)):
            if text is not None:
                self._scanned += 1
                if not SHAPE.fullmatch(text):  # our own pseudonyms are nothing else
                    self._check(what, text)
        for what, text in (("symbol", row.symbol), ("rec_status", row.rec_status)):
            if text:
                self._scanned += 1
                self._once(what, text)
        if row.payload is not None:
            self._scanned += 1
            self._once("payload", leaks.outline(row.payload.decode()))

    def _once(self, what: str, text: str) -> None:
        if text not in self._harmless:
            self._check(what, text)
            if len(self._harmless) < _REMEMBERED and len(text) <= _SHORT:
                self._harmless.add(text)

    def _check(self, what: str, text: str) -> None:
        kind = leaks.find(text)
        if kind is not None:
            raise LeakFound(self._file, f"operation {self._seen:,}: {what}", kind)


def _checked(keep: Iterable[str]) -> frozenset[str]:
    for word in keep:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,39}", word) or leaks.find(word):
            raise UsageError(f'--keep: "{word}" is not a word of a path')
    return frozenset(keep)
