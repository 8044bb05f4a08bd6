"""Pydantic's errors in our words: one per mistake, with the value and the nearest right one."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from drills.model import GUARDS, OBJECTIVES
from drills.registry import did_you_mean, nearest
from drills.units import quoted
from drills.yamlpos import Path

_TAGS: dict[str, tuple[type[BaseModel], ...]] = {
    f"<{key}>": tuple(table[key] for table in (OBJECTIVES, GUARDS) if key in table)
    for key in OBJECTIVES.keys() | GUARDS.keys()
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A mistake at a path of the data; `label` is the path as a person reads it."""

    path: Path
    label: str
    message: str
    hint: str | None = None
    at_key: bool = False


def dotted(path: Path) -> str:
    """A path for people: objectives[1].rto."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def problems(error: ValidationError, model: type[BaseModel], prefix: Path = (), label: Path = ()) -> list[Problem]:
    """Every mistake that pydantic found in a `model`; paths start behind `prefix`, labels behind `label`."""
    found = []
    for detail in error.errors(include_url=False):
        problem = _problem(detail, model, prefix, label)
        if problem is not None:
            found.append(problem)
    return found


def _problem(detail: ErrorDetails, model: type[BaseModel], prefix: Path, label: Path) -> Problem | None:
    loc = detail["loc"]
    own = tuple(part for part in loc if not _is_tag(part))
    value, kind = detail["input"], detail["type"]
    if kind == "missing":
        own, message, hint = own[:-1], f"{own[-1]} is missing", None
        if isinstance(value, dict) and _renamed(value, str(loc[-1]), model, loc):
            return None  # reported as the unknown key that it was meant to be
    elif kind == "extra_forbidden":
        names = _fields(model, loc[:-1])
        message, hint = f"unknown key {quoted(str(own[-1]))}", did_you_mean(str(own[-1]), names)
        return Problem(prefix + own, _place(label + own[:-1]), message, hint, at_key=True)
    elif kind == "too_short" and value:
        return None  # its items are wrong, and are reported
    elif kind == "no_kind":
        return _no_kind(detail, prefix + own, label + own)
    else:
        message, hint = _say(kind, value, detail)
    return Problem(prefix + own, _place(label + own), message, hint)


def _place(path: Path) -> str:
    return dotted(path)


def _is_tag(part: str | int) -> bool:
    return part == "[key]" or part in _TAGS


def _renamed(value: Mapping[str, object], missing: str, model: type[BaseModel], loc: tuple[str | int, ...]) -> bool:
    known = _fields(model, loc[:-1])
    return any(nearest(key, known) == missing for key in value if key not in known)


def _no_kind(detail: ErrorDetails, path: Path, label: Path) -> Problem:
    value, kinds = detail["input"], str(detail.get("ctx", {}).get("keys", "")).split(", ")
    if not isinstance(value, dict):
        return Problem(path, _place(label), f"{quoted(value)} is not a mapping")
    for key in value:
        near = nearest(str(key), kinds)
        if near:
            return Problem((*path, key), _place(label), f"unknown key {quoted(key)}", f"did you mean {near}?", True)
    return Problem(path, _place(label), detail["msg"])


_BOUNDS = {
    "greater_than": ("must be more than", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than": ("must be less than", "lt"),
    "less_than_equal": ("must be at most", "le"),
}

_NOUNS = {
    "string_type": ("is not text", "put it in quotes"),
    "int_type": ("is not a whole number", None),
    "int_from_float": ("is not a whole number", None),
    "int_parsing": ("is not a whole number", None),
    "float_type": ("is not a number", None),
    "float_parsing": ("is not a number", None),
    "bool_type": ("is neither true nor false", None),
    "bool_parsing": ("is neither true nor false", None),
    "model_type": ("is not a mapping", None),
    "model_attributes_type": ("is not a mapping", None),
    "dict_type": ("is not a mapping", None),
    "tuple_type": ("is not a list", "write [a, b]"),
    "list_type": ("is not a list", "write [a, b]"),
}


def _say(kind: str, value: object, detail: ErrorDetails) -> tuple[str, str | None]:
    context = detail.get("ctx", {})
    if kind in _NOUNS:
        said, hint = _NOUNS[kind]
        if value is None:
            return "is empty", None
        if kind == "string_type" and isinstance(value, dict | list):
            hint = None
        return f"{quoted(value)} {said}", hint
    if kind in _BOUNDS:
        said, key = _BOUNDS[kind]
        return f"{quoted(value)} {said} {context[key]:g}", None
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(context["expected"]))
        near = nearest(str(value), allowed)
        return f"{quoted(value)} is not one of {', '.join(allowed)}", f"did you mean {near}?" if near else None
    if kind == "too_short":
        return "is empty", "give at least one"
    text = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return text[:1].lower() + text[1:] if text[:2].istitle() else text, None


def _fields(model: type[BaseModel], loc: tuple[str | int, ...]) -> set[str]:
    """The keys that the model at `loc` below `model` knows, as they are written."""
    annotations: list[Any] = [model]
    for part in loc:
        annotations = [found for annotation in annotations for found in _below(annotation, part)]
    models = [a for annotation in annotations for a in _models(annotation)]
    return {info.alias or name for found in models for name, info in found.model_fields.items()}


def _below(annotation: object, part: str | int) -> list[object]:
    if isinstance(part, str) and part in _TAGS:
        # an objective and a guard may share a tag: keep the one that the annotation allows
        allowed = _models(annotation)
        return [model for model in _TAGS[part] if model in allowed]
    found: list[object] = []
    for candidate in _alternatives(annotation):
        origin, args = typing.get_origin(candidate), typing.get_args(candidate)
        if origin in (tuple, list) and isinstance(part, int):
            found.append(args[0])
        elif origin is dict:
            found.append(args[1])
        elif isinstance(candidate, type) and issubclass(candidate, BaseModel):
            found += [i.annotation for n, i in candidate.model_fields.items() if part in (n, i.alias)]
    return found


def _alternatives(annotation: object) -> list[object]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _alternatives(typing.get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [found for arg in typing.get_args(annotation) for found in _alternatives(arg)]
    return [] if annotation is None or origin is Literal else [annotation]


def _models(annotation: object) -> list[type[BaseModel]]:
    return [a for a in _alternatives(annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
