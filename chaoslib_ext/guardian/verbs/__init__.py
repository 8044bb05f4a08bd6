"""The verbs of undo recipes: they need the recipe and nothing else, not the run, not the fault that wrote it.

Each is safe to play twice, and safe where the fault was never applied. What an undo did is never believed: `observe`
looks at the system. Where nothing listens on a port of this host, what the server held in memory (a held instance, a
toxic) is gone with it; that is said, never taken for a success silently.

One module a plane, named as the first word of its verbs, loaded when the first recipe needs it: the guardian stays
small, and a plane with a heavy client is loaded when the intent is written, not when every millisecond counts.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache

from chaoslib_ext.guardian.verbs.base import Args, NotUndone, Verb, accepts

__all__ = ["Args", "NotUndone", "Verb", "accepts", "find", "names", "preload"]


@cache
def planes() -> list[str]:
    """The first words of all verbs."""
    return [one.name for one in pkgutil.iter_modules(__path__) if one.name != "base"]


def find(name: str) -> Verb:
    """The verb of that name in recipes. Raises KeyError."""
    plane = name.partition(".")[0]
    if plane not in planes():
        raise KeyError(name)
    verbs: dict[str, Verb] = importlib.import_module(f"{__name__}.{plane}").VERBS
    return verbs[name]


def preload(names: Iterable[str]) -> None:
    """Load what these verbs need, ahead of their time. Raises KeyError for one that does not exist."""
    for name in names:
        find(name)


def names() -> list[str]:
    """Every verb there is."""
    return sorted(name for plane in planes() for name in importlib.import_module(f"{__name__}.{plane}").VERBS)
