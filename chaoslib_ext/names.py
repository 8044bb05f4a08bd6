"""What definitions may name: imports every fault and probe, knows the traces, and finds the shipped definitions."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path as FilePath
from typing import Annotated, Any, Union

from pydantic import Field

import chaoslib_ext.faults
from drills.errors import DefinitionError, UsageError
from drills.loader import SUFFIXES, Definition, load_any
from drills.loader_messages import Problem, dotted
from drills.model import Environment
from drills.registry import did_you_mean
from drills.yamlpos import Path
from loadgen import trace as traces

_ROOT = FilePath(__file__).parent.parent
_SHIPPED = ("drills/catalog", "drills/sops", "experiments", "environments")
SANDBOX = _ROOT / "environments" / "sandbox.yaml"
"""The environment that `muster sandbox up` starts."""


@cache
def load_names() -> None:
    """Import every fault, action and probe; each registers what it brings."""
    for module in pkgutil.iter_modules(chaoslib_ext.faults.__path__):
        importlib.import_module(f"chaoslib_ext.faults.{module.name}")
    importlib.import_module("chaoslib_ext.sops")
    importlib.import_module("probes.known")


def step_types() -> dict[str, Any]:
    """The type of what each step of a transform takes, by its key, for a schema."""
    from loadgen.transform import SHAPES, STEPS
    from loadgen.transform.warp import Piece

    shapes = Annotated[Union[tuple(SHAPES.values())], Field(discriminator="shape")]  # type: ignore[valid-type]  # noqa: UP007
    return {**STEPS, "warp": tuple[Piece, ...], "surge": shapes}


def load_definition(path: FilePath) -> Definition:
    """Read a drill, SOP, environment or experiment with every name known; raises DefinitionErrors."""
    load_names()
    return load_any(path, load_problems)


def shipped() -> list[FilePath]:
    """The definitions that come with the package, sorted by folder."""
    folders = (_ROOT / name for name in _SHIPPED)
    return [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES]


def find(reference: str) -> FilePath:
    """The file of a path, or of the name of a shipped drill or experiment; raises UsageError with the nearest name."""
    path = FilePath(reference)
    named = {file.stem: file for file in shipped() if file.parent.name not in ("sops", "environments")}
    if path.suffix in SUFFIXES or path.exists():
        return path
    if reference in named:
        return named[reference]
    raise UsageError(f'no drill or experiment "{reference}"; {did_you_mean(reference, named)}')


def load_problems(data: object) -> list[Problem]:
    """A `load.trace` that is neither a bundled name nor a file, and wrong steps of a `load.transform`."""
    if not isinstance(data, dict):
        return []
    places: list[tuple[Path, object]] = [(("load",), data.get("load"))]
    extensions = data.get("extensions")
    for index, item in enumerate(extensions if isinstance(extensions, list) else ()):
        if isinstance(item, dict) and item.get("name") == "muster":
            places.append((("extensions", index, "load"), item.get("load")))
    found = []
    for path, load in places:
        if isinstance(load, dict):
            found += [*_trace(load.get("trace"), path), *_transform(load.get("transform"), (*path, "transform"))]
    return found


def _trace(reference: object, path: Path) -> Iterator[Problem]:
    if isinstance(reference, str) and reference.strip():
        try:
            traces.resolve(reference)
        except DefinitionError as error:
            yield Problem((*path, "trace"), f"{dotted(path)}.trace", f'"{reference}": {error.message}', error.hint)


def _transform(steps: object, path: Path) -> Iterator[Problem]:
    if not isinstance(steps, list) or not steps:
        return
    from loadgen import transform  # it takes a tenth of a second, and most loads have none

    for problem in transform.problems(steps, path):
        index = problem.path[len(path)]
        if isinstance(index, int) and isinstance(steps[index], dict):  # else the shape is wrong, and reported
            yield problem


def load_environment(reference: str) -> Environment:
    """The environment of that file, or `sandbox`. Raises UsageError, DefinitionErrors."""
    if reference != "sandbox" and not FilePath(reference).suffix and not FilePath(reference).exists():
        raise UsageError(f'no environment "{reference}"; write sandbox, or the path of a file such as staging.yaml')
    environment = load_definition(SANDBOX if reference == "sandbox" else FilePath(reference))
    if not isinstance(environment, Environment):
        raise UsageError(f"{reference}: is a {type(environment).__name__.lower()}, not an environment")
    return environment
