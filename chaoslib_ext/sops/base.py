"""What an action of an SOP is: parameters and one act on the live system."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

from chaoslib_ext.world import World
from drills import registry
from drills.registry import ActionInfo, Need


class Action(BaseModel):
    """Base of every action; the fields of a subclass are its parameters in YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]

    def do(self, world: World) -> str:
        """Do it and return what shows that it is done, in a few words.

        Idempotent: where a run is aborted in the middle of a step, the step is played again from its beginning.
        Raises FaultError, ComponentError where it is not done.
        """
        raise NotImplementedError


A = TypeVar("A", bound=type[Action])

classes: dict[str, type[Action]] = {}
"""Every action by its name in SOPs; `wait` is not one of them, it is the drill's own."""


def action(name: str, *, summary: str, needs: Collection[Need] = ()) -> Callable[[A], A]:
    """Register a class as the action `name`, in `classes` and in drills.registry."""

    def register(cls: A) -> A:
        cls.name = name
        registry.actions[name] = ActionInfo(name, cls, summary, frozenset(needs))
        classes[name] = cls
        return cls

    return register


def build(name: str, params: Mapping[str, Any]) -> Action:
    """The action of that name with these parameters. Raises UsageError that names the mistake."""
    return registry.build("action", classes, name, params)
