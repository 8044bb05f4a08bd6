"""What the shape of a definition cannot say: names that must exist, and phases that must fit together.

Every check reads raw data and passes over what has the wrong shape (that mistake is reported already), so that all
mistakes of a file are found at once.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from drills import registry
from drills.loader_messages import Problem, dotted, problems
from drills.model_phases import PHASE_KINDS
from drills.registry import did_you_mean, nearest
from drills.units import format_duration, parse_duration, quoted
from drills.window import parse_window
from drills.yamlpos import Path

SOPS = FilePath(__file__).parent / "sops"


def drill_problems(data: object, file: FilePath) -> list[Problem]:
    """Mistakes in the meaning of a drill."""
    faults = _mapping(_get(data, "faults"))
    found = list(_objectives(_get(data, "objectives"), ("objectives",)))
    found += _guards(_get(data, "guards"), ("guards",))
    for fault_id, spec in faults.items():
        if isinstance(spec, dict) and len(spec) == 1:
            ((name, params),) = spec.items()
            known = name not in registry.faults or isinstance(params, dict | None)
            path: Path = ("faults", fault_id, name)
            found += fault_problems(name, params or {}, path, ("faults", fault_id), at_key=True) if known else []
    found += _phases(data, list(faults), file)
    found += _longest(data)
    return found


def sop_problems(data: object) -> list[Problem]:
    """Mistakes in the meaning of an SOP."""
    found: list[Problem] = []
    seen: set[str] = set()
    for index, step in _items(_get(data, "steps")):
        path: Path = ("steps", index)
        found += _unique(step.get("id"), seen, path)
        do = _mapping(step.get("do"))
        for name, params in do.items() if len(do) == 1 else ():
            info = registry.actions.get(name)
            if info is None:
                found.append(_unknown("action", name, registry.actions, (*path, "do", name), path, at_key=True))
                continue
            found += _params(info.model, params or {}, (*path, "do", name), (*path, "do"))
    return found


def environment_problems(data: object) -> list[Problem]:
    """Mistakes in the meaning of an environment."""
    services = _mapping(_get(data, "services"))
    found: list[Problem] = []
    for name, service in services.items():
        for index, other in _texts(_get(service, "depends_on")):
            if other not in services:
                path: Path = ("services", name, "depends_on", index)
                found.append(_unknown("service", other, services, path, path))
    policy = _get(data, "policy")
    for index, glob in _texts(_get(policy, "faults")):
        if registry.faults and not fnmatch.filter(registry.faults, glob):
            path = ("policy", "faults", index)
            hint = did_you_mean(glob, registry.faults)
            found.append(Problem(path, dotted(path), f"no fault matches {quoted(glob)}", hint))
    return found + list(_window(_get(policy, "window")))


def extension_problems(data: object, path: Path) -> list[Problem]:
    """Mistakes in the meaning of our extension of an experiment."""
    return [
        *_objectives(_get(data, "objectives"), (*path, "objectives")),
        *_guards(_get(data, "guards"), (*path, "guards")),
    ]


def fault_problems(name: object, params: object, path: Path, label: Path, *, at_key: bool = False) -> list[Problem]:
    """An unknown fault, or wrong parameters of a known one."""
    info = registry.faults.get(str(name))
    if info is None:
        return [_unknown("fault", str(name), registry.faults, path, label, at_key=at_key)]
    return _params(info.model, params, path, label)


def _params(model: Any, params: object, path: Path, label: Path) -> list[Problem]:  # noqa: ANN401 - a pydantic class
    try:
        model.model_validate(params)
    except ValidationError as error:
        return problems(error, model, path, label)
    return []


def _objectives(data: object, path: Path) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, item in _items(data):
        here = (*path, index)
        yield from _unique(item.get("id"), seen, here)
        yield from _named(item, here)
        if "mttd" in item:
            yield from _known("probe", item.get("probe"), registry.probes, (*here, "probe"))
        limits = item.get("rpo")
        if isinstance(limits, dict) and not limits.keys() - {"window"}:
            yield Problem((*here, "rpo"), dotted((*here, "rpo")), "limits nothing", "write {lost: 0, duplicated: 0}")


def _guards(data: object, path: Path) -> Iterator[Problem]:
    for index, item in _items(data):
        yield from _named(item, (*path, index))


def _named(item: dict[str, Any], path: Path) -> Iterator[Problem]:
    slos = {name for name, info in registry.probes.items() if info.slo}
    yield from _known("slo", item.get("slo"), slos, (*path, "slo"))
    yield from _known("invariant", item.get("invariant"), registry.INVARIANTS, (*path, "invariant"))


def _phases(data: object, faults: list[str], file: FilePath) -> Iterator[Problem]:
    injected: list[str] = []
    for index, phase in _items(_get(data, "phases")):
        path: Path = ("phases", index)
        for where, fault_id in _injects(phase):
            yield from _inject(fault_id, injected, faults, (*path, "inject", *where))
        for i, fault_id in _texts(_get(phase.get("restore"), "undo")):
            place: Path = (*path, "restore", "undo", i)
            if fault_id in faults and fault_id not in injected:
                yield Problem(place, dotted(place), f"{quoted(fault_id)} is not injected before")
            yield from _known("fault", fault_id, faults, place, " in this drill")
        yield from _known("probe", _get(phase.get("detect"), "probe"), registry.probes, (*path, "detect", "probe"))
        for kind in ("recover", "failback"):
            yield from _known("sop", _get(phase.get(kind), "sop"), sop_files(file), (*path, kind, "sop"))
    readable = all(isinstance(p, dict) and p.keys() & {*PHASE_KINDS} for p in _get(data, "phases") or [])
    for fault_id in faults if readable else ():
        if fault_id not in injected:
            place = ("faults", fault_id)
            yield Problem(place, dotted(place), "no phase injects it", f"add - inject: {{fault: {fault_id}}}", True)


def _injects(phase: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    inject = _mapping(phase.get("inject"))
    if isinstance(inject.get("fault"), str):
        yield ("fault",), inject["fault"]
    for index, fault_id in _texts(inject.get("faults")):
        yield ("faults", index), fault_id


def _inject(fault_id: str, injected: list[str], faults: list[str], place: Path) -> Iterator[Problem]:
    if fault_id in injected:
        yield Problem(place, dotted(place), f"{quoted(fault_id)} is injected already", "define a second fault")
    yield from _known("fault", fault_id, faults, place, " in this drill")
    # the one that was meant counts as injected: one mistake, one message
    injected.append(fault_id if fault_id in faults else nearest(fault_id, faults) or fault_id)


def _longest(data: object) -> Iterator[Problem]:
    needed = 0.0
    for _, phase in _items(_get(data, "phases")):
        needed += sum(_seconds(_get(phase.get(kind), "for")) for kind in ("baseline", "verify"))
    for index, guard in _items(_get(data, "guards")):
        if 0 < _seconds(guard.get("longest")) <= needed:
            path: Path = ("guards", index, "longest")
            said = f"{quoted(guard['longest'])} is over before baseline and verify end ({format_duration(needed)})"
            yield Problem(path, dotted(path), said)


def _window(value: object) -> Iterator[Problem]:
    if isinstance(value, str):
        try:
            parse_window(value)
        except ValueError as error:
            text, _, hint = str(error).partition("; ")
            yield Problem(("policy", "window"), "policy.window", text, hint)


def sop_files(near: FilePath) -> dict[str, FilePath]:
    """The SOPs that a definition may name: those in `sops` beside its folder, and the shipped ones."""
    folders = (SOPS, near.parent.parent / "sops", near.parent / "sops")
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}


def _known(noun: str, name: object, names: Iterable[str], path: Path, where: str = "") -> Iterator[Problem]:
    if isinstance(name, str) and name not in names:
        yield Problem(path, dotted(path), f"no {noun} {quoted(name)}{where}", did_you_mean(name, names))


def _unknown(noun: str, name: str, names: Iterable[str], path: Path, label: Path, *, at_key: bool = False) -> Problem:
    return Problem(path, dotted(label), f"no {noun} {quoted(name)}", did_you_mean(name, names), at_key)


def _unique(name: object, seen: set[str], path: Path) -> Iterator[Problem]:
    if isinstance(name, str):
        if name in seen:
            yield Problem((*path, "id"), dotted((*path, "id")), f"{quoted(name)} is taken by an earlier item")
        seen.add(name)


def _get(data: object, key: str) -> Any:  # noqa: ANN401 - raw data
    return data.get(key) if isinstance(data, dict) else None


def _mapping(data: object) -> dict[str, Any]:
    return data if isinstance(data, dict) else {}


def _items(data: object) -> Iterator[tuple[int, dict[str, Any]]]:
    return ((i, item) for i, item in enumerate(data if isinstance(data, list) else ()) if isinstance(item, dict))


def _texts(data: object) -> Iterator[tuple[int, str]]:
    return ((i, item) for i, item in enumerate(data if isinstance(data, list) else ()) if isinstance(item, str))


def _seconds(text: object) -> float:
    try:
        return parse_duration(text)
    except ValueError:
        return 0.0
