"""`muster list`: what a definition may name, and what is shipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

WIDTH = 120
"""Where the output is no terminal."""

Row = dict[str, Any]

KINDS = ("faults", "probes", "actions", "drills", "experiments")


@click.command(short_help="List faults, probes, actions, drills or experiments.")
@click.argument("what", type=click.Choice(KINDS), metavar="|".join(KINDS))
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="A table, or JSON.")
def command(what: str, output: str) -> None:
    """List what definitions may name: faults with plane, reversibility, needs, proof and undo; probes; actions of SOPs.

    Or the drills and experiments that are shipped.
    """
    from chaoslib_ext.names import load_names

    load_names()
    rows = _ROWS[what]()
    if output == "json":
        import orjson

        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    _print(rows)


def faults() -> list[Row]:
    """Every fault, by plane and name."""
    from drills import registry

    return [
        {
            "name": one.name,
            "plane": one.plane,
            "reversible": one.reversible,
            "needs": sorted(one.needs),
            "proof": one.proof,
            "undo": one.undo,
        }
        for one in sorted(registry.faults.values(), key=lambda one: (one.plane, one.name))
    ]


def _probes() -> list[Row]:
    from drills import registry

    return [
        {"name": one.name, "unit": one.unit, "summary": one.summary}
        for one in sorted(registry.probes.values(), key=lambda one: one.name)
    ]


def _actions() -> list[Row]:
    from drills import registry

    return [
        {"name": one.name, "needs": sorted(one.needs), "summary": one.summary}
        for one in sorted(registry.actions.values(), key=lambda one: one.name)
    ]


def _drills() -> list[Row]:
    from drills.model import Drill

    return [
        {"name": one.drill, "faults": _faults_of(one), "needs": needed, "title": one.title}
        for one, needed in _shipped(Drill)
    ]


def _experiments() -> list[Row]:
    from drills.model import Experiment

    return [
        {"name": one.name, "faults": _faults_of(one), "needs": needed, "title": one.title}
        for one, needed in _shipped(Experiment)
    ]


def _shipped(kind: type[Any]) -> list[tuple[Any, list[str]]]:
    from chaoslib_ext import needs
    from chaoslib_ext.names import load_definition, shipped
    from drills.loader import load_sops
    from drills.model import Drill

    found: list[tuple[Any, list[str]]] = []
    for path in shipped():
        one = load_definition(path)
        if isinstance(one, kind):
            sops = load_sops(one, path) if isinstance(one, Drill) else {}
            found.append((one, [*sorted(needs.of_definition(one, tuple(sops.values())))]))
    return found


def _faults_of(definition: Any) -> list[str]:  # noqa: ANN401 - a drill or an experiment
    return sorted({spec.name for spec in definition.faults.values()})


_ROWS: dict[str, Callable[[], list[Row]]] = {
    "faults": faults,
    "probes": _probes,
    "actions": _actions,
    "drills": _drills,
    "experiments": _experiments,
}


def _print(rows: Sequence[Row]) -> None:
    from rich import box
    from rich.table import Table

    if not rows:
        click.echo("there is none", err=True)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for head in rows[0]:
        table.add_column(head, overflow="fold", no_wrap=head in ("name", "plane"))
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    console().print(table)


def console() -> Any:  # noqa: ANN401 - rich is imported late
    """Where tables go: the terminal, or stdout at 120 columns."""
    import sys

    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH, markup=False, highlight=False, soft_wrap=False)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)
