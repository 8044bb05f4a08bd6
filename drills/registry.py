"""What a definition may name: faults, probes, SOP actions. Outer layers fill these tables when they are imported."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from drills.errors import UsageError
from drills.units import Duration

Plane = Literal["process", "host", "network", "dns", "tls", "kubernetes", "cloud", "composite"]
Need = Literal["kubernetes", "aws", "sgp", "netns"]

FLAGS: dict[Need, str] = {"kubernetes": "--kubernetes", "aws": "--aws", "sgp": "--dr", "netns": "--netns"}
"""What `muster sandbox up` is told for each part that a fault or an action cannot do without."""


@dataclass(frozen=True, slots=True)
class FaultInfo:
    """A fault: its name in definitions, the pydantic model of its parameters, and what it touches.

    `plane` says through what it acts; `reversible` that an undo brings the former state back; `proof` how its effect is
    witnessed and `undo` how it is undone, in words; `needs` which parts of the sandbox it cannot do without.
    """

    name: str
    model: type[BaseModel]
    summary: str
    plane: Plane = "process"
    reversible: bool = True
    proof: str = ""
    undo: str = ""
    needs: frozenset[Need] = frozenset()


@dataclass(frozen=True, slots=True)
class ProbeInfo:
    """A probe: its name, the unit of its value, and whether an SLO objective or guard may name it."""

    name: str
    unit: str
    summary: str
    slo: bool = False


@dataclass(frozen=True, slots=True)
class ActionInfo:
    """An action that a step of an SOP may do, with the pydantic model of its parameters; `needs` as a fault's."""

    name: str
    model: type[BaseModel]
    summary: str
    needs: frozenset[Need] = frozenset()


class Wait(BaseModel):
    """Parameters of the action `wait`: until a condition holds, or for a time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    until: Literal["leader", "sustained", "redundancy"] | None = None
    seconds: Duration | None = None


faults: dict[str, FaultInfo] = {}
"""Every fault by name; chaoslib_ext.faults fills it."""

probes: dict[str, ProbeInfo] = {}
"""Every probe by name; the probes package fills it."""

actions: dict[str, ActionInfo] = {
    "wait": ActionInfo("wait", Wait, "Wait until there is a leader, sustained good service, or full redundancy.")
}
"""Every SOP action by name."""

FLOWS = ("place", "cancel", "amend")
"""The kinds of operation that clients send."""

INVARIANTS = ("single-writer",)
"""Invariants that a checker can prove."""


def register_fault(info: FaultInfo) -> None:
    """Add a fault; a second one of the same name is a ValueError."""
    if info.name in faults and faults[info.name].model is not info.model:
        raise ValueError(f"fault {info.name} is registered twice")
    faults[info.name] = info


def register_probe(info: ProbeInfo) -> None:
    """Add a probe; the same name with other properties is a ValueError."""
    if probes.setdefault(info.name, info) != info:
        raise ValueError(f"probe {info.name} is registered twice")


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name most like `word`, or None where none is near."""
    known = sorted(set(names))
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    longer = [name for name in known if len(word) >= 3 and name.startswith(word.lower())]
    return next(iter(found or longer), None)


def build[M: BaseModel](kind: str, classes: Mapping[str, type[M]], name: str, params: Mapping[str, Any]) -> M:
    """The `kind` (fault, action) of that name with these parameters. Raises UsageError that names the mistake."""
    cls = classes.get(name)
    if cls is None:
        raise UsageError(f"no {kind} {name!r}; {did_you_mean(name, classes)}")
    try:
        return cls.model_validate(dict(params))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{name}{': ' + place if place else ''}: {first['msg']}") from error


def did_you_mean(word: str, names: Iterable[str], limit: int = 8) -> str:
    """A hint: the nearest name as a question, else the names there are (the first `limit`)."""
    known = sorted(set(names))
    near = nearest(word, known)
    if near:
        return f"did you mean {near}?"
    if not known:
        return "there is none"
    return (
        ("known: " if len(known) > 1 else "there is only ")
        + ", ".join(known[:limit])
        + (", …" if len(known) > limit else "")
    )
