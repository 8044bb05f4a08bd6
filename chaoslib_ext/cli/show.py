"""`muster show`: one fault, probe or action of SOPs, with its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from drills.errors import UsageError

if TYPE_CHECKING:
    from drills.registry import ActionInfo, FaultInfo, ProbeInfo


@click.command(short_help="Show one fault, probe or action with its parameters.")
@click.argument("name")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Text, or JSON.")
def command(name: str, output: str) -> None:
    """Show NAME: a fault such as process.kill, a probe, or an action of SOPs, with its parameters and a sample."""
    from chaoslib_ext.names import load_names
    from drills import registry

    load_names()
    tables: tuple[Any, ...] = (registry.faults, registry.probes, registry.actions)
    found = next((table[name] for table in tables if name in table), None)
    if found is None:
        raise UsageError(
            f"no fault, probe or action {name!r}; {_hint(name, [one for table in tables for one in table])}"
        )
    body = facts(found)
    if output == "json":
        import orjson

        click.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())
        return
    _print(body)


def _hint(name: str, known: list[str]) -> str:
    from chaoslib_ext.names import find
    from drills import registry

    try:
        find(name)
    except UsageError:
        return registry.did_you_mean(name, known)
    return f"`muster plan {name}` shows a drill or an experiment"


def facts(info: FaultInfo | ProbeInfo | ActionInfo) -> dict[str, Any]:
    """All that is known of it, as data."""
    from chaoslib_ext.cli.parameters import parameters
    from chaoslib_ext.faults import classes
    from drills.registry import FaultInfo, ProbeInfo

    body: dict[str, Any] = {"name": info.name, "summary": info.summary}
    if isinstance(info, ProbeInfo):
        return body | {"unit": info.unit, "slo": info.slo}
    if isinstance(info, FaultInfo):
        body |= {"plane": info.plane, "reversible": info.reversible, "proof": info.proof, "undo": info.undo}
        body |= {"sample": classes[info.name].sample}
    found = [
        {"name": one.name, "value": one.value.replace("`", ""), "default": one.default, "meaning": one.meaning}
        for one in parameters(info.model)
    ]
    return body | {"needs": sorted(info.needs), "parameters": found}


def _print(body: dict[str, Any]) -> None:
    click.echo(f"{body['name']}: {body['summary']}\n")
    for key, value in body.items():
        if key in ("name", "summary", "parameters", "sample") or value in (None, []):
            continue
        shown = ("yes" if value else "no") if isinstance(value, bool) else value
        click.echo(f"  {key:<11} {', '.join(shown) if isinstance(shown, list) else shown}")
    if body.get("sample"):
        click.echo(f"\n  faults:\n    {body['sample']}")
    if body.get("parameters"):
        from rich import box
        from rich.table import Table

        from chaoslib_ext.cli.list import console

        table = Table(box=box.SIMPLE_HEAD)
        for head in ("parameter", "value", "default", "meaning"):
            table.add_column(head, overflow="fold", no_wrap=head == "parameter")
        for one in body["parameters"]:
            table.add_row(one["name"], one["value"], one["default"] or "–", one["meaning"])
        console().print(table)
