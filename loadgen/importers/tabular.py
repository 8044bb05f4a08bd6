"""CSV and JSON lines of any system, by a mapping file that says which column is what; without one, our own exports.

A cancel or amend that names its order in `client_id` (many logs have one id column for all) needs no `parent`. Where
there is no session, an account is one; where there is neither, orders are dealt to pseudo-sessions by their id.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from drills.errors import DefinitionError, DefinitionErrors
from drills.registry import did_you_mean, nearest
from drills.units import quoted
from drills.yamlpos import Document
from loadgen.builder import Row
from loadgen.importers import Options
from loadgen.importers.mapping import OURS, Mapping, load
from loadgen.importers.report import Report
from loadgen.importers.source import Source
from loadgen.importers.tabular_rows import Record, RowMaker, Unusable, lookup

_QUOTED_NAMES = 8


@dataclass(frozen=True, slots=True)
class _Asked:
    """The mapping that is used, and the file that it stands in (None: our own columns)."""

    mapping: Mapping
    document: Document | None
    path: str


def rows(source: Source, report: Report, options: Options) -> Iterator[Row]:
    """The operations of a recording, in the order of its lines; DefinitionError where the mapping does not fit."""
    mapping, document = load(options.mapping) if options.mapping else (OURS, None)
    asked = _Asked(mapping, document, str(source.path))
    maker = RowMaker(mapping, report, options.sessions)
    for number, record in (_csv if options.format == "csv" else _jsonl)(source, report, asked):
        try:
            row = maker.row(number, record)
        except Unusable as error:
            report.skip(number, str(error), corrupt=error.corrupt)
            continue
        if row is not None:
            yield row


def _jsonl(source: Source, report: Report, asked: _Asked) -> Iterator[tuple[int, Record]]:
    first = True
    for number, line in source.lines():
        if not line.strip():
            continue
        try:
            found = orjson.loads(line)
        except orjson.JSONDecodeError:
            report.skip(number, "not JSON", corrupt=True)
            continue
        if not isinstance(found, dict):
            report.skip(number, "not a JSON object", corrupt=True)
            continue
        if first and asked.document is None:
            _ours_only(asked, list(found))
        first = False
        yield number, _getter(found)


def _getter(found: dict[str, Any]) -> Record:
    return lambda name: lookup(found, name)


def _csv(source: Source, report: Report, asked: _Asked) -> Iterator[tuple[int, Record]]:
    text = _Text(source, report)
    columns: Sequence[str] | None = asked.mapping.columns
    at = _places(asked, columns) if columns is not None else {}
    for fields in _records(text, report, asked.mapping.delimiter):
        if columns is None:
            columns = [name.strip() for name in fields]
            at = _places(asked, columns)
        elif not fields:
            continue
        elif len(fields) != len(columns):
            report.skip(text.number, f"not {len(columns)} fields", corrupt=True)
        else:
            yield text.number, _field(fields, at)


def _field(fields: list[str], at: dict[str, int]) -> Record:
    def value(name: str) -> str | None:
        place = at.get(name)
        return None if place is None else fields[place]

    return value


def _records(text: _Text, report: Report, delimiter: str) -> Iterator[list[str]]:
    """Records of a CSV; one that is broken costs itself, and the reader starts anew behind it."""
    while not text.ended:
        try:
            yield from csv.reader(text, delimiter=delimiter)
        except csv.Error:
            report.skip(text.number, "broken CSV", corrupt=True)


class _Text:
    """The lines of a CSV as text, and the number of the one read last."""

    def __init__(self, source: Source, report: Report) -> None:
        self._lines, self._report = source.lines(), report
        self.number, self.ended = 0, False

    def __iter__(self) -> _Text:
        return self

    def __next__(self) -> str:
        for number, line in self._lines:
            self.number = number
            try:
                return line.decode("utf-8-sig" if number == 1 else "utf-8") + "\n"
            except UnicodeDecodeError:
                self._report.skip(number, "not UTF-8", corrupt=True)
        self.ended = True
        raise StopIteration


def _places(asked: _Asked, columns: Sequence[str]) -> dict[str, int]:
    """Where each column stands; raises DefinitionErrors for one of the mapping that is not there, or there twice."""
    if asked.document is None:
        _ours_only(asked, columns)
    errors = []
    for path, name in asked.mapping.named() if asked.document else []:
        assert asked.document
        if name not in columns:
            hint = did_you_mean(name, columns) if nearest(name, columns) else f"it has {_list(columns)}"
            errors.append(asked.document.error(path, f"{asked.path} has no column {quoted(name)}", hint))
        elif columns.count(name) > 1:
            errors.append(asked.document.error(path, f"{asked.path} has column {quoted(name)} twice"))
    if errors:
        raise DefinitionErrors(errors[0].file, errors)
    return {name: place for place, name in enumerate(columns)}


def _ours_only(asked: _Asked, columns: Sequence[str]) -> None:
    """Refuse a recording without a mapping file whose columns are not those of our exports."""
    known = [name for _, name in OURS.named()]
    strange = [name for name in columns if name not in known]
    missing = [name for name in ("t_ns", "op") if name not in columns]
    if not strange and not missing:
        return
    what = f"unknown column{'s' if len(strange) > 1 else ''} {_list(strange)}" if strange else ""
    what += ("; " if what else "") + f"no column {_list(missing)}" if missing else ""
    raise DefinitionError(asked.path, what, hint="write a mapping file that says which column is what (--mapping)")


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(quoted(name) for name in names[:_QUOTED_NAMES])
    return shown + (f" and {len(names) - _QUOTED_NAMES} more" if len(names) > _QUOTED_NAMES else "")
