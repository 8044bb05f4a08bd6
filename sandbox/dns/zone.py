"""Records of one zone, and the faults that stand between them and whoever asks. Knows no socket and no message."""

from __future__ import annotations

import ipaddress
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.errors import BadUse

TTL_S = 5
LONGEST_TTL_S = 86_400
TYPES = ("A", "AAAA", "CNAME", "TXT")
MODES = ("servfail", "nxdomain", "timeout", "stale")
_NAME = re.compile(r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_CHAIN = 8
"""So many CNAMEs are followed."""


@dataclass(frozen=True, slots=True)
class Record:
    """One name: its type, time to live in seconds, values, and where they are weighted a weight for each."""

    name: str
    type: str
    ttl: int
    values: tuple[str, ...]
    weights: tuple[int, ...] = ()

    def shown(self) -> dict[str, Any]:
        """The record as JSON."""
        row = {"type": self.type, "ttl": self.ttl, "values": list(self.values)}
        return row | {"weights": list(self.weights)} if self.weights else row


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, for one name or all; `held`: the records that it goes on serving."""

    mode: str
    name: str | None
    held: Mapping[str, Record]

    def hits(self, name: str) -> bool:
        """Whether it stands between this name and whoever asks."""
        return self.name in (None, name)

    def shown(self) -> dict[str, Any]:
        """The fault as JSON."""
        return {"mode": self.mode, "name": self.name}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is to be said; `silent`: nothing at all. `rows` are (name, type, ttl, value)."""

    rcode: str = "NOERROR"
    rows: tuple[tuple[str, str, int, str], ...] = ()
    stale: bool = False
    silent: bool = False


@dataclass(slots=True)
class Zone:
    """All records under one name."""

    origin: str
    ttl: int = TTL_S
    records: dict[str, Record] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    serial: int = 1
    rng: random.Random = field(default_factory=random.Random)
    _turn: int = 0

    def holds(self, name: str) -> bool:
        """Whether a name belongs here."""
        return name == self.origin or name.endswith(f".{self.origin}")

    def put(self, name: str, body: object) -> Record:
        """Make or replace a record from its JSON; raises BadUse that names the mistake."""
        made = self._parse(canonical(name), body)
        if self.records.get(made.name) != made:
            self.records[made.name] = made
            self.serial += 1
        return made

    def remove(self, name: str) -> bool:
        """Delete a record; whether there was one."""
        self.serial += 1
        return self.records.pop(canonical(name), None) is not None

    def load(self, rows: Mapping[str, object]) -> None:
        """Take all records of a file; raises BadUse for the first wrong one."""
        for name, body in rows.items():
            self.put(name, body)

    def begin(self, key: str, body: object) -> Fault:
        """Let something go wrong under a key; the same again is fine. Raises BadUse, also for another fault there."""
        asked = body if isinstance(body, dict) else {}
        mode, name = asked.get("mode"), asked.get("name")
        if mode not in MODES:
            raise BadUse(f"faults: mode {mode!r} is none of {', '.join(MODES)}")
        if name is not None:
            name = canonical(str(name))
            if name not in self.records:
                raise BadUse(f"faults: no record {name!r}; there are {', '.join(sorted(self.records)) or 'none'}")
        there = self.faults.get(key)
        if there is not None and (there.mode, there.name) != (mode, name):
            raise BadUse(f"faults: {key} is there already as {there.mode} of {there.name or 'every name'}")
        # one that is there goes on serving what was valid when it began
        return self.faults.setdefault(key, Fault(mode, name, dict(self.records)))

    def end(self, key: str) -> bool:
        """End a fault; whether there was one."""
        return self.faults.pop(key, None) is not None

    def answer(self, name: str, kind: str) -> Answer:
        """What to say to a question for `kind` of `name` (canonical)."""
        if not self.holds(name):
            return Answer("REFUSED")
        fault = next((one for one in self.faults.values() if one.hits(name)), None)
        if fault is None:
            return self._found(self.records, name, kind, stale=False)
        match fault.mode:
            case "timeout":
                return Answer(silent=True)
            case "stale":
                return self._found(fault.held, name, kind, stale=True)
        return Answer(fault.mode.upper())

    def _found(self, records: Mapping[str, Record], name: str, kind: str, *, stale: bool) -> Answer:
        rows: list[tuple[str, str, int, str]] = []
        for _ in range(_CHAIN):
            record = records.get(name)
            if record is None:
                # a name below which there are others exists, without records of its own
                empty = name == self.origin or any(other.endswith(f".{name}") for other in records) or bool(rows)
                return Answer("NOERROR" if empty else "NXDOMAIN", tuple(rows), stale)
            if record.type == kind or record.type == "CNAME":
                rows += [(name, record.type, record.ttl, value) for value in self._chosen(record)]
            if record.type != "CNAME" or kind == "CNAME":
                break
            name = canonical(record.values[0])
        return Answer("NOERROR", tuple(rows), stale)

    def _chosen(self, record: Record) -> tuple[str, ...]:
        """All values, each time beginning with another; of weighted ones a single one, as weighted."""
        if record.weights:
            weights = record.weights if any(record.weights) else None  # all at nought: all alike
            return tuple(self.rng.choices(record.values, weights))
        self._turn += 1
        first = self._turn % len(record.values)
        return record.values[first:] + record.values[:first]

    def _parse(self, name: str, body: object) -> Record:
        if not _NAME.fullmatch(name) or not self.holds(name):
            raise BadUse(f"records: {name!r} is not a name of {self.origin}")
        if not isinstance(body, dict) or (unknown := body.keys() - {"type", "ttl", "values", "weights"}):
            what = f"unknown {', '.join(sorted(unknown))}" if isinstance(body, dict) else "no object"
            raise BadUse(f"records: {name}: {what}; write {{type, ttl, values, weights}}")
        kind, ttl = body.get("type", "A"), body.get("ttl", self.ttl)
        if kind not in TYPES:
            raise BadUse(f"records: {name}: type {kind!r} is none of {', '.join(TYPES)}")
        if not isinstance(ttl, int) or isinstance(ttl, bool) or not 0 <= ttl <= LONGEST_TTL_S:
            raise BadUse(f"records: {name}: ttl {ttl!r} is no number of seconds from 0 to {LONGEST_TTL_S}")
        values = body.get("values")
        if not isinstance(values, list) or not values or (kind == "CNAME" and len(values) > 1):
            raise BadUse(f"records: {name}: values {values!r} are no list of {kind} values")
        for value in values:
            _check(name, kind, value)
        return Record(name, kind, ttl, tuple(values), _weights(name, body.get("weights"), len(values)))


def canonical(name: str) -> str:
    """Lower case, without the last dot."""
    return name.lower().rstrip(".")


def _check(name: str, kind: str, value: object) -> None:
    good = isinstance(value, str)
    if isinstance(value, str) and kind in ("A", "AAAA"):
        try:
            good = ipaddress.ip_address(value).version == (4 if kind == "A" else 6)
        except ValueError:
            good = False
    elif isinstance(value, str):
        good = len(value) <= 255 and (kind != "CNAME" or _NAME.fullmatch(canonical(value)) is not None)
    if not good:
        raise BadUse(f"records: {name}: {value!r} is no value of type {kind}")


def _weights(name: str, given: object, count: int) -> tuple[int, ...]:
    if given is None or given == []:
        return ()
    whole = isinstance(given, list) and all(
        isinstance(one, int) and not isinstance(one, bool) and 0 <= one <= 255 for one in given
    )
    if not isinstance(given, list) or not whole or len(given) != count:
        raise BadUse(f"records: {name}: weights {given!r} are not {count} whole numbers from 0 to 255")
    return tuple(given)
