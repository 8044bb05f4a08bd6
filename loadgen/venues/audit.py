"""Reading an exchange's own record after the load: two fresh clients, one window, row by row the same."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import requests

from drills.evidence import COMMANDS, FILLS, NOTIONAL, RunDir, write_atomic
from loadgen.venues import AuditResult

_TIMEOUT = (1.0, 10.0)
PAGE = 20_000
STEADY_S = 0.5
"""The record is at rest when its last sequence number stood still for so long."""
_POLL_S = 0.1
_CENT8 = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one engine is."""

    url: str
    instance: str
    role: str
    epoch: int
    seq: int
    hash: str


@dataclass(slots=True)
class _Reading:
    """What both clients said about a window."""

    commands: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in COMMANDS.names})
    fills: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in FILLS.names})
    foreign: int = 0
    diverged_at: int | None = None
    reason: str | None = None

    def diverged(self, seq: int) -> None:
        self.diverged_at = seq if self.diverged_at is None else min(self.diverged_at, seq)


class _Broken(Exception):
    """A client could not read on; the message says which and why."""


def marks(urls: Sequence[str]) -> tuple[list[Mark], list[str]]:
    """The watermarks of the engines that answer and have caught up with their log, and why the others do not."""
    found, errors = [], []
    for url in urls:
        try:
            answer = requests.get(f"{url}/audit/watermark", timeout=_TIMEOUT)
            answer.raise_for_status()
            raw = answer.json()
            mark = Mark(url, raw["instance"], raw["role"], int(raw["epoch"]), int(raw["seq"]), raw["hash"])
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            errors.append(f"{url}: {type(error).__name__}")
            continue
        if mark.role == "starting":
            errors.append(f"{mark.instance}: still reading its log")
        else:
            found.append(mark)
    return found, errors


def leader(found: Sequence[Mark]) -> Mark | None:
    """The primary of the highest epoch, or None."""
    return max((mark for mark in found if mark.role == "primary"), key=lambda mark: mark.epoch, default=None)


def run(urls: Sequence[str], run_dir: Path, timeout_s: float) -> AuditResult:
    """Read the run's window of the record and write commands.parquet, fills.parquet and meta.json.

    The window goes from the watermark that the load noted before its first send (else from the start of the record) to
    the watermark at rest. Rows are those of the leading engine; only executed commands are written.
    """
    folder = RunDir(run_dir).audit_meta.parent
    folder.mkdir(parents=True, exist_ok=True)
    first = _first_seq(run_dir)
    found, reason = _at_rest(urls, timeout_s)
    last = found[0].seq if found else first - 1
    reading = _Reading(reason=reason)
    if found:
        clients = [found[0], found[1] if len(found) > 1 else found[0]]
        _read(clients, first, last, f"{run_dir.name}-", reading)
    _write(folder, reading)
    result = AuditResult(
        complete=reading.reason is None,
        reason=reading.reason,
        clients=tuple(mark.url for mark in (clients if found else ())),
        from_seq=first,
        to_seq=last,
        rows=len(reading.commands["seq"]),
        foreign=reading.foreign,
        diverged_at=reading.diverged_at,
    )
    meta = {**asdict(result), "hashes": {mark.instance: mark.hash for mark in found}}
    write_atomic(folder / "meta.json", orjson.dumps(meta, option=orjson.OPT_INDENT_2))
    return result


def _first_seq(run_dir: Path) -> int:
    path = RunDir(run_dir).load / "watermark.json"
    return int(orjson.loads(path.read_bytes())["seq"]) + 1 if path.exists() else 1


def _at_rest(urls: Sequence[str], timeout_s: float) -> tuple[list[Mark], str | None]:
    """The engines to read, the leader first, once they stand still at one sequence number; else why they do not."""
    deadline = time.monotonic() + timeout_s
    seen, since = -1, time.monotonic()
    while True:
        found, errors = marks(urls)
        first = leader(found)
        now = time.monotonic()
        if first is None:
            reason = f"no primary engine ({'; '.join(errors) or 'all are standbys'})"
        else:
            if first.seq != seen:
                seen, since = first.seq, now
            found = [first, *(mark for mark in found if mark is not first)]
            behind = [mark for mark in found if mark.seq != first.seq]
            if now - since >= STEADY_S and not behind:
                return found, None
            names = ", ".join(f"{mark.instance} is at {mark.seq}" for mark in behind)
            reason = (
                f"{first.instance} is at {first.seq}, {names}" if behind else f"{first.instance} did not come to rest"
            )
        if now >= deadline:
            found.sort(key=lambda mark: (mark is not first, -mark.seq))
            return found, f"within {timeout_s:g} s: {reason}"
        time.sleep(_POLL_S)


def _read(clients: Sequence[Mark], first: int, last: int, own: str, reading: _Reading) -> None:
    try:
        with requests.Session() as one, requests.Session() as other:
            sessions = (one, other)
            for low in range(first, last + 1, PAGE):
                high = min(last, low + PAGE - 1)
                journals = [_lines(s, m, "journal", low, high) for s, m in zip(sessions, clients, strict=True)]
                _take_journal(journals, clients, low, high, own, reading)
                fills = [_lines(s, m, "fills", low, high) for s, m in zip(sessions, clients, strict=True)]
                _take_fills(fills, reading)
            _compare_hashes(sessions, clients, first, last, reading)
    except _Broken as error:
        reading.reason = reading.reason or str(error)


def _lines(session: requests.Session, mark: Mark, what: str, low: int, high: int) -> list[bytes]:
    try:
        answer = session.get(f"{mark.url}/audit/{what}", params={"from": low, "to": high}, timeout=_TIMEOUT)
        answer.raise_for_status()
        return answer.content.splitlines()
    except requests.RequestException as error:
        raise _Broken(f"{mark.instance}: {what} {low} to {high} unreadable: {type(error).__name__}") from error


def _take_journal(
    journals: Sequence[list[bytes]], clients: Sequence[Mark], low: int, high: int, own: str, reading: _Reading
) -> None:
    for lines, mark in zip(journals, clients, strict=True):
        if len(lines) != high - low + 1:
            raise _Broken(f"{mark.instance}: {len(lines)} rows for the {high - low + 1} commands {low} to {high}")
    for seq, (line, second) in enumerate(zip(*journals, strict=True), low):
        row = orjson.loads(line)
        if row["seq"] != seq:
            raise _Broken(f"{clients[0].instance}: command {row['seq']} where {seq} belongs")
        if line != second and row != orjson.loads(second):
            reading.diverged(seq)
        if row["outcome"] == "ok":
            _command(row, reading.commands)
            reading.foreign += not row["op_id"].startswith(own)


def _command(row: dict[str, Any], columns: dict[str, list[Any]]) -> None:
    amount = Decimal(row["notional"] or 0)
    columns["seq"].append(row["seq"])
    columns["epoch"].append(row["epoch"])
    columns["op_id"].append(row["op_id"])
    columns["kind"].append(row["kind"])
    columns["key"].append(row["symbol"])
    columns["notional"].append(amount.quantize(_CENT8) if amount else None)
    columns["outcome"].append("Amended" if row["kind"] == "amend" else row["status"])


def _take_fills(fills: Sequence[list[bytes]], reading: _Reading) -> None:
    one, other = fills
    for line, second in _pairs(one, other):
        row = orjson.loads(line or second or b"{}")
        if line != second and (line is None or second is None or row != orjson.loads(second)):
            reading.diverged(int(row["seq"]))
        if line is not None:
            for name, column in reading.fills.items():
                column.append(Decimal(row[name]) if name in ("price", "qty") else row[name])


def _pairs(one: list[bytes], other: list[bytes]) -> Iterator[tuple[bytes | None, bytes | None]]:
    for number in range(max(len(one), len(other))):
        yield (one[number] if number < len(one) else None, other[number] if number < len(other) else None)


def _compare_hashes(
    sessions: Sequence[requests.Session], clients: Sequence[Mark], first: int, last: int, reading: _Reading
) -> None:
    """The chained state hashes also cover what no journal row shows."""
    tables = []
    for session, mark in zip(sessions, clients, strict=True):
        try:
            answer = session.get(f"{mark.url}/audit/hashes", timeout=_TIMEOUT)
            answer.raise_for_status()
            tables.append({int(seq): value for seq, value in answer.json()["hashes"].items()})
        except (requests.RequestException, ValueError, KeyError) as error:
            raise _Broken(f"{mark.instance}: hashes unreadable: {type(error).__name__}") from error
    common = sorted(seq for seq in tables[0].keys() & tables[1].keys() if first <= seq <= last)
    differing = next((seq for seq in common if tables[0][seq] != tables[1][seq]), None)
    if differing is not None and reading.diverged_at is None:
        reading.diverged(differing)


def _write(folder: Path, reading: _Reading) -> None:
    for name, columns, schema in (("commands", reading.commands, COMMANDS), ("fills", reading.fills, FILLS)):
        arrays = [pa.array(columns[f.name], f.type) if f.type != NOTIONAL else _money(columns[f.name]) for f in schema]
        path = folder / f"{name}.parquet"
        temporary = path.with_name(path.name + ".tmp")
        pq.write_table(pa.table(arrays, schema=schema), temporary, compression="zstd")
        temporary.replace(path)


def _money(values: list[Decimal | None]) -> pa.Array:
    return pa.array(values, NOTIONAL)
