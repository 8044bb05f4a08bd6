"""`muster capacity`: raise the replayed load until an objective breaks, and say where and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drills.errors import UsageError
from drills.units import parse_duration
from loadgen.capacity.slo import DEFAULT, parse

if TYPE_CHECKING:
    from chaoslib_ext.supervisor.capacity import Found

LEAST_S = 1.0


@click.command()
@click.argument("trace_", metavar="TRACE")
@click.option(
    "-e", "--environment", metavar="ENV", default="sandbox", show_default=True, help="Where: a file, or this."
)
@click.option(
    "--slo", metavar="SLO", default=DEFAULT, show_default=True, help="What must be kept: percentiles, good share."
)
@click.option("--from", "start", type=click.FloatRange(0, min_open=True), metavar="RATE",
              help="First rate in op/s; else half the recorded one.")  # fmt: skip
@click.option("--to", "top", type=click.FloatRange(0, min_open=True), metavar="RATE",
              help="Highest rate in op/s; else as far as the trace can be driven.")  # fmt: skip
@click.option("--step-for", "step", metavar="TIME", default="8s", show_default=True,
              help="Measured part of a step, behind 2 s of warm-up.")  # fmt: skip
@click.option("--repeat", type=click.IntRange(0, 100), default=6, show_default=True, help="Steps around the knee.")
@click.option("--by", type=click.Choice(["speed", "amplify"]), default="speed", show_default=True,
              help="Play it faster, or add copies of its clients.")  # fmt: skip
@click.option("--budget", metavar="TIME", default="5m", show_default=True, help="Begin no step that ends later.")
@click.option("--workers", type=click.IntRange(1, 100), default=1, show_default=True, help="Processes of the load.")
@click.option("--venue-type", type=click.Choice(["sandbox", "sandbox-binary"]), help="How the sandbox is spoken to.")
@click.option("--runs", type=click.Path(file_okay=False, path_type=Path), default=Path("runs"), show_default=True,
              help="Folder that the search is kept in.")  # fmt: skip
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print the result.")
@click.option("--figure", type=click.Path(dir_okay=False, path_type=Path), help="Write the figure here too, as SVG.")
def command(
    trace_: str,
    slo: str,
    step: str,
    budget: str,
    output: str,
    figure: Path | None,
    **asked: Any,  # noqa: ANN401 - fields of Wish
) -> int:
    """Raise the load of TRACE, a bundled name or a file, until the objective breaks.

    Without a running sandbox one is started for it and stopped after it. Exits with 0 where the knee was found, or the
    objective held up to --to; with 3 where neither can be said, and then it says how to go on.
    """
    from chaoslib_ext.supervisor.capacity import Wish, run
    from loadgen.capacity.sentences import step_line

    if figure is not None and not figure.absolute().parent.is_dir():
        raise UsageError(f"--figure {figure}: there is no folder {figure.parent}")
    step_s, budget_s = _seconds("--step-for", step), _seconds("--budget", budget)
    wish = Wish(trace=trace_, slo=parse(slo), step_s=step_s, budget_s=budget_s, **asked)
    found = run(wish, _say, lambda one: _say(step_line(one)))
    _figures(found, figure)
    _show(found, output)
    return int(found.code)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _figures(found: Found, elsewhere: Path | None) -> None:
    from drills.evidence import write_atomic
    from loadgen.capacity.record import FIGURE
    from reports.capacity import svg

    if not found.steps:
        return
    drawn = svg(found.data).encode()
    for path in (found.folder / FIGURE, elsewhere):
        if path is not None:
            write_atomic(path, drawn)


def _show(found: Found, output: str) -> None:
    if output == "json":
        import orjson

        click.echo(orjson.dumps({**found.data, "run": str(found.folder)}, option=orjson.OPT_INDENT_2).decode())
        return
    from loadgen.capacity.sentences import table

    busiest = sorted(found.answer.demands, key=lambda one: one.most, reverse=True)[:4]
    for line in table(found.steps, [one.name for one in busiest]):
        click.echo(line)
    click.echo()
    for text in found.data["answer"]["sentences"]:
        click.echo(text)
    here, folder = Path.cwd(), found.folder
    click.echo(f"evidence  {folder.relative_to(here) if folder.is_relative_to(here) else folder}")


def _seconds(option: str, text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {' '.join(str(error).split())}") from error
    if seconds < LEAST_S:
        raise UsageError(f"{option} {text}: at least {LEAST_S:g}s")
    return seconds
