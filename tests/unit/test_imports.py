"""The one import rule, and the layout that keeps files small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("drills", "probes", "loadgen", "reports", "chaoslib_ext", "sandbox")
ONLY_IN = {
    "chaoslib": ("chaoslib_ext/ctk/",),
    "chaosk8s": ("chaoslib_ext/ctk/", "chaoslib_ext/faults/"),
    "chaosaws": ("chaoslib_ext/ctk/", "chaoslib_ext/faults/"),
    "locust": ("loadgen/locustfiles/",),
    "gevent": ("loadgen/locustfiles/",),
    "sandbox": ("sandbox/",),
}
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 40


def sources() -> list[Path]:
    return [path for name in (*PACKAGES, "tests") for path in sorted((ROOT / name).rglob("*.py"))]


def own_sources() -> list[Path]:
    return [path for path in sources() if path.relative_to(ROOT).parts[0] != "tests"]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_the_import_rule_holds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

    monkeypatch.chdir(ROOT)
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_foreign_frameworks_stay_in_their_corner() -> None:
    stray = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in own_sources()
        for name in imported(path)
        if name.split(".")[0] in ONLY_IN and not str(path.relative_to(ROOT)).startswith(ONLY_IN[name.split(".")[0]])
    ]
    assert stray == []


def test_the_sandbox_imports_nothing_of_the_framework() -> None:
    framework = set(PACKAGES) - {"sandbox"}
    stray = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / "sandbox").rglob("*.py"))
        for name in imported(path)
        if name.split(".")[0] in framework
    ]
    assert stray == []


def test_no_file_is_longer_than_400_lines() -> None:
    counts = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {name: lines for name, lines in counts.items() if lines > MOST_LINES} == {}


def test_no_function_is_longer_than_40_lines() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.name}": (node.end_lineno or 0) - node.body[0].lineno + 1
        for path in own_sources()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.body[0].lineno + 1 > MOST_LINES_OF_A_FUNCTION
    }
    assert long == {}


def test_every_folder_of_python_is_a_package() -> None:
    folders = {path.parent for path in sources()}
    assert [str(folder.relative_to(ROOT)) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []
