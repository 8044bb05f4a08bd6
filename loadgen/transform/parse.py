"""Steps as they stand in YAML, checked: every mistake of the list at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from drills.errors import DefinitionError, DefinitionErrors
from drills.loader_messages import Problem, dotted
from drills.loader_messages import problems as model_problems
from drills.registry import did_you_mean
from drills.units import quoted
from drills.yamlpos import Path
from loadgen.transform.base import Transform
from loadgen.transform.cancel_storm import CancelStorm
from loadgen.transform.liquidation_cascade import LiquidationCascade
from loadgen.transform.rate_surge import RateSurge
from loadgen.transform.rebase import Rebase
from loadgen.transform.reconnect_storm import ReconnectStorm
from loadgen.transform.seed import Seed
from loadgen.transform.slice import Slice
from loadgen.transform.surge import Surge
from loadgen.transform.warp import Piece, Warp

SHAPES: Mapping[str, type[Surge]] = {
    "rate": RateSurge,
    "cancel-storm": CancelStorm,
    "liquidation-cascade": LiquidationCascade,
    "reconnect-storm": ReconnectStorm,
}
"""Surges by their shape."""

STEPS: Mapping[str, type[Transform]] = {"slice": Slice, "seed": Seed, "warp": Warp, "rebase": Rebase, "surge": Surge}
"""Steps by their key; the model of a surge hangs on its shape."""


def parse(steps: object, where: str) -> tuple[Transform, ...]:
    """The transforms of a list of mappings such as {slice: {from: 5s}}.

    Raises DefinitionErrors about `where` with all mistakes, each on one line.
    """
    found, made = _read(steps, ("transform",))
    if found:
        raise DefinitionErrors(where, [DefinitionError(where, f"{p.label}: {p.message}", hint=p.hint) for p in found])
    return tuple(made)


def problems(steps: object, path: Path = ("transform",)) -> list[Problem]:
    """Every mistake of a list of steps that stands at `path` of a definition."""
    return _read(steps, path)[0]


def _read(steps: object, path: Path) -> tuple[list[Problem], list[Transform]]:
    if not isinstance(steps, list | tuple):
        return [Problem(path, dotted(path), f"{quoted(steps)} is not a list of steps", "write - slice: {from: 5s}")], []
    found: list[Problem] = []
    made: list[Transform] = []
    before: object = None
    for index, step in enumerate(steps):
        here = (*path, index)
        step_found, transform = _step(step, here)
        found += step_found
        if transform is not None:
            made.append(transform)
        if isinstance(transform, Seed) and transform.orders and before != "slice":
            label = (*here, "seed", "orders")
            found.append(Problem(label, dotted(label), "no slice stands right before it", "put a slice step before it"))
        before = next(iter(step), None) if isinstance(step, dict) else None
    return found, made


def _step(step: object, path: Path) -> tuple[list[Problem], Transform | None]:
    label = dotted(path)
    if not isinstance(step, dict):
        return [Problem(path, label, f"{quoted(step)} is not a mapping", "write slice: {from: 5s}")], None
    if len(step) != 1:
        return [Problem(path, label, f"names {len(step)} steps", f"name one of {', '.join(STEPS)}")], None
    ((key, params),) = step.items()
    if key not in STEPS:
        hint = did_you_mean(str(key), STEPS)
        return [Problem((*path, key), label, f"unknown step {quoted(str(key))}", hint, at_key=True)], None
    path = (*path, str(key))
    if key == "warp":
        return _warp(params, path)
    if not isinstance(params, dict):
        return [Problem(path, dotted(path), f"{quoted(params)} is not a mapping")], None
    if key == "surge":
        return _surge(params, path)
    return _checked(STEPS[key], params, path)


def _surge(params: dict[Any, Any], path: Path) -> tuple[list[Problem], Transform | None]:
    shape = params.get("shape")
    if shape is None:
        return [Problem(path, dotted(path), "shape is missing", f"name one of {', '.join(SHAPES)}")], None
    if not isinstance(shape, str) or shape not in SHAPES:
        here = (*path, "shape")
        return [Problem(here, dotted(here), f"unknown shape {quoted(shape)}", did_you_mean(str(shape), SHAPES))], None
    return _checked(SHAPES[shape], params, path)


def _warp(params: object, path: Path) -> tuple[list[Problem], Transform | None]:
    if not isinstance(params, list | tuple):
        hint = "write - {from: 0s, to: 5s, speed: 2}"
        return [Problem(path, dotted(path), f"{quoted(params)} is not a list of pieces", hint)], None
    found: list[Problem] = []
    for index, piece in enumerate(params):
        found += _checked(Piece, piece, (*path, index))[0]
    return (found, None) if found else _checked(Warp, {"pieces": list(params)}, path, behind=False)


def _checked(model: type[Any], params: object, path: Path, *, behind: bool = True) -> tuple[list[Problem], Any | None]:
    try:
        return [], model.model_validate(params)
    except ValidationError as error:
        found = model_problems(error, model, path, path)
    # the list of a warp has no key of its own in YAML
    return (found if behind else [Problem(path, dotted(path), p.message, p.hint) for p in found]), None
