"""`muster trace`: recorded traffic, imported, recorded from the sandbox, and described."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import orjson

from drills.errors import UsageError
from drills.units import parse_duration


@click.group()
def command() -> None:
    """Import, record and describe recorded traffic."""


@command.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "format_", required=True, help="Format of the recording, such as bybit-ws.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Trace to write.")
@click.option("--sessions", default=16, show_default=True, type=click.IntRange(1, 1000), help="Pseudo-sessions.")
def import_(file: Path, format_: str, out: Path, sessions: int) -> None:
    """Make a trace of FILE, a recording in another format; say what was used, and what was not and why."""
    from loadgen import importers, trace

    _writable(out)
    made, report = importers.import_file(format_, file, sessions)
    trace.write(made, out)
    _tell(out, made)
    for reason, skipped in report.skipped.items():
        shown = ", ".join(str(number) for number in skipped.lines) + (
            ", …" if skipped.count > len(skipped.lines) else ""
        )
        lines = f"{skipped.count} line{'s' if skipped.count != 1 else ''}"
        text = f"corrupt: {lines}" if skipped.corrupt else f"skipped {lines}: {reason}"
        click.echo(f"{text} (line {shown})", err=True)


@command.command()
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Trace to write.")
@click.option("--for", "duration", help="Record what is executed from now on, for so long (60s, 2m).")
def record(out: Path, duration: str | None) -> None:
    """Record what the running sandbox executes, or, without --for, all that it has executed so far."""
    from chaoslib_ext.world import World
    from loadgen import record as recorder
    from loadgen import trace

    _writable(out)
    try:
        seconds = None if duration is None else parse_duration(duration)
    except ValueError as error:
        raise UsageError(f"--for: {error}") from error
    venue = World.embedded().describe["venue"]
    made, left_out = recorder.record(venue, out.stem, seconds)
    trace.write(made, out)
    _tell(out, made)
    for reason, count in left_out.items():
        click.echo(f"left out {count}: {reason}", err=True)


@command.command()
@click.argument("trace_", metavar="TRACE")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
def info(trace_: str, output: str) -> None:
    """Describe TRACE, a bundled name or a file: span, rate, kinds, sessions, symbols, where it came from."""
    from loadgen import summary, trace

    facts = summary.describe(trace.read(trace_))
    if output == "json":
        click.echo(orjson.dumps(facts, option=orjson.OPT_INDENT_2).decode())
        return
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        for number, line in enumerate(_lines(value)):
            click.echo(f"{'' if number else name:<{width}}  {line}")


def _lines(value: Any) -> Iterable[str]:  # noqa: ANN401 - a fact of any shape
    if isinstance(value, dict):
        return [f"{key}: {_short(item)}" for key, item in value.items()]
    return [_short(value)]


def _short(value: Any) -> str:  # noqa: ANN401 - a fact of any shape
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _writable(out: Path) -> None:
    """Refuse before the work, not after it."""
    if out.suffix != ".parquet":
        raise UsageError(f"{out}: a trace is a .parquet file")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out}: no folder {out.parent}; make it first")


def _tell(out: Path, made: Any) -> None:  # noqa: ANN401 - a Trace, imported late
    from loadgen import summary

    facts = summary.describe(made)
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in facts["operations"].items())
    size = out.stat().st_size / 1e6
    click.echo(
        f"{out}: {kinds} in {facts['seconds']} s ({facts['rate']} op/s), {facts['sessions']} sessions, {size:.2f} MB"
    )
