"""`muster doctor`: every part, its version, where it came from, and the fix; the sandbox itself knows."""

from __future__ import annotations

import click

from chaoslib_ext.cli.sandbox import hand_over


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A list of {part, version, origin, path, ok, fix}.")
def command(as_json: bool) -> int:
    """Show every part, its version, where it came from, and the fix; exit 5 when one is missing."""
    return hand_over(["doctor", *(["--json"] if as_json else [])])
