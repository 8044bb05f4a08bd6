"""Access logs: JSON objects, one a line, as nginx and Envoy are told to write them, and the combined format.

Fields are found by their usual names, whichever server wrote them. nginx logs a request when it has been answered, so
its time is the logged one less the time it took; Envoy logs the start. A log that keeps no bodies cannot tell orders:
they stay requests without a body, which is noted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

import orjson

from loadgen.builder import Row
from loadgen.importers import Options
from loadgen.importers.http_ops import Exchange, Operations
from loadgen.importers.report import Report
from loadgen.importers.source import Source
from loadgen.importers.values import date_time_ns, stamp_ns

_STARTS = ("start_time", "request_start", "StartUTC", "time_start")
_ENDS = ("msec", "time_iso8601", "time_local", "@timestamp", "timestamp", "time", "ts", "date")
_SECONDS = ("request_time", "request_time_s", "duration_s", "upstream_response_time")
_MILLISECONDS = ("duration", "duration_ms", "request_duration_ms", "response_time_ms", "latency_ms")
_METHODS = ("request_method", "method", "http_method", "verb")
_PATHS = ("request_uri", "path", "x-envoy-original-path", "x_envoy_original_path", "original_path", "url", "uri")
_QUERIES = ("args", "query_string", "query")
_STATUS = ("status", "response_code", "status_code", "http_status", "code")
_BODIES = ("request_body", "body")
_CONNECTIONS = ("connection", "connection_id", "downstream_remote_address", "downstream_direct_remote_address")
_CLIENTS = ("remote_addr", "client_ip", "client", "realip_remote_addr", "x_forwarded_for", "x-forwarded-for")
_HEADER = re.compile(r"(?:http_|sent_http_|req_header_|request_header_)?([A-Za-z][\w-]{1,60})", re.ASCII)
_LINE = re.compile(r"([A-Za-z]{1,20}) (\S+)(?: HTTP/[\d.]+)?", re.ASCII)
_QUOTED = rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_COMBINED = re.compile(
    rb"(\S+) \S+ (?:.{1,200}? )?\[([^\]]{20,40})\] " + _QUOTED + rb" (\d{3}) (?:\d+|-)"
    rb"(?: " + _QUOTED.replace(b"([^", b"(?:[^", 1) + rb"){0,3}(?: ([\d.]{1,20}))?.*"
)
_LOCAL = re.compile(r"(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TOOK = re.compile(r"(\d{1,12}(?:\.\d{1,12})?) ?(s|ms|us|µs|ns)?", re.ASCII)
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "µs": 10**3, "ns": 1}
_HOUR_NS = 3_600_000_000_000
Line = Mapping[str, Any]


def rows(source: Source, report: Report, options: Options) -> Iterator[Row]:
    """The operations of a log, in the order of its lines."""
    operations = Operations(report, options.sessions)
    for number, raw in source.lines():
        if not raw.strip():
            continue
        try:
            yield from operations.exchange(_exchange(number, _fields(raw), report))
        except UnicodeDecodeError:
            report.skip(number, "not UTF-8", corrupt=True)
        except _Unusable as error:
            report.skip(number, str(error), corrupt=error.corrupt)
        except ValueError:
            report.skip(number, "corrupt line", corrupt=True)


class _Unusable(ValueError):
    """A line that is not used; the text is one of a few."""

    def __init__(self, reason: str, *, corrupt: bool = False) -> None:
        super().__init__(reason)
        self.corrupt = corrupt


def _fields(raw: bytes) -> Line:
    if raw.lstrip().startswith(b"{"):
        found = orjson.loads(raw)
        if not isinstance(found, dict):
            raise ValueError("no object")
        return {name: value for name, value in found.items() if value not in (None, "", "-")}
    combined = _COMBINED.fullmatch(raw)
    if not combined:
        raise ValueError("neither JSON nor the combined format")
    names = ("remote_addr", "time_local", "request", "status", "request_time")
    return {name: value.decode("utf-8") for name, value in zip(names, combined.groups(), strict=True) if value}


def _exchange(number: int, line: Line, report: Report) -> Exchange:
    method, target = _target(line)
    took_ns = _took(line)
    start_ns, end_ns = _times(line, took_ns or 0)
    report.at(number, end_ns)  # in this order lines are written
    body = _first(line, _BODIES)
    status = str(_first(line, _STATUS) or "")
    connection, client = _first(line, _CONNECTIONS), _first(line, _CLIENTS)
    return Exchange(
        number,
        start_ns,
        method,
        target,
        _headers(line),
        body.encode() if isinstance(body, str) else orjson.dumps(body) if isinstance(body, dict | list) else b"",
        connection=None if connection is None else str(connection),
        client=None if client is None else str(client),
        status=int(status) if re.fullmatch(r"[1-9]\d\d", status, re.ASCII) else None,
        latency_us=None if took_ns is None else took_ns // 1000,
    )


def _first(line: Line, names: tuple[str, ...]) -> Any:  # noqa: ANN401 - whatever the log holds
    return next((line[name] for name in names if name in line), None)


def _target(line: Line) -> tuple[str, str]:
    """Method and target, from fields of their own or from the request line."""
    method, target = _first(line, _METHODS), _first(line, _PATHS)
    request = line.get("request")
    if isinstance(request, str) and not (method and target):
        found = _LINE.fullmatch(request)
        method, target = (found[1], found[2]) if found else (None, None)
    elif isinstance(target, str) and "?" not in target and isinstance(query := _first(line, _QUERIES), str):
        target += "?" + query.removeprefix("?")
    if method is None and target is None and request is None and "method" not in line:
        raise _Unusable("says no request")
    if not isinstance(method, str) or not method.isalpha() or not isinstance(target, str):
        raise _Unusable("corrupt request line", corrupt=True)
    return method.upper(), target


def _times(line: Line, took_ns: int) -> tuple[int, int]:
    """Start and end of a request, in ns."""
    start, end = _first(line, _STARTS), _first(line, _ENDS)
    if start is not None:
        start_ns = _time(start)
        return start_ns, start_ns + took_ns
    if end is None:
        raise _Unusable("tells no time", corrupt=True)
    end_ns = _time(end)
    if end_ns < took_ns:
        raise _Unusable("starts before 1970", corrupt=True)
    return end_ns - took_ns, end_ns


def _time(value: object) -> int:
    if not isinstance(value, str):
        return stamp_ns(value)[0]
    text = value.strip("[] ")
    if text.replace(".", "", 1).isdecimal():
        return stamp_ns(text)[0]
    found = _LOCAL.fullmatch(text)
    return _local(found.groups()) if found else date_time_ns(text)


@lru_cache(maxsize=256)
def _local(parts: tuple[str, ...]) -> int:
    day, month, year, hour, minute, second, sign, zone_h, zone_m = parts
    if month not in _MONTHS:
        raise ValueError("no month")
    at = datetime(
        int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), min(int(second), 59), tzinfo=UTC
    )
    zone = timedelta(hours=int(zone_h), minutes=int(zone_m))
    t_ns = round(at.timestamp() - zone.total_seconds() * (1 if sign == "+" else -1)) * 1_000_000_000
    if not 0 <= t_ns < 2**63:
        raise ValueError("out of range")
    return t_ns


def _took(line: Line) -> int | None:
    """How long a request took, in ns; None where it is not told, or is no time that a request takes."""
    for names, unit in ((_SECONDS, "s"), (_MILLISECONDS, "ms")):
        value = _first(line, names)
        found = _TOOK.fullmatch(str(value)) if value is not None else None
        if found:
            try:
                took = int(Decimal(found[1]) * _UNITS[found[2] or unit])
            except InvalidOperation:
                return None
            return took if took < _HOUR_NS else None
    return None


def _headers(line: Line) -> dict[str, str]:
    """Request headers: nginx names them http_x_y, Envoy as they are."""
    headers = {}
    for name, value in line.items():
        found = _HEADER.fullmatch(name)
        if found and isinstance(value, str) and not name.startswith("sent_"):
            headers[found[1].lower().replace("_", "-")] = value
    return headers
