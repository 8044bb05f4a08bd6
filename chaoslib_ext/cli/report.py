"""muster report: write the report of a run again, from its files."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Write a run's report again.")
@click.argument("run", required=False)
@click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder of the runs."
)
def command(run: str | None, runs: Path) -> None:
    """Write report.html and junit.xml of RUN (a path, an id, the name of a drill, or latest) and print the path."""
    from chaoslib_ext.judge import judge
    from drills.evidence import RunDir
    from reports import write_report
    from reports.history import find_run
    from reports.junit import write_junit

    path = find_run(run or "latest", runs)
    if not RunDir(path).verdict.exists():
        judge(path)
        click.echo(f"judged {path.name}, which had no verdict", err=True)
    report = write_report(path)
    write_junit(path)
    click.echo(report)
