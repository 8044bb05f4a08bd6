"""The format of a recording, by its name and first bytes."""

from __future__ import annotations

import re

from drills.errors import DefinitionError
from loadgen.importers.report import Report
from loadgen.importers.source import Source

_HEAD = 65_536
_NAMES = (
    (re.compile(r".*_message_\d+\.csv"), "lobster"),
    (re.compile(r".*\.har"), "har"),
    (re.compile(r".*\.gor"), "gor"),
)
_BYTES = (
    (re.compile(rb"(?:^|[^0-9])8=FIX(?:T?\.\d)", re.MULTILINE), "fix"),
    (re.compile(rb"\A(?:wss?://\S+ <->?|\d{9,}(?:\.\d+)?: \{)"), "bybit-ws"),
    (re.compile(rb"\A[123] [0-9a-f]{8,} \d+[ \d]*\r?\n"), "gor"),
    (re.compile(rb'\A\s*\{\s*"log"\s*:\s*\{'), "har"),
    (re.compile(rb'\A\{(?=[^\n]*"op_id")(?=[^\n]*"outcome")(?=[^\n]*"t_ns")'), "sandbox-journal"),
    (re.compile(rb"\A\S+ \S+ .{1,200}?\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d"), "access-log"),
    (
        re.compile(
            rb'\A\s*\{(?=[^\n]*"(?:time_local|time_iso8601|msec|start_time|@timestamp)")'
            rb'(?=[^\n]*"(?:request|request_uri|uri|path|method)")(?=[^\n]*"(?:status|response_code)")'
        ),
        "access-log",
    ),
    (re.compile(rb"\A\s*\{[^\n]*\}\s*(?:\n|\Z)"), "jsonl"),
)
_LATE = ((re.compile(r".*\.csv"), "csv"), (re.compile(r".*\.(?:jsonl|ndjson)"), "jsonl"))


def guess(source: Source) -> str | None:
    """The format, by a name that only one format has, then the first 64 KiB, then the ending; None: none of them tells.

    Raises DefinitionError where it cannot be read.
    """
    with Source(source.path, Report()).open() as file:
        head = file.read(_HEAD)
    if not head and not source.path.stat().st_size:
        raise DefinitionError(str(source.path), "is empty", hint="name a recording that holds something")
    name = source.path.name.lower().removesuffix(".gz")
    by_name = next((format_ for pattern, format_ in _NAMES if pattern.fullmatch(name)), None)
    by_bytes = next((format_ for pattern, format_ in _BYTES if pattern.search(head)), None)
    return by_name or by_bytes or next((format_ for pattern, format_ in _LATE if pattern.fullmatch(name)), None)
