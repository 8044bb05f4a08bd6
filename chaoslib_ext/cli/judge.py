"""muster judge: recompute the verdict of a run from its files, offline."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Recompute the verdict of a run, offline.")
@click.argument("run", required=False)
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder of the runs."
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
@click.option("--write", is_flag=True, help="Write verdict.json and junit.xml again, where they differ.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of verdict.json and stop.")
def command(run: str | None, runs: Path, output: str, write: bool, schema: bool) -> int:
    """Recompute the verdict of RUN (a path, an id, the name of a drill, or latest) from its files; exit as the run did.

    The stored verdict is compared and kept; --write replaces it.
    """
    from drills.verdict import json_schema, to_json

    if schema:
        import orjson

        click.echo(orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2).decode())
        return 0
    from chaoslib_ext.judge import evaluate
    from drills.evidence import RunDir
    from drills.sentences import block
    from reports.history import find_run

    path = find_run(run or "latest", runs)
    verdict = evaluate(path)
    _compare(path, verdict, write=write)
    if output == "json":
        click.echo(to_json(verdict), nl=False)
    else:
        report = RunDir(path).report
        click.echo(block(verdict, report if report.exists() else None))
    return verdict.exit_code


def _compare(path: Path, verdict: object, *, write: bool) -> None:
    """Say on stderr how the stored verdict differs, and write the new one where there was none or --write was given."""
    from drills.errors import DefinitionError
    from drills.evidence import RunDir
    from drills.verdict import Verdict, differences, read_verdict, write_verdict
    from reports.junit import write_junit

    assert isinstance(verdict, Verdict)
    stored = RunDir(path).verdict
    lines: list[str] = []
    if stored.exists():
        try:
            lines = [line for line in differences(read_verdict(stored), verdict) if not line.startswith("versions.")]
        except DefinitionError as error:
            lines = [str(error)]
    if lines:
        click.echo(f"the stored verdict differs from this one in {len(lines)} places:", err=True)
        for line in lines[:20]:
            click.echo(f"  {line}", err=True)
    if not stored.exists() or (write and lines):
        write_verdict(verdict, stored)
        write_junit(path, verdict)
        click.echo(f"wrote {stored}", err=True)
