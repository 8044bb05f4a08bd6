"""`muster plan`: what a run would do, before it does it."""

from __future__ import annotations

import click

from chaoslib_ext.names import find, load_definition
from chaoslib_ext.resolve import plan_of, world_if_up
from drills.plan_text import plan_text


@click.command(short_help="Print targets, order and undo of each fault; touch nothing.")
@click.argument("drill")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print the plan.")
def command(drill: str, output: str) -> None:
    """Print what a run of DRILL (a file, or the name of a shipped drill) would do.

    Targets are looked up in the sandbox of this checkout when it is up; nothing is touched.
    """
    path = find(drill)
    plan = plan_of(load_definition(path), path, world_if_up())
    click.echo(plan.model_dump_json(indent=2) if output == "json" else plan_text(plan))
