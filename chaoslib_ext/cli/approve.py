"""`muster approve`: a person's word for one plan, on its targets, in the environment's window, until it expires."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from drills.errors import UsageError
from drills.units import parse_duration


@click.command(short_help="Approve a plan, for `muster run --approval`.")
@click.argument("plan", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--by", required=True, metavar="NAME", help="Who approves it.")
@click.option("-o", "--output", required=True, metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="Where the approval is written.")  # fmt: skip
@click.option("-e", "--environment", default="sandbox", show_default=True, metavar="ENV", help="Where it may be run.")
@click.option("--valid", default="24h", show_default=True, help="How long the approval holds.")
def command(plan: Path, by: str, output: Path, environment: str, valid: str) -> None:
    """Approve PLAN, a file that `muster plan DRILL -o json` wrote, and print what is approved.

    The approval is bound to the plan, its resolved targets and the window of the environment: where any of them changes
    it is void. It says who agreed; it proves nothing about who wrote the file, so keep it where changes are reviewed.
    """
    from chaoslib_ext.approvals import approve, save
    from chaoslib_ext.names import load_environment
    from drills.plan import read_plan
    from drills.plan_text import plan_text

    try:
        seconds = parse_duration(valid)
    except ValueError as error:
        raise UsageError(f"--valid: {error}") from error
    read = read_plan(plan)
    made = approve(read, load_environment(environment), by, timedelta(seconds=seconds), datetime.now(UTC))
    save(made, output)
    click.echo(plan_text(read))
    click.echo(f"approved by {made.by} until {made.expires:%Y-%m-%d %H:%M} UTC: {output}", err=True)
