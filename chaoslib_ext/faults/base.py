"""What a fault is: parameters, targets, an undo written down before anything is touched, an act, a proof of effect.

A fault runs in this order, and `apply` refuses any other: targets → plan_undo → (recipes durable in the ledger) →
apply → in_effect, asked until it answers or a deadline passes. Undoing is not the fault's: the guardian plays the
recipes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, ClassVar, TypedDict, TypeVar

from pydantic import BaseModel, ConfigDict, PrivateAttr

from chaoslib_ext.world import World
from drills import registry
from drills.errors import FaultError, Refused
from drills.plan import Target
from drills.registry import Need, Plane


class Recipe(TypedDict):
    """One undo as data: a verb of chaoslib_ext.guardian.verbs and all it needs, from the state observed before."""

    verb: str
    args: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Witness:
    """Evidence that a fault is in effect, from something other than what applied it; one sentence each.

    `effect_ns` (CLOCK_MONOTONIC) is T0+: the effect was there by then, however long it took to look closely.
    """

    texts: tuple[str, ...]
    effect_ns: int = field(default_factory=time.monotonic_ns)


class Fault(BaseModel):
    """Base of every fault; the fields of a subclass are its parameters in YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    name: ClassVar[str]
    summary: ClassVar[str]
    proof: ClassVar[str]
    """How its effect is witnessed, in words."""
    undo_text: ClassVar[str]
    """How it is undone, in words."""
    sample: ClassVar[str]
    """One use of it, as a drill writes it under `faults`."""

    _before: dict[str, Any] = PrivateAttr(default_factory=dict)  # by target name, as observed by plan_undo

    @property
    def expires_s(self) -> float | None:
        """Seconds after which the guardian undoes it unasked; None: it stays until it is undone."""
        return None

    def targets(self, world: World) -> list[Target]:
        """What it would touch now. Raises Refused `target-matches-nothing`."""
        raise NotImplementedError

    def describe(self, targets: Sequence[Target]) -> str:
        """What it does to these targets, in a few words."""
        raise NotImplementedError

    def plan_undo(self, targets: Sequence[Target], world: World) -> list[Recipe]:
        """Observe the targets and return the undo of each, in the order of the acts (played backwards).

        Raises FaultError where a target is in a state in which the fault would prove nothing.
        """
        raise NotImplementedError

    def apply(self, targets: Sequence[Target], world: World) -> None:
        """Do it. The recipes of plan_undo must be durable by now. Raises FaultError, ComponentError."""
        raise NotImplementedError

    def in_effect(self, targets: Sequence[Target], world: World) -> Witness | None:
        """Look once for evidence on all targets; None where it is not there yet."""
        raise NotImplementedError

    def remember(self, target: str, state: object) -> None:
        """Keep what plan_undo observed of a target."""
        self._before[target] = state

    def known(self, target: str) -> object:
        """What plan_undo observed, None where it did not."""
        return self._before.get(target)

    def before(self, target: str) -> Any:  # noqa: ANN401 - each fault keeps its own
        """What plan_undo observed. Raises FaultError where it was never asked: no undo, no fault."""
        if target not in self._before:
            raise FaultError(f"{self.name}: no undo was planned for {target}; nothing was touched")
        return self._before[target]


F = TypeVar("F", bound=type[Fault])

classes: dict[str, type[Fault]] = {}
"""Every fault by its name in definitions."""


def fault(
    name: str,
    *,
    summary: str,
    proof: str,
    undo: str,
    plane: Plane,
    sample: str,
    reversible: bool = True,
    needs: Collection[Need] = (),
) -> Callable[[F], F]:
    """Register a class as the fault `name`, in `classes` and in drills.registry."""

    def register(cls: F) -> F:
        cls.name, cls.summary, cls.proof, cls.undo_text, cls.sample = name, summary, proof, undo, sample
        info = registry.FaultInfo(name, cls, summary, plane, reversible, proof, undo, frozenset(needs))
        registry.register_fault(info)
        classes[name] = cls
        return cls

    return register


def build(name: str, params: Mapping[str, Any]) -> Fault:
    """The fault of that name with these parameters (durations as text). Raises UsageError that names the mistake."""
    return registry.build("fault", classes, name, params)


def select_instances(world: World, service: str | None, instance: str | None, role: str | None) -> list[Target]:
    """Instances by name, or by service and role as /status says now. Raises Refused `target-matches-nothing`."""
    named = [one for one in world.instances if instance in (None, one.name) and service in (None, one.service)]
    if not named:
        known = [one.name for one in world.instances] if instance else sorted({one.service for one in world.instances})
        word = str(instance or service)
        raise _nothing(f"{'instance' if instance else 'service'} {word!r}", registry.did_you_mean(word, known))
    statuses = world.statuses()
    roles = {one.name: (statuses[one.name] or {}).get("role") for one in named if one.http}
    chosen = [one for one in named if role in (None, roles.get(one.name))]
    if role == "primary" and len(chosen) > 1:
        # a paused former leader still calls itself primary: the highest epoch leads
        leader = world.leader()
        chosen = [one for one in chosen if leader is not None and one.name == leader[0]]
    if not chosen:
        seen = ", ".join(f"{name} is {value or 'silent'}" for name, value in roles.items())
        raise _nothing(f"role {role!r} of {instance or service}", seen or "its instances have no roles")
    return [
        Target(name=one.name, service=one.service, role=roles.get(one.name), zone=one.zone, region=one.region)
        for one in chosen
    ]


def select_links(world: World, link: str) -> list[Target]:
    """Links by name ("from>to", `*` for any) or by group. Raises Refused `target-matches-nothing`."""
    found = [one for one in world.links if link == one.group or fnmatchcase(one.name, link)]
    if not found:
        known = {one.group for one in world.links} | {one.name for one in world.links}
        raise _nothing(f"link {link!r}", registry.did_you_mean(link, known))
    return [Target(kind="link", name=one.name) for one in found]


def _nothing(what: str, hint: str) -> Refused:
    return Refused("target-matches-nothing", f"{what} matches nothing; {hint}; nothing was touched")


def names(targets: Sequence[Target]) -> str:
    """The targets for a sentence, at most four of them."""
    shown = [target.name for target in targets[:4]]
    more = len(targets) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
