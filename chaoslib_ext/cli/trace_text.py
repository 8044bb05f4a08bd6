"""What `muster trace` prints: facts to stdout, talk to stderr."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from loadgen.importers import Imported, Report, Skipped
    from loadgen.trace import Trace

_MOST_REASONS = 12


def tell(out: Path, made: Trace) -> None:
    """One line about a trace that was written."""
    codes, words = made.codes("op")
    counts = {word: int((codes == code).sum()) for code, word in enumerate(words)}
    _line(out, counts, made.duration_ns, made.rows, made.sessions)


def imported(out: Path, made: Imported, manifest: Mapping[str, Any] | None) -> None:
    """What an import made, skipped, left out, and took out."""
    from loadgen import trace

    written, report, collected = trace.read(out), made.report, made.collected
    _line(out, collected.kinds, written.duration_ns, collected.rows, written.sessions)
    if report.first_ns is not None and report.last_ns is not None:
        click.echo(f"recorded from {_moment(report.first_ns)} to {_moment(report.last_ns)}", err=True)
    for line in _skipped(report):
        click.echo(line, err=True)
    for reason, count in collected.left_out.items():
        click.echo(f"left out {count:,}: {reason}", err=True)
    if collected.moved:
        click.echo(f"moved {collected.moved:,}: came too late to be put in order", err=True)
    for line in _sanitised(manifest):
        click.echo(line, err=True)


def described(facts: Mapping[str, Any], problem: str | None) -> Iterator[str]:
    """The facts of a trace, name by name; `problem`: why it does not count as sanitised."""
    provenance = dict(facts.get("provenance", {}))
    manifest = provenance.pop("sanitised", None)
    sanitised = f"no: it {problem}; only for the sandbox" if problem else manifest
    shown: dict[str, Any] = {**facts, "provenance": provenance, "sanitised": sanitised}
    width = max(len(name) for name in shown)
    for name, value in shown.items():
        for number, line in enumerate(_lines(value)):
            yield f"{'' if number else name:<{width}}  {line}"


def _line(out: Path, counts: Mapping[str, int], duration_ns: int, rows: int, sessions: int) -> None:
    from loadgen.trace import KINDS

    kinds = ", ".join(f"{counts[kind]:,} {kind}" for kind in KINDS if counts.get(kind))
    seconds, size = duration_ns / 1e9, out.stat().st_size / 1e6
    rate = f"{round(seconds, 3)} s ({round(rows / seconds, 1)} op/s)"
    click.echo(f"{out}: {kinds} in {rate}, {sessions} sessions, {size:.2f} MB")


def _skipped(report: Report) -> Iterator[str]:
    for reason, entry in report.skipped.items():
        count = f"{entry.count:,} {report.unit}{'s' if entry.count != 1 else ''}"
        why = "" if reason == "corrupt line" else f": {reason}"
        text = f"corrupt: {count}{why}" if entry.corrupt else f"skipped {count}: {reason}"
        yield f"{text} ({report.unit} {_numbers(entry)})"
    for what, entry in report.notes.items():
        yield f"noted {entry.count:,}: {what} ({report.unit} {_numbers(entry)})"


def _numbers(entry: Skipped) -> str:
    return ", ".join(str(number) for number in entry.lines) + (", …" if entry.count > len(entry.lines) else "")


def _sanitised(manifest: Mapping[str, Any] | None) -> Iterator[str]:
    if manifest is None:
        yield "not sanitised: everything was kept, and the trace plays only against the sandbox"
        return
    yield f"sanitised: names became pseudonyms, no leak in {manifest['strings_scanned']:,} strings"
    for did, key in (("renamed", "renamed"), ("dropped", "dropped")):
        entries = [f"{count:,} × {what}" for what, count in manifest[key].items()]
        more = ", …" if len(entries) > _MOST_REASONS else ""
        if entries:
            yield f"{did} {', '.join(entries[:_MOST_REASONS])}{more}"


def _moment(t_ns: int) -> str:
    return datetime.fromtimestamp(t_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _lines(value: Any) -> Iterable[str]:  # noqa: ANN401 - a fact of any shape
    if isinstance(value, dict):
        return [f"{key}: {_short(item)}" for key, item in value.items() if item not in ({}, [])]
    return [_short(value)]


def _short(value: Any) -> str:  # noqa: ANN401 - a fact of any shape
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_short(item) for item in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
