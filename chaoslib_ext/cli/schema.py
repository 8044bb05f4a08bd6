"""`muster schema`: the JSON Schema of definitions."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from chaoslib_ext.names import load_names, step_types
from drills import registry
from drills.schema import KINDS, json_schema


@click.command(short_help="Print the JSON Schema of definitions.")
@click.argument("kind", type=click.Choice(sorted(KINDS)))
@click.option("--write", type=click.Path(path_type=Path, file_okay=False), help="Write KIND.json into this folder.")
def command(kind: str, write: Path | None) -> None:
    """Print the JSON Schema of a KIND of definition, for editors and for other tools.

    An editor with the YAML language server reads it from a first line such as
    `# yaml-language-server: $schema=drill.json`.
    """
    text = render(kind)
    if write is None:
        click.echo(text, nl=False)
        return
    write.mkdir(parents=True, exist_ok=True)
    (write / f"{kind}.json").write_text(text)


def render(kind: str) -> str:
    """The schema of a kind as indented JSON with a newline at its end."""
    load_names()
    schema = json_schema(kind, registry.faults, step_types())
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
