"""`muster run`: a drill or an experiment, from its check to its verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
@click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder that the run is kept in.",
)
@click.option("--repeat", type=click.IntRange(1, 1000), default=1, show_default=True, help="Run it so often.")
@click.option("--amplify", type=click.IntRange(1, 20), help="Times whole sessions, instead of the drill's.")
@click.option(
    "--approval",
    "approvals",
    multiple=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Somebody's approval of this plan, as `muster approve` writes it; repeatable.",
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Verdict as text or JSON.")
def command(
    drill: str,
    environment: str | None,
    trace: str | None,
    plant: str | None,
    runs: Path,
    repeat: int,
    amplify: int | None,
    approvals: tuple[Path, ...],
    output: str,
) -> int:
    """Run DRILL: a file, or the name of a shipped drill or experiment.

    Without a running sandbox one is started for the run and stopped after it. Ctrl-C stops the run and undoes its
    faults; pressed twice it skips the rest of the evidence too.
    """
    from chaoslib_ext.supervisor.options import Options

    return execute(Options(drill, environment, trace, plant, runs, repeat, amplify, approvals), output)


class Out:
    """Prints verdict and report to stdout, as text or JSON."""

    def __init__(self, output: str) -> None:
        self._json = output == "json"

    def verdict(self, verdict: dict[str, Any]) -> None:
        """The verdict block, or verdict.json as it is."""
        import orjson

        from drills.sentences import block
        from drills.verdict import Verdict

        if self._json:
            click.echo(orjson.dumps(verdict, option=orjson.OPT_INDENT_2).decode())
            return
        click.echo()
        click.echo(block(Verdict.model_validate(verdict)))

    def report(self, path: Path) -> None:
        """Where the report is, as short as it can be said from here."""
        if not self._json:
            here = Path.cwd()
            click.echo(f"  report  {path.relative_to(here) if path.is_relative_to(here) else path}")


def execute(options: Options, output: str = "text") -> int:
    """Run these options with the screen that fits the terminal; the verdict goes to stdout."""
    from chaoslib_ext.screen import open_screen
    from chaoslib_ext.supervisor.run import run

    return int(run(options, open_screen, Out(output)))
