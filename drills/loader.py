"""Reads definitions; every mistake of a file is reported at once, with its line, column and a caret."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from drills.errors import DefinitionError, DefinitionErrors
from drills.loader_checks import drill_problems, environment_problems, sop_files, sop_problems
from drills.loader_experiment import is_experiment, read_experiment
from drills.loader_messages import Problem, problems
from drills.model import Drill, Environment, Experiment, Sop
from drills.registry import did_you_mean, nearest
from drills.units import quoted
from drills.yamlpos import Document, parse

Definition = Drill | Sop | Environment | Experiment
SUFFIXES = (".yaml", ".yml", ".json")
_MAX_BYTES = 1 << 20


Check = Callable[[object], list[Problem]]
"""A further check over raw data, by a layer that knows more (such as which traces there are)."""


def load_drill(path: Path, extra: Check | None = None) -> Drill:
    """Read a drill; raises DefinitionErrors with all mistakes, those of `extra` among them."""
    return _load(_document(path), Drill, lambda data: drill_problems(data, path), extra)


def load_sop(path: Path) -> Sop:
    """Read an SOP; raises DefinitionErrors with all mistakes."""
    return _load(_document(path), Sop, sop_problems)


def load_sops(drill: Drill, path: Path) -> dict[str, Sop]:
    """The SOPs that the phases of a drill at `path` name; raises DefinitionErrors of the first bad one."""
    files = sop_files(path)
    phases = [phase.recover or phase.failback for phase in drill.phases]
    named = {phase.sop for phase in phases if phase is not None and phase.sop is not None}
    return {name: load_sop(files[name]) for name in sorted(named)}


def load_environment(path: Path) -> Environment:
    """Read an environment; raises DefinitionErrors with all mistakes."""
    return _load(_document(path), Environment, environment_problems)


def load_experiment(path: Path, extra: Check | None = None) -> Experiment:
    """Read a Chaos Toolkit experiment with our extension; raises DefinitionErrors with all mistakes."""
    return _experiment(_document(path), path, extra)


def load_any(path: Path, extra: Check | None = None) -> Definition:
    """Read a drill, SOP, environment or experiment, told by its first key; raises DefinitionErrors."""
    document = _document(path)
    data = document.data
    if isinstance(data, dict):
        if "drill" in data:
            return _load(document, Drill, lambda raw: drill_problems(raw, path), extra)
        if "sop" in data:
            return _load(document, Sop, sop_problems)
        if "environment" in data:
            return _load(document, Environment, environment_problems)
        if is_experiment(data):
            return _experiment(document, path, extra)
    raise _errors(document, [_no_kind(document)])


def _no_kind(document: Document) -> DefinitionError:
    kinds = ("drill", "sop", "environment", "method")
    if not isinstance(document.data, dict):
        return document.error((), f"{quoted(document.data)} is not a definition; a definition is a mapping")
    near = [(key, nearest(key, kinds)) for key in document.data]
    for key, found in near:
        if found:
            return document.error((key,), f"unknown key {quoted(key)}", f"did you mean {found}?", at_key=True)
    return document.error((), "is no definition", f"its first key says what it is: {', '.join(kinds)}")


def _load[M: BaseModel](document: Document, model: type[M], check: Check, extra: Check | None = None) -> M:
    found: list[Problem] = []
    loaded: M | None = None
    try:
        loaded = model.model_validate(document.data)
    except ValidationError as error:
        found += problems(error, model)
    found += check(document.data) + (extra(document.data) if extra else [])
    if loaded is None or found or document.mistakes:
        raise _errors(document, _placed(document, found))
    return loaded


def _experiment(document: Document, path: Path, extra: Check | None = None) -> Experiment:
    experiment, found = read_experiment(document.data, path)
    found += extra(document.data) if extra else []
    if experiment is None or found or document.mistakes:
        raise _errors(document, _placed(document, found))
    return experiment


def _placed(document: Document, found: Sequence[Problem]) -> list[DefinitionError]:
    placed = []
    for problem in found:
        message = f"{problem.label}: {problem.message}" if problem.label else problem.message
        placed.append(document.error(problem.path, message, problem.hint, at_key=problem.at_key))
    return placed


def _errors(document: Document, errors: Sequence[DefinitionError]) -> DefinitionErrors:
    unique = {str(error): error for error in (*document.mistakes, *errors)}
    return DefinitionErrors(document.file, sorted(unique.values(), key=lambda e: (e.line or 0, e.column or 0)))


def _document(path: Path) -> Document:
    file = str(path)
    try:
        document = parse(_text(path), file)
    except DefinitionErrors:
        raise
    except DefinitionError as error:
        raise DefinitionErrors(file, [error]) from error
    if document.data is None:
        raise _whole(file, "is empty", "see muster schema drill")
    return document


def _text(path: Path) -> str:
    file = str(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        names = [p.name for p in path.parent.glob("*") if p.suffix in SUFFIXES] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, names) if nearest(path.name, names) else None
        raise _whole(file, "no such file", hint) from error
    except IsADirectoryError as error:
        raise _whole(file, "is a folder; name a file") from error
    except OSError as error:
        raise _whole(file, f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(raw) > _MAX_BYTES:
        raise _whole(file, "is larger than 1 MiB; a definition is a page")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _whole(file, f"is not UTF-8 text (byte {error.start})") from error
    if "\0" in text:
        raise _whole(file, f"is not a text file (byte {text.index(chr(0))} is zero)")
    return text


def _whole(file: str, message: str, hint: str | None = None) -> DefinitionErrors:
    return DefinitionErrors(file, [DefinitionError(file, message, hint=hint)])
