"""`muster check`: definitions are right before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import orjson

from chaoslib_ext.names import load_definition, shipped
from drills.errors import DefinitionError, DefinitionErrors, ExitCode, UsageError
from drills.loader import SUFFIXES, Definition
from drills.model import Drill, Environment, Experiment


@click.command(short_help="Check definitions; all mistakes of a file at once.")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print the result.")
def command(paths: tuple[Path, ...], output: str) -> int:
    """Check FILES and folders: drills, SOPs, experiments, environments.

    Without arguments: the shipped ones, and the folders drills, experiments and environments of this directory.
    """
    results = [_check(path) for path in _files(paths)]
    if output == "json":
        click.echo(orjson.dumps([_as_json(*result) for result in results], option=orjson.OPT_INDENT_2).decode())
    else:
        for path, outcome in results:
            if isinstance(outcome, DefinitionErrors):
                click.echo(outcome.caret(), err=True)
            else:
                click.echo(f"{path}: {_summary(outcome)}")
    wrong = sum(isinstance(outcome, DefinitionErrors) for _, outcome in results)
    if wrong and output == "text" and len(results) > 1:
        click.echo(f"{wrong} of {len(results)} files with mistakes", err=True)
    return ExitCode.BAD_USE if wrong else ExitCode.PROVEN


def _check(path: Path) -> tuple[Path, Definition | DefinitionErrors]:
    try:
        return path, load_definition(path)
    except DefinitionErrors as errors:
        return path, errors


def _files(paths: Iterable[Path]) -> list[Path]:
    given = list(paths)
    if not given:
        local = [Path(name) for name in ("drills", "experiments", "environments") if Path(name).is_dir()]
        both = [*(path for folder in local for path in _below(folder)), *shipped()]
        # a checkout holds the shipped ones too: name each once, by its shorter path
        return list({path.resolve(): path for path in reversed(both)}.values())[::-1]
    found: list[Path] = []
    for path in given:
        below = _below(path) if path.is_dir() else [path]
        if not below:
            raise UsageError(f"{path}: no {', '.join(SUFFIXES)} file in this folder")
        found += below
    return list(dict.fromkeys(found))


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())


def _summary(definition: Definition) -> str:
    match definition:
        case Drill():
            return f"ok, drill with {_n(definition.faults, 'fault')}, {_n(definition.objectives, 'objective')}"
        case Experiment():
            return f"ok, experiment with {_n(definition.faults, 'fault')}, {_n(definition.objectives, 'objective')}"
        case Environment():
            return f"ok, environment with {_n(definition.services, 'service')}"
        case _:
            return f"ok, SOP with {_n(definition.steps, 'step')}"


def _n(things: Any, noun: str) -> str:  # noqa: ANN401 - anything with a length
    return f"{len(things)} {noun}{'' if len(things) == 1 else 's'}"


def _as_json(path: Path, outcome: Definition | DefinitionErrors) -> dict[str, Any]:
    if not isinstance(outcome, DefinitionErrors):
        return {"file": str(path), "ok": True, "kind": type(outcome).__name__.lower(), "errors": []}
    return {"file": str(path), "ok": False, "kind": None, "errors": [_mistake(error) for error in outcome.errors]}


def _mistake(error: DefinitionError) -> dict[str, Any]:
    return {"line": error.line, "column": error.column, "message": error.message, "hint": error.hint}
