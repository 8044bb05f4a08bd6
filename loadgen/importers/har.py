"""HTTP archives (HAR 1.2, http://www.softwareishard.com/blog/har-12-spec/), as browsers and proxies save them.

Read as a stream of events: the archive may be larger than the memory. An entry is one HTTP exchange; the messages that
a WebSocket entry carries (`_webSocketMessages`, as Chrome writes them) become operations of their own, at their own
times. The messages of a connection stand in one place, however long it lived, so rows are sorted by time when all is
read. An archive that ends in the middle gives what it had until then.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from loadgen.builder import Row
from loadgen.importers import Options
from loadgen.importers.har_entries import Entry, entries
from loadgen.importers.http_ops import Exchange, Operations, Talk
from loadgen.importers.json_events import STRING_LIMIT, Broken
from loadgen.importers.report import Report
from loadgen.importers.runs import Runs
from loadgen.importers.source import Source
from loadgen.importers.values import date_time_ns, stamp_ns

_HOSTS = 20
_HOUR_MS = 3_600_000.0


def rows(source: Source, report: Report, options: Options) -> Iterator[Row]:
    """The operations of an archive, in the order of time."""
    report.unit = "entry"
    archive = _Archive(report, options.sessions)
    with source.open() as file, Runs() as runs:
        try:
            for entry, message in entries(file, report):
                for row in archive.exchange(entry) if message is None else archive.message(entry, message):
                    runs.add(row)
        except Broken as error:
            report.skip(report.lines + 1, str(error), corrupt=True)
        for row in runs.merged():
            yield archive.operations.link(row)


class _Archive:
    """What one archive has told so far."""

    def __init__(self, report: Report, sessions: int) -> None:
        self.operations = Operations(report, sessions)
        self._report = report
        self._talks: dict[int, Talk] = {}
        self._hosts: list[str] = []

    def exchange(self, entry: Entry) -> list[Row]:
        """The rows of an entry that is complete."""
        talked = self._talks.pop(entry.number, None)
        scheme, _, _ = entry.text("request.url").partition(":")
        if talked or scheme.lower() in ("ws", "wss"):
            self._report.skip(entry.number, "WebSocket handshake")
            return []
        if scheme.lower() not in ("http", "https", ""):
            self._report.skip(entry.number, "not HTTP")
            return []
        try:
            return self.operations.exchange(self._exchange(entry))
        except UnicodeDecodeError:
            self._report.skip(entry.number, "binary body")
        except (ValueError, binascii.Error):
            self._report.skip(entry.number, "corrupt entry", corrupt=True)
        return []

    def message(self, entry: Entry, message: dict[str, Any]) -> list[Row]:
        """The rows of one message of a WebSocket entry that is not complete yet."""
        number, text = entry.number, message.get("data")
        talk = self._talks.get(number)
        if talk is None:
            name = entry.text("connection") or entry.text("_connectionId") or f"entry {number}"
            talk = self._talks[number] = Talk(name, entry.headers)
        if not isinstance(text, str) or len(text) >= STRING_LIMIT:
            self._report.skip(number, "corrupt message", corrupt=True)
        elif message.get("type") == "receive":
            self._report.skip(number, "received by the client")
            self.operations.heard(talk, text)
        elif message.get("type") != "send":
            self._report.skip(number, "neither sent nor received")
        elif message.get("opcode", 1) != 1:
            self._report.skip(number, "binary message")
        else:
            try:
                t_ns, _ = stamp_ns(message.get("_t_ns") or message.get("time") or "")
                return self.operations.message(talk, number, t_ns, text)
            except ValueError:
                self._report.skip(number, "corrupt message", corrupt=True)
        return []

    def _exchange(self, entry: Entry) -> Exchange:
        host, target = _address(entry.text("request.url"))
        t_ns = date_time_ns(entry.text("startedDateTime"))
        method, status, took = (
            entry.text("request.method").upper(),
            entry.number_of("response.status"),
            entry.number_of("time"),
        )
        if not method.isalpha() or not entry.text("request.url") or entry.too_large:
            raise ValueError("no method or URL, or more headers than it can have")
        self._host(entry.number, host)
        self._report.at(entry.number, t_ns)
        return Exchange(
            entry.number,
            t_ns,
            method,
            target,
            entry.headers,
            _body(entry),
            connection=entry.text("connection") or entry.text("_connectionId") or None,
            status=int(status) if status is not None and 100 <= status < 1000 else None,
            answer=_answer(entry),
            latency_us=int(took * 1000) if took is not None and 0 <= took < _HOUR_MS else None,
        )

    def _host(self, number: int, host: str) -> None:
        if host not in self._hosts and len(self._hosts) < _HOSTS:
            self._hosts.append(host)
        if host != self._hosts[0]:
            named = host if host in self._hosts else "others"
            self._report.note(number, f"sent to {named}, unlike the first one to {self._hosts[0]}")


def _address(url: str) -> tuple[str, str]:
    """Host, and path and query, of a URL."""
    whole = url.partition("://")[2].partition("#")[0]
    host = re.split("[/?]", whole, maxsplit=1)[0]
    target = whole[len(host) :]
    return host, target if target.startswith("/") else "/" + target


def _body(entry: Entry) -> bytes:
    text = entry.text("request.postData.text")
    if len(text) >= STRING_LIMIT:
        raise ValueError("body too long")
    if not text and entry.params:
        return urlencode(entry.params).encode()
    if entry.text("request.postData.encoding") == "base64":
        plain = base64.b64decode(text, validate=True)
        plain.decode("utf-8")
        return plain
    return text.encode()


def _answer(entry: Entry) -> bytes:
    text = entry.text("response.content.text")
    if entry.text("response.content.encoding") != "base64":
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
