"""What faults may change beyond instances and links, each plane telling it as flat text: {"node tyo-a": "ready"}.

A plane is a function in `SNAPSHOTS` by name, given the world; it returns nothing where the world does not have it.
Faults register theirs from their own module, so that a fault and what it leaves behind are told in one place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chaoslib_ext.world import World

Snapshot = Callable[["World"], Mapping[str, str]]

RECORD, RECORD_FAULT = "cloud: record ", "cloud.record-switch"
"""How a line about a cloud's record begins, and the fault that moves one."""

SNAPSHOTS: dict[str, Snapshot] = {}
"""Every plane's snapshot by the plane's name."""


def snapshot(world: World) -> dict[str, str]:
    """All that the planes of this world show now, by "plane: thing"."""
    return {
        f"{plane}: {thing}": state for plane, look in sorted(SNAPSHOTS.items()) for thing, state in look(world).items()
    }


def diff(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """One line for each thing that is not as it was."""
    return [
        f"{thing} is {after.get(thing, 'gone')}, was {before.get(thing, 'not there')}"
        for thing in sorted(before.keys() | after.keys())
        if before.get(thing) != after.get(thing)
    ]


def by_steps(lines: Sequence[str], faults: Collection[str]) -> list[str]:
    """Those lines of `diff` that a step of an SOP is behind: records of a cloud, where no fault of the run moves one.

    Like a role that moved they are intended: service lies in another region, and its name leads there.
    """
    return [] if RECORD_FAULT in faults else [line for line in lines if line.startswith(RECORD)]
