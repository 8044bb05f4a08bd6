"""`muster run`: a drill or an experiment, from its check to its verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from chaoslib_ext.supervisor.options import Options


@click.command()
@click.argument("drill")
@click.option(
    "-e", "--environment", metavar="ENV", help="Where to run it: a file of environments/, default the sandbox."
)
@click.option("--trace", metavar="FILE", help="Replay this trace instead of the drill's: a file or a bundled name.")
@click.option("--plant", metavar="W01,W04", help="Build the sandbox of this run with these weaknesses.")
@click.option("--runs", type=click.Path(file_okay=False, path_type=Path), default=Path("runs"), show_default=True)
@click.option("--repeat", type=click.IntRange(1, 1000), default=1, show_default=True, help="Run it so often.")
@click.option("--amplify", type=click.IntRange(1, 20), help="Times whole sessions, instead of the drill's.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Verdict as text or JSON.")
def command(
    drill: str,
    environment: str | None,
    trace: str | None,
    plant: str | None,
    runs: Path,
    repeat: int,
    amplify: int | None,
    output: str,
) -> int:
    """Run DRILL: a file, or the name of a shipped drill or experiment.

    Without a running sandbox one is started for the run and stopped after it. Ctrl-C stops the run and undoes its
    faults; pressed twice it skips the rest of the evidence too.
    """
    from chaoslib_ext.supervisor.options import Options

    return execute(Options(drill, environment, trace, plant, runs, repeat, amplify), output)


def execute(options: Options, output: str = "text") -> int:
    """Run these options with the screen that fits the terminal; the verdict goes to stdout."""
    import orjson

    from chaoslib_ext.screen import open_screen, verdict_block
    from chaoslib_ext.supervisor.finish import Ending
    from chaoslib_ext.supervisor.run import run

    def show(ending: Ending) -> None:
        if ending.verdict is None:
            return
        if output == "json":
            click.echo(orjson.dumps(ending.verdict, option=orjson.OPT_INDENT_2).decode())
            return
        click.echo()
        verdict_block(ending.verdict, ending.report, click.echo)

    return int(run(options, open_screen, show))
