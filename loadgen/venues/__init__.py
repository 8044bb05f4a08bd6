"""How an exchange is spoken to: render, sign, parse, classify, audit."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Protocol

from drills.errors import DefinitionError
from loadgen.trace import Trace
from loadgen.venues.results import AuditResult as AuditResult
from loadgen.venues.results import CanaryResult as CanaryResult
from loadgen.venues.wire import Wire

GROUP = "muster.venues"
"""Entry points of other packages: name of the type = module:class."""

BUILT_IN = {
    "sandbox": "SandboxVenue",
    "sandbox-binary": "SandboxBinaryVenue",
    "bybit-v5": "BybitV5",
    "fix44": "Fix44Venue",
    "http": "HttpVenue",
}
"""Type to the class in `loadgen.venues.builtin`."""

# whatever the import of somebody else's module may raise, short of what ends the process
_UNLOADABLE = (
    ImportError,
    SyntaxError,
    AttributeError,
    NameError,
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    AssertionError,
    OSError,
    RuntimeError,
)


class Venue(Protocol):
    """What a venue must be able to do; `venue` is its description (type, addresses, keys)."""

    def watermark(self, venue: Mapping[str, Any]) -> int:
        """Sequence number of the last command that the venue executed.

        Raises ComponentError where nobody answers.
        """

    def place_canaries(self, venue: Mapping[str, Any], n: int) -> CanaryResult:
        """Place and cancel `n` orders far from any market, one after the other; never raises for a failing venue."""

    def audit(self, venue: Mapping[str, Any], run_dir: Path, watermark_timeout_s: float) -> AuditResult:
        """Read the record of the run with two fresh clients and write the run's audit folder.

        Waits up to `watermark_timeout_s` for the venue to come to rest. An incomplete reading is a result, no error.
        """

    def wire(self, trace: Trace, run_id: str, venue: Mapping[str, Any], seed: int) -> Wire:
        """How operations of a trace are put to the venue, for one replay.

        Raises DefinitionError for a description or a trace that cannot be used, ComponentError for missing secrets.
        """


def get(type_: str) -> Venue:
    """The venue of a type, ours or of an installed package.

    Raises DefinitionError for an unknown one, and for a package that cannot be loaded, which it names.
    """
    if type_ in BUILT_IN:
        made: Venue = getattr(import_module("loadgen.venues.builtin"), BUILT_IN[type_])()
        return made
    entries = metadata.entry_points(group=GROUP)
    if type_ in entries.names:
        return _loaded(entries[type_])
    known = ", ".join([*BUILT_IN, *sorted(entries.names)])
    raise DefinitionError(f"venue.type {type_}", "no such venue", hint=f"known: {known}")


def wire(trace: Trace, run_id: str, venue: Mapping[str, Any], seed: int = 1) -> Wire:
    """The wire of a described venue; raises what `get` and `Venue.wire` raise."""
    return get(str(venue.get("type"))).wire(trace, run_id, venue, seed)


def kinds(made: Wire) -> frozenset[str]:
    """Operations that a wire can render; one that does not say renders orders only."""
    found: frozenset[str] = getattr(made, "kinds", frozenset({"place", "cancel", "amend"}))
    return found


def _loaded(entry: metadata.EntryPoint) -> Venue:
    package = entry.dist.name if entry.dist is not None else entry.module
    place = f"venue.type {entry.name}"
    try:
        made: Venue = entry.load()()
    except _UNLOADABLE as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        hint = "repair or uninstall it"
        raise DefinitionError(place, f"package {package} cannot be loaded ({reason})", hint=hint) from error
    missing = [
        name for name in ("watermark", "place_canaries", "audit", "wire") if not callable(getattr(made, name, 0))
    ]
    if missing:
        raise DefinitionError(place, f"{entry.value} of package {package} is no venue: no {', '.join(missing)}")
    return made
