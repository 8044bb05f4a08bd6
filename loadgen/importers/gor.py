"""GoReplay recordings (.gor): HTTP requests, and their answers where GoReplay was told to track them.

A record is `type id timestamp[ latency]`, a line break, the HTTP message as it went over the wire, and a line of three
monkeys. Types: 1 request, 2 answer, 3 answer to a replay of it; times in ns
(https://github.com/buger/goreplay/wiki/Dissecting-GoReplay). A request waits for its answer within the next 4,096
records or 16 MiB: the answer tells the venue's id of an order, and what came of it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from typing import BinaryIO

from loadgen.builder import Row
from loadgen.importers import Options, http_text
from loadgen.importers.http_ops import Exchange, Operations
from loadgen.importers.report import Report
from loadgen.importers.source import LINE_LIMIT, Source
from loadgen.importers.values import stamp_ns

SEPARATOR = "\n🐵🙈🙉\n".encode()

_HEAD = re.compile(rb"([123]) ([0-9A-Za-z._-]{1,128}) (\d{1,19})(?: (-?\d{1,19}))? ?\r?")
_READ = 1 << 18
_WAITING = 4096
_WAITING_BYTES = 16 * 1024 * 1024
_ANSWER = 65_536
_HOUR_NS = 3_600_000_000_000


def rows(source: Source, report: Report, options: Options) -> Iterator[Row]:
    """The operations of a recording, in the order of their requests."""
    report.unit = "record"
    waiting = _Waiting(Operations(report, options.sessions), report)
    with source.open() as file:
        for raw in _records(file, report):
            found = _HEAD.fullmatch(raw.partition(b"\n")[0]) if raw else None
            if not found:
                if raw.strip():
                    report.skip(report.lines, "corrupt record: no `type id time`", corrupt=True)
                continue
            yield from waiting.take(found, raw[found.end() + 1 :])
    yield from waiting.rest()


def _records(file: BinaryIO, report: Report) -> Iterator[bytes]:
    """Each record; b"" for one that was reported already."""
    buffer, at, dropping = bytearray(), 0, False
    while piece := file.read(_READ):
        searched = max(at, len(buffer) - len(SEPARATOR))
        buffer += piece
        while (end := buffer.find(SEPARATOR, searched)) >= 0:
            report.lines += 1
            yield b"" if dropping else bytes(buffer[at:end])
            dropping, at = False, end + len(SEPARATOR)
            searched = at
        del buffer[:at]
        at = 0
        if len(buffer) > LINE_LIMIT:
            if not dropping:
                report.skip(report.lines + 1, f"longer than {LINE_LIMIT >> 20} MiB", corrupt=True)
            dropping = True
            del buffer[: -len(SEPARATOR)]
    if buffer.strip():
        report.lines += 1
        if not dropping:
            report.skip(report.lines, "cut: the recording ends within it", corrupt=True)


class _Waiting:
    """Requests that wait for their answers, oldest first."""

    def __init__(self, operations: Operations, report: Report) -> None:
        self._operations, self._report = operations, report
        self._open: OrderedDict[bytes, Exchange] = OrderedDict()
        self._answered: set[bytes] = set()
        self._bytes = 0

    def take(self, head: re.Match[bytes], raw: bytes) -> Iterator[Row]:
        """Take one record; yields the rows of requests that wait no longer."""
        number, kind, name = self._report.lines, head[1], head[2]
        if kind == b"3":
            self._report.skip(number, "answer to a replay")
            return
        try:
            t_ns, _ = stamp_ns(head[3])
            if kind == b"2":
                self._answer(name, t_ns, int(head[4] or 0), http_text.answer(raw))
            else:
                yield from self._request(number, name, t_ns, http_text.request(raw))
        except UnicodeDecodeError:
            self._report.skip(number, "binary body")
        except http_text.NotHttp as error:
            self._report.skip(number, f"corrupt record: {error}", corrupt=True)
        except ValueError:
            self._report.skip(number, "corrupt record: its time", corrupt=True)
        while self._open and (len(self._open) > _WAITING or self._bytes > _WAITING_BYTES or self._first_answered()):
            yield from self._release()

    def rest(self) -> Iterator[Row]:
        """The rows of all that still wait."""
        while self._open:
            yield from self._release()

    def _request(self, number: int, name: bytes, t_ns: int, message: http_text.Message) -> Iterator[Row]:
        if name in self._open:  # an id a second time, as where two captures were joined
            yield from self._release(name)
        message.body.decode("utf-8")
        exchange = Exchange(number, t_ns, message.method, message.target, message.headers, message.body)
        self._report.at(number, t_ns)
        self._open[name] = exchange
        self._bytes += len(message.body)

    def _answer(self, name: bytes, t_ns: int, latency_ns: int, message: http_text.Message) -> None:
        exchange = self._open.get(name)
        if exchange is None:
            self._report.skip(self._report.lines, "answer to no request within the last 4,096 records")
            return
        exchange.status = message.status
        if len(message.body) <= _ANSWER:
            exchange.answer = message.body
        # some versions stamp an answer with its own time, some with its request's and say how long it took
        took = max(t_ns - exchange.t_ns, latency_ns)
        exchange.latency_us = took // 1000 if 0 <= took < _HOUR_NS else None
        self._answered.add(name)

    def _first_answered(self) -> bool:
        return next(iter(self._open)) in self._answered

    def _release(self, name: bytes | None = None) -> Iterator[Row]:
        name = name or next(iter(self._open))
        exchange = self._open.pop(name)
        self._answered.discard(name)
        self._bytes -= len(exchange.body)
        try:
            yield from self._operations.exchange(exchange)
        except ValueError:
            self._report.skip(exchange.number, "corrupt record: its target is no URL", corrupt=True)
