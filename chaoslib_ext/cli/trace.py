"""`muster trace`: recorded traffic, imported, recorded from the sandbox, changed, looked over, and described."""

from __future__ import annotations

import importlib
from pathlib import Path

import click
import orjson

from chaoslib_ext.cli.trace_text import described, imported, tell
from drills.errors import UsageError
from drills.units import parse_duration

ELSEWHERE = {
    "synth": ("chaoslib_ext.cli.trace_transform", "synth", "Make a trace that is like a recording."),
    "transform": (
        "chaoslib_ext.cli.trace_transform",
        "transform",
        "Make a trace of a trace: slice, warp, rebase, seed, surge.",
    ),
}
"""Commands of the group that another module holds: module, name, and the line of the list."""


class _Group(click.Group):
    """Imports a command of ELSEWHERE only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, name, _ = ELSEWHERE[cmd_name]
        command = getattr(importlib.import_module(module), name)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = {name: command.get_short_help_str(80) for name, command in self.commands.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted({**own, **{name: entry[2] for name, entry in ELSEWHERE.items()}}.items()))


@click.group(cls=_Group)
def command() -> None:
    """Import, record, change, look over and describe recorded traffic."""


@command.command(name="import", short_help="Make a trace of a recording in another format.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from", "format_", metavar="FORMAT", help="Format of the recording; else told by its name and bytes.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Trace to write.")
@click.option(
    "--sessions",
    default=16,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Pseudo-sessions, where the recording knows no clients.",
)
@click.option("--mapping", type=click.Path(path_type=Path), help="YAML: which column of a CSV or JSONL file is what.")
@click.option("--date", metavar="YYYY-MM-DD", help="Day of a recording that has only times.")
@click.option("--symbol", help="Symbol of a recording that names none.")
@click.option("--keep", multiple=True, metavar="WORD", help="Keep this word in paths of requests. May be repeated.")
@click.option("--raw", is_flag=True, help="Keep everything; the trace then plays only against the sandbox.")
def import_(
    file: Path,
    format_: str | None,
    out: Path,
    sessions: int,
    mapping: Path | None,
    date: str | None,
    symbol: str | None,
    keep: tuple[str, ...],
    raw: bool,
) -> None:
    """Make a trace of FILE, a recording in another format; say what was used, and what was not and why.

    Accounts, order ids and everything that is not known to be harmless are taken out on the way. Where something that
    looks like a secret comes through all the same, nothing is written.
    """
    from loadgen import importers
    from loadgen.sanitise import Sanitiser

    _writable(out)
    if raw and keep:
        raise UsageError("--keep says what the sanitiser leaves; with --raw there is none")
    options = importers.Options(sessions=sessions, mapping=mapping, date=date, symbol=symbol)
    sanitiser = None if raw else Sanitiser(file=str(file), keep=keep)
    made = importers.import_file(format_, file, out, options, sanitiser)
    imported(out, made, None if raw else made.manifest)


@command.command(short_help="Write a trace in the format of another tool.")
@click.argument("trace_", metavar="TRACE")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="FILE.gor, FILE.har or FILE.jsonl.")
def export(trace_: str, out: Path) -> None:
    """Write TRACE in the format of another tool, told by the ending of the file."""
    from loadgen import trace
    from loadgen.export import export_file
    from loadgen.sanitise import manifest

    read = trace.read(trace_)
    done = export_file(read, out)
    click.echo(f"{out}: {done.rows:,} operations, {out.stat().st_size / 1e6:.2f} MB")
    for reason, count in done.left_out.items():
        click.echo(f"left out {count:,}: {reason}", err=True)
    why = manifest.problem(read)
    if why:
        click.echo(f"{trace_} {why}: what it holds of customers is in {out} too", err=True)


@command.command(short_help="Record what the running sandbox executes.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Trace to write.")
@click.option("--for", "duration", help="Record what is executed from now on, for so long (60s, 2m).")
def record(out: Path, duration: str | None) -> None:
    """Record what the running sandbox executes, or, without --for, all that it has executed so far."""
    from chaoslib_ext.world import World
    from loadgen import record as recorder
    from loadgen import trace
    from loadgen.sanitise import vouch

    _writable(out)
    try:
        seconds = None if duration is None else parse_duration(duration)
    except ValueError as error:
        raise UsageError(f"--for: {error}") from error
    venue = World.embedded().describe["venue"]
    made, left_out = recorder.record(venue, out.stem, seconds)
    trace.write(vouch(made, "the recorder of the sandbox"), out)
    tell(out, made)
    for reason, count in left_out.items():
        click.echo(f"left out {count}: {reason}", err=True)


@command.command(short_help="Describe a trace.")
@click.argument("trace_", metavar="TRACE")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it.")
def info(trace_: str, output: str) -> None:
    """Describe TRACE, a bundled name or a file: span, rate, kinds, sessions, symbols, where it came from."""
    from loadgen import summary, trace
    from loadgen.sanitise import manifest

    read = trace.read(trace_)
    facts = summary.describe(read)
    if output == "json":
        click.echo(orjson.dumps(facts, option=orjson.OPT_INDENT_2).decode())
        return
    for line in described(facts, manifest.problem(read)):
        click.echo(line)


@command.command(short_help="Look for secrets and persons in a trace.")
@click.argument("trace_", metavar="TRACE")
def scan(trace_: str) -> int:
    """Look for secrets and persons in every string of TRACE, and say whether it may leave the sandbox.

    Exits with 1 where something was found, or where the trace is not sanitised or was changed since.
    """
    from loadgen import trace
    from loadgen.sanitise import manifest
    from loadgen.sanitise import scan as look

    read = trace.read(trace_)
    strings, found = look(read)
    why = manifest.problem(read)
    for one in found:
        where = one.column if one.row < 0 else f"{one.column}, row {one.row:,}"
        click.echo(f"{trace_}: {one.kind} in {where}" + (f", and {one.strings - 1:,} more" if one.strings > 1 else ""))
    state = f"{why}: only for the sandbox" if why else "sanitised, and unchanged since"
    click.echo(f"{trace_}: {strings:,} different strings, {len(found) or 'no'} kinds of leak; {state}")
    return 1 if found or why else 0


def _writable(out: Path) -> None:
    """Refuse before the work, not after it."""
    if out.suffix != ".parquet":
        raise UsageError(f"{out}: a trace is a .parquet file")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out}: no folder {out.parent}; make it first")
