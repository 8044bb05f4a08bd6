"""What the one suite of all faults needs to know of each: a module a plane, with its CASES and its BOXES."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from chaoslib_ext.world import World


@dataclass(frozen=True)
class Box:
    """A system on which faults are tried: `open` gives it as faults see it, and leaves nothing behind.

    `shared`: one serves all tests, because it is slow to start; every test has to leave it as it was anyway.
    """

    open: Callable[[], AbstractContextManager[World]]
    shared: bool = False


@dataclass(frozen=True)
class Case:
    """One fault: parameters that hit, the words of its plan, parameters that hit nothing, and where it is tried.

    `passing`: others repair its effect at once (an owner makes a new pod), so that a look afterwards may find nothing.
    `words_in`: the words of its plan in boxes where there is more to say.
    """

    params: dict[str, Any]
    words: str
    nowhere: dict[str, Any]
    boxes: tuple[str, ...]
    passing: bool = False
    words_in: Mapping[str, str] = field(default_factory=dict)


CASES: dict[str, Case] = {}
BOXES: dict[str, Box] = {}

for _found in pkgutil.iter_modules(__path__):
    _module = importlib.import_module(f"{__name__}.{_found.name}")
    CASES |= _module.CASES
    BOXES |= _module.BOXES
