"""muster runs: what was run, with verdict, RTO, lost and age; and one run packed for a bug report."""

from __future__ import annotations

from pathlib import Path

import click

_RUNS = click.option(
    "--runs", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Folder of the runs."
)


@click.group(invoke_without_command=True, short_help="List the runs: verdict, RTO, lost, age.")
@_RUNS
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
@click.option("-n", "--last", type=click.IntRange(1), default=20, show_default=True, help="How many, the newest first.")
@click.pass_context
def command(ctx: click.Context, runs: Path, output: str, last: int) -> None:
    """List the runs, the newest first."""
    ctx.obj = runs
    if ctx.invoked_subcommand is None:
        _list(runs, output, last)


def _list(root: Path, output: str, last: int) -> None:
    from reports.history import list_runs

    rows = list_runs(root)
    if output == "json":
        import orjson

        for row in rows[:last]:
            data = {"id": row.id, "name": row.name, "verdict": row.verdict, "rto_s": row.rto_s, "lost": row.lost,
                    "started": row.started.isoformat(), "path": str(row.path)}  # fmt: skip
            click.echo(orjson.dumps(data))
        return
    if not rows:
        click.echo(f"no run under {root}; start one with `muster run DRILL`", err=True)
        return
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    cells = [("VERDICT", "RTO", "LOST", "AGE", "RUN")]
    for row in rows[:last]:
        rto = "–" if row.rto_s is None else f"{row.rto_s:.2f} s"
        lost = "–" if row.lost is None else f"{row.lost:,}"
        cells.append((row.verdict, rto, lost, row.age(now), str(row.path)))
    widths = [max(len(cell[n]) for cell in cells) for n in range(4)]
    for verdict, rto, lost, age, path in cells:
        text = f"{verdict:<{widths[0]}}  {rto:>{widths[1]}}  {lost:>{widths[2]}}  {age:>{widths[3]}}  {path}"
        click.echo(text)
    if len(rows) > last:
        click.echo(f"{len(rows) - last} older ones; see them with -n {len(rows)}", err=True)


@command.command()
@click.argument("run")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Archive; default RUN.tar.gz.")
@click.option("--runs", type=click.Path(path_type=Path), default=None, help="Folder of the runs.")
@click.pass_context
def export(ctx: click.Context, run: str, output: Path | None, runs: Path | None) -> None:
    """Pack RUN into one archive for a bug report: without secrets and without the sandbox's truth log."""
    from reports.export import export_run
    from reports.history import find_run

    path = find_run(run, runs or ctx.obj)
    out = output or Path(f"{path.name}.tar.gz")
    names = export_run(path, out)
    click.echo(f"{out}: {len(names)} files of {path.name}, {out.stat().st_size:,} bytes")
