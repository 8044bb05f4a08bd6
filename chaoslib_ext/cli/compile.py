"""`muster compile`: a drill as a plain Chaos Toolkit experiment."""

from __future__ import annotations

import click

from chaoslib_ext.names import find, load_definition
from drills.compile import compile_text
from drills.errors import DefinitionError, DefinitionErrors
from drills.loader import load_sops
from drills.model import Drill


@click.command(short_help="Print the Chaos Toolkit experiment a drill becomes.")
@click.argument("drill")
def command(drill: str) -> None:
    """Print DRILL (a file, or the name of a shipped drill) as one flat Chaos Toolkit experiment.

    `chaos run` executes it, with less safety than `muster run`.
    """
    path = find(drill)
    definition = load_definition(path)
    if not isinstance(definition, Drill):
        problem = f"is a definition of kind {type(definition).__name__.lower()}; only a drill is compiled"
        raise DefinitionErrors(str(path), [DefinitionError(str(path), problem)])
    click.echo(compile_text(definition, load_sops(definition, path)), nl=False)
