"""Chaos Toolkit experiments: their document stays as it is; our extension and our activities are checked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from drills import registry
from drills.loader_checks import extension_problems, fault_problems
from drills.loader_messages import Problem, dotted, problems
from drills.model import Experiment, FaultSpec, MusterExtension
from drills.registry import did_you_mean
from drills.units import quoted
from drills.yamlpos import Path

ACTIONS = "chaoslib_ext.ctk.actions"
PROBES = "chaoslib_ext.ctk.probes"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)
_EXTENSION = "- {name: muster, load: {trace: …}, objectives: […]}"


def is_experiment(data: dict[str, Any]) -> bool:
    """Whether a document looks like a Chaos Toolkit experiment."""
    return "method" in data or "steady-state-hypothesis" in data


def read_experiment(data: object, file: FilePath) -> tuple[Experiment | None, list[Problem]]:
    """The experiment, or None, with every mistake in our part of it (the rest is `chaos validate`'s)."""
    if not isinstance(data, dict):
        return None, [Problem((), "", f"{quoted(data)} is not an experiment; an experiment is a mapping")]
    found = list(_frame(data, file))
    extension, more = _extension(data.get("extensions"))
    found += more
    faults: dict[str, FaultSpec] = {}
    for path, activity in _activities(data):
        found += _activity(activity, path, faults)
    if extension is None or found:
        return None, found
    return Experiment(
        name=file.stem,
        title=data["title"],
        description=str(data.get("description") or ""),
        document=data,
        load=extension.load,
        objectives=extension.objectives,
        guards=extension.guards,
        faults=faults,
    ), found


def _frame(data: dict[str, Any], file: FilePath) -> Iterator[Problem]:
    if not _NAME.fullmatch(file.stem):
        yield Problem((), "", f"{quoted(file.stem)} names the runs", "rename the file to a-z, 0-9 and -")
    title = data.get("title")
    if not isinstance(title, str) or not title.strip():
        yield Problem(("title",), "title", "is missing" if title is None else f"{quoted(title)} is not text")
    method = data.get("method")
    if not isinstance(method, list):
        yield Problem(("method",), "method", "is missing" if method is None else f"{quoted(method)} is not a list")


def _extension(data: object) -> tuple[MusterExtension | None, list[Problem]]:
    items = data if isinstance(data, list) else []
    for index, item in enumerate(items):
        if isinstance(item, dict) and item.get("name") == "muster":
            path: Path = ("extensions", index)
            found = extension_problems(item, path)
            try:
                return MusterExtension.model_validate(item), found
            except ValidationError as error:
                return None, problems(error, MusterExtension, path, path) + found
    return None, [Problem(("extensions",), "extensions", "none is named muster", f"add {_EXTENSION}")]


def _activities(data: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    hypothesis = data.get("steady-state-hypothesis")
    lists: list[tuple[Path, object]] = [
        (("steady-state-hypothesis", "probes"), hypothesis.get("probes") if isinstance(hypothesis, dict) else None),
        (("method",), data.get("method")),
        (("rollbacks",), data.get("rollbacks")),
    ]
    for path, items in lists:
        for index, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, dict):
                yield (*path, index), item


def _activity(activity: dict[str, Any], path: Path, faults: dict[str, FaultSpec]) -> Iterator[Problem]:
    provider = activity.get("provider")
    if not isinstance(provider, dict):
        return
    arguments = provider.get("arguments")
    arguments = arguments if isinstance(arguments, dict) else {}
    place: Path = (*path, "provider", "arguments")
    match provider.get("module"), provider.get("func"):
        case module, "inject" if module == ACTIONS:
            yield from _inject(activity, arguments, path, faults)
        case module, "slo_met" if module == PROBES:
            slos = {name for name, info in registry.probes.items() if info.slo}
            if arguments.get("slo") not in slos:
                said = f"no slo {quoted(arguments.get('slo'))}"
                yield Problem((*place, "slo"), dotted(path), said, did_you_mean(str(arguments.get("slo")), slos))


def _inject(
    activity: dict[str, Any], arguments: dict[str, Any], path: Path, faults: dict[str, FaultSpec]
) -> Iterator[Problem]:
    place: Path = (*path, "provider", "arguments")
    name, fault = arguments.get("fault_id", activity.get("name")), arguments.get("fault")
    if not isinstance(name, str) or name in faults:
        said = "is missing; it names the fault" if not isinstance(name, str) else f"{quoted(name)} is taken"
        yield Problem((*path, "name"), dotted((*path, "name")), said)
        return
    if not isinstance(fault, str):
        yield Problem(place, dotted(path), "inject names no fault", f"known: {', '.join(sorted(registry.faults))}")
        return
    target = arguments.get("target")
    params = {key: value for key, value in arguments.items() if key not in ("fault", "target", "fault_id")}
    params |= target if isinstance(target, dict) else {}
    faults[name] = FaultSpec(name=fault, params=params)
    where = (*place, "fault") if fault not in registry.faults else place
    for problem in fault_problems(fault, params, where, path):
        # parameters of the target stand one level deeper in the file
        key = problem.path[len(place)] if len(problem.path) > len(place) else None
        inner = isinstance(target, dict) and key in target
        moved = (*place, "target", *problem.path[len(place) :]) if inner else problem.path
        yield Problem(moved, problem.label, problem.message, problem.hint, problem.at_key)
