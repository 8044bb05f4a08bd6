"""What definitions may name: imports every fault and probe, knows the traces, and finds the shipped definitions."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

import chaoslib_ext.faults
from drills.errors import DefinitionError, UsageError
from drills.loader import SUFFIXES, Definition, load_any
from drills.loader_messages import Problem, dotted
from drills.registry import did_you_mean
from loadgen import trace as traces

_ROOT = Path(__file__).parent.parent
_SHIPPED = ("drills/catalog", "drills/sops", "experiments", "environments")
SANDBOX = _ROOT / "environments" / "sandbox.yaml"
"""The environment that `muster sandbox up` starts."""


@cache
def load_names() -> None:
    """Import every fault and probe; each registers what it brings."""
    for module in pkgutil.iter_modules(chaoslib_ext.faults.__path__):
        importlib.import_module(f"chaoslib_ext.faults.{module.name}")
    importlib.import_module("probes.known")


def load_definition(path: Path) -> Definition:
    """Read a drill, SOP, environment or experiment with every name known; raises DefinitionErrors."""
    load_names()
    return load_any(path, trace_problems)


def shipped() -> list[Path]:
    """The definitions that come with the package, sorted by folder."""
    folders = (_ROOT / name for name in _SHIPPED)
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES]


def find(reference: str) -> Path:
    """The file of a path, or of the name of a shipped drill or experiment; raises UsageError with the nearest name."""
    path = Path(reference)
    named = {file.stem: file for file in shipped() if file.parent.name not in ("sops", "environments")}
    if path.suffix in SUFFIXES or path.exists():
        return path
    if reference in named:
        return named[reference]
    raise UsageError(f'no drill or experiment "{reference}"; {did_you_mean(reference, named)}')


def trace_problems(data: object) -> list[Problem]:
    """A `load.trace` that is neither a bundled name nor a file."""
    if not isinstance(data, dict):
        return []
    places: list[tuple[tuple[str | int, ...], object]] = [(("load",), data.get("load"))]
    extensions = data.get("extensions")
    for index, item in enumerate(extensions if isinstance(extensions, list) else ()):
        if isinstance(item, dict) and item.get("name") == "muster":
            places.append((("extensions", index, "load"), item.get("load")))
    found = []
    for path, load in places:
        reference = load.get("trace") if isinstance(load, dict) else None
        if isinstance(reference, str) and reference.strip():
            try:
                traces.resolve(reference)
            except DefinitionError as error:
                said = f'"{reference}": {error.message}'
                found.append(Problem((*path, "trace"), f"{dotted(path)}.trace", said, error.hint))
    return found
