"""Entries and WebSocket messages of an archive, out of its stream of JSON events; only what an import needs is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from loadgen.importers.json_events import DEPTH, Broken, events, telling
from loadgen.importers.report import Report

_ENTRY = 4
"""Levels at which an entry stands: the archive, its log, the entries, one entry."""
_SCALARS = frozenset(
    {
        "startedDateTime",
        "time",
        "connection",
        "_connectionId",
        "request.method",
        "request.url",
        "request.postData.text",
        "request.postData.encoding",
        "response.status",
        "response.content.text",
        "response.content.encoding",
    }
)
_LEVELS = frozenset({name.rpartition(".")[0] for name in _SCALARS}) | {
    "request.headers.",
    "request.postData.params.",
    "_webSocketMessages.",
}
"""Where in an entry there are scalars of use."""
_PARTS = frozenset({"name", "value", "type", "time", "_t_ns", "opcode", "data"})
"""What a header, a form field and a message are made of."""
_STARTS, _ENDS = ("start_map", "start_array"), ("end_map", "end_array")
_DEEPEST = _ENTRY + 4
_KEY = 64  # longer than any key that matters
_CONTENT = 65_536
"""The answer to an order is shorter."""
_PAIRS = 1000
"""Headers, or form fields, of one request."""


@dataclass(slots=True)
class Entry:
    """What is known of one entry so far; `values` by their dotted names."""

    number: int
    values: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    params: list[tuple[str, str]] = field(default_factory=list)
    too_large: bool = False  # some of it was not kept

    def text(self, name: str) -> str:
        """A value that is text; "" where it is not."""
        value = self.values.get(name)
        return value if isinstance(value, str) else ""

    def number_of(self, name: str) -> float | None:
        """A value that is a number."""
        value = self.values.get(name)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def entries(file: BinaryIO, report: Report) -> Iterator[tuple[Entry, dict[str, Any] | None]]:
    """Each WebSocket message with the entry that it belongs to, and each entry with None when it is complete.

    Counts entries in the report. Raises Broken where the archive ends too early.
    """
    reader = _Reader(report)
    with telling():
        for event, value in events(file):
            if event == "map_key":
                reader.path[-1] = value[:_KEY]
            elif event in _STARTS:
                reader.start(event)
            elif event in _ENDS:
                found = reader.end(event)
                if found is not None:
                    yield found
            elif reader.wanted:
                reader.scalar(value)


class _Reader:
    """Where in the archive the events are, and what is known of the open entry."""

    def __init__(self, report: Report) -> None:
        self.path: list[str] = []  # key, or "" for an item, of each open level
        self.wanted = False  # whether scalars of this level may be of use
        self._report = report
        self._entry: Entry | None = None
        self._pair: dict[str, Any] = {}  # the open header, form field or message

    def start(self, event: str) -> None:
        """A map or an array begins."""
        path = self.path
        path.append("")
        if len(path) > DEPTH:
            raise Broken("nested too deeply")
        if self._entry is None:
            if event == "start_map" and len(path) == _ENTRY and path[:2] == ["log", "entries"]:
                self._report.lines += 1
                self._entry, self.wanted = Entry(self._report.lines), True
        else:
            self._level()

    def end(self, event: str) -> tuple[Entry, dict[str, Any] | None] | None:
        """A map or an array ends; returns a message or an entry that ended with it."""
        path, entry, pair = self.path, self._entry, self._pair
        path.pop()
        if entry is None:
            return None
        if len(path) == _ENTRY - 1:
            self._entry, self.wanted = None, False
            return entry, None
        taken = self.wanted and event == "end_map" and _close(entry, ".".join(path[_ENTRY - 1 :]), pair)
        self._level()
        return (entry, pair) if taken else None

    def _level(self) -> None:
        """Another level of the entry is open."""
        path = self.path
        self.wanted = len(path) <= _DEEPEST and ".".join(path[_ENTRY - 1 : -1]) in _LEVELS
        self._pair = {}

    def scalar(self, value: Any) -> None:  # noqa: ANN401 - any JSON scalar
        """A value: of the entry, or of the open pair."""
        assert self._entry
        name = ".".join(self.path[_ENTRY - 1 :])
        if name in _SCALARS:
            if name != "response.content.text" or not isinstance(value, str) or len(value) <= _CONTENT:
                self._entry.values[name] = value
        elif self.path[-1] in _PARTS:
            self._pair[self.path[-1]] = value


def _close(entry: Entry, name: str, pair: dict[str, Any]) -> bool:
    """Take the pair whose map has just ended; whether it is a WebSocket message."""
    if name == "_webSocketMessages.":
        return True
    key, value = pair.get("name"), pair.get("value")
    if not isinstance(key, str) or not isinstance(value, str):
        return False
    kept = entry.headers if name == "request.headers." else entry.params
    if len(kept) >= _PAIRS or len(key) + len(value) > _CONTENT:
        entry.too_large = True
    elif name == "request.headers.":
        entry.headers[key.lower()] = value
    elif name == "request.postData.params.":
        entry.params.append((key, value))
    return False
