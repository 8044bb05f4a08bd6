"""Clouds, behind one small protocol: machines of a zone, the border of a zone, a record, the targets of a balancer.

A cloud is one module of this package, called as its key in the description of an environment (`aws`), with a function
`connect(target) -> Cloud`. Everything that is changed is first saved as plain data, because an undo recipe must be on
disk before the change; whoever undoes has that data and nothing else.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol

import orjson

from drills.errors import FaultError

Act = Literal["stop", "isolate"]
"""Acts that can be rehearsed: a cloud tells ahead whether the account may do them."""

Saved = dict[str, Any]
"""A former state, as JSON."""


class CloudError(FaultError):
    """The cloud refused an action or did not answer; the message names the action."""


class Denied(CloudError):
    """The account may not do an action."""


class WrongAccount(CloudError):
    """The keys belong to another account than the environment's."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One instance: its id, the node it is, and its state (`running` when it runs)."""

    id: str
    node: str
    zone: str
    state: str


@dataclass(frozen=True, slots=True)
class RoutedTarget:
    """One target of a group behind a load balancer."""

    id: str
    port: int


class Cloud(Protocol):
    """One account of one cloud. Every method raises CloudError, Denied where the account may not do it."""

    def identity(self) -> str:
        """The account that the keys belong to."""

    def zones(self) -> Sequence[str]:
        """Zones of the environment, as the drill calls them."""

    def instances(self, zone: str | None = None) -> list[Machine]:
        """Instances of the environment, terminated ones left out."""

    def rehearse(self, act: Act, saved: Mapping[str, Any]) -> None:
        """Ask whether the account may do and undo an act on these things, where the cloud can tell; touches nothing."""

    def stop(self, ids: Sequence[str]) -> None:
        """Pull the plug: no clean shutdown is waited for."""

    def start(self, ids: Sequence[str]) -> None:
        """Start those that do not run; one that is still stopping is not an error but not started yet either."""

    def states(self, ids: Sequence[str]) -> dict[str, str]:
        """State by id."""

    def suspended(self, ids: Sequence[str]) -> list[Saved]:
        """What must be suspended while they are stopped, for each scaling group of theirs: {zone, group, processes}."""

    def suspend(self, saved: Mapping[str, Any]) -> None:
        """Keep a group from replacing stopped instances."""

    def resume(self, saved: Mapping[str, Any]) -> None:
        """Let it replace again; idempotent."""

    def still_suspended(self, saved: Mapping[str, Any]) -> list[str]:
        """Those of the saved processes that are suspended now."""

    def border(self, zone: str) -> Saved:
        """What decides now which packets enter and leave a zone: {subnets: [{id, acl, vpc}]}; empty when unknown."""

    def isolate(self, saved: Mapping[str, Any], tag: str) -> None:
        """Let no packet in or out; whatever is made for it carries `tag`."""

    def restore(self, saved: Mapping[str, Any], tag: str) -> None:
        """Give the zone back the border that it had, and remove what carries `tag`; idempotent."""

    def not_restored(self, saved: Mapping[str, Any], tag: str) -> list[str]:
        """What is not yet as it was saved, one line each."""

    def record(self, name: str) -> Saved:
        """All sets of a record: {zone_id, name, sets: {id: {weight, ttl, values}}}; no sets where it is not there."""

    def switch(self, saved: Mapping[str, Any], weights: Mapping[str, int]) -> None:
        """Give the sets of a saved record these weights; everything else of them stays as saved; idempotent."""

    def targets(self, group: str, zone: str | None = None) -> list[RoutedTarget]:
        """Registered targets of a group; empty also where there is no such group."""

    def deregister(self, group: str, targets: Sequence[Mapping[str, Any]]) -> None:
        """Take targets {id, port} out of a group."""

    def register(self, group: str, targets: Sequence[Mapping[str, Any]]) -> None:
        """Put targets {id, port} into a group; idempotent."""

    def by_hand(self, verb: str, args: Mapping[str, Any]) -> str | None:
        """The shell command that does what a verb of `cloud.*` undoes; None where there is none."""


def known() -> list[str]:
    """Every cloud by name."""
    return sorted(one.name for one in pkgutil.iter_modules(__path__) if not one.name.startswith("_"))


def target_of(describe: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """(cloud, how to reach it) of an environment, without any key; None where it has no cloud."""
    for name in known():
        if found := describe.get(name):
            keys = importlib.import_module(f"{__name__}.{name}").REACHED_BY
            return name, {key: found[key] for key in keys if found.get(key) is not None}
    return None


def connect(name: str, target: Mapping[str, Any]) -> Cloud:
    """The cloud of that name behind that target; the same object each time in one process. Raises KeyError."""
    return _connected(name, orjson.dumps(dict(target), option=orjson.OPT_SORT_KEYS))


@cache
def _connected(name: str, target: bytes) -> Cloud:
    if name not in known():
        raise KeyError(name)
    made: Cloud = importlib.import_module(f"{__name__}.{name}").connect(orjson.loads(target))
    return made


def enter(name: str, target: Mapping[str, Any]) -> Cloud:
    """The cloud, after its account was compared with the target's: once in a process. Raises WrongAccount."""
    made = connect(name, target)
    if id(made) not in _entered:
        if (found := made.identity()) != str(target.get("account")):
            expected = target.get("account")
            raise WrongAccount(f"{name}: the keys belong to account {found}, the environment is account {expected}")
        _entered.add(id(made))
    return made


def forget() -> None:
    """Drop every connection: what a forked process does first, before it speaks through those of its parent."""
    _connected.cache_clear()
    _entered.clear()


_entered: set[int] = set()
"""Clouds whose account was compared; `_connected` keeps them, so an id is never given twice."""


def load(names: Collection[str] | None = None) -> None:
    """Import the modules of these clouds (all of them) ahead of their time."""
    for name in known() if names is None else names:
        importlib.import_module(f"{__name__}.{name}")
