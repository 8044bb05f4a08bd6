"""The venues that ship with the project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drills.errors import DefinitionError
from loadgen.trace import Trace
from loadgen.venues import keys
from loadgen.venues.bybit_rest import BybitRest
from loadgen.venues.bybit_ws import TradeWire
from loadgen.venues.endpoints import endpoints
from loadgen.venues.fix44 import Fix44
from loadgen.venues.http import HttpWire
from loadgen.venues.sandbox import Sandbox
from loadgen.venues.sandbox_binary import SandboxBinary
from loadgen.venues.unaudited import Unaudited
from loadgen.venues.wire import Wire


def _transport(venue: Mapping[str, Any], first: str, second: str) -> str:
    """`venue.transport`, or else the first of both that has an address."""
    chosen = venue.get("transport") or (first if venue.get(first) or not venue.get(second) else second)
    if chosen not in (first, second):
        raise DefinitionError("venue.transport", f"{chosen!r} is neither {first} nor {second}")
    return str(chosen)


class SandboxVenue(Sandbox):
    """The sandbox by JSON: over WebSocket, or over REST where `transport: rest` says so."""

    def wire(self, trace: Trace, run_id: str, venue: Mapping[str, Any], seed: int) -> Wire:
        """See `loadgen.venues.Venue`."""
        if _transport(venue, "ws", "rest") == "rest":
            return BybitRest(trace, run_id, venue, dialect="sandbox")
        return TradeWire(trace, run_id, endpoints(venue, "ws", "ws", "wss"), keys.of(venue), seed=seed)


class SandboxBinaryVenue(Sandbox):
    """The sandbox by its binary protocol; canaries and audit are those of the sandbox."""

    def wire(self, trace: Trace, run_id: str, venue: Mapping[str, Any], seed: int) -> Wire:
        """See `loadgen.venues.Venue`."""
        return SandboxBinary(trace, run_id, endpoints(venue, "binary", "tcp"), keys.of(venue))


class BybitV5(Unaudited):
    """Bybit: over REST, or over its trading WebSocket, by which no status can be asked."""

    name = "bybit-v5"

    def wire(self, trace: Trace, run_id: str, venue: Mapping[str, Any], seed: int) -> Wire:
        """See `loadgen.venues.Venue`."""
        if _transport(venue, "rest", "ws") == "rest":
            return BybitRest(trace, run_id, venue)
        category = str(venue.get("category", "linear"))
        targets = endpoints(venue, "ws", "ws", "wss")
        return TradeWire(trace, run_id, targets, keys.of(venue), category=category, statuses=False, seed=seed)


class Fix44Venue(Unaudited):
    """Any venue that takes orders over FIX 4.4."""

    name = "fix44"

    def wire(self, trace: Trace, run_id: str, venue: Mapping[str, Any], seed: int) -> Wire:
        """See `loadgen.venues.Venue`."""
        return Fix44(trace, run_id, venue)


class HttpVenue(Unaudited):
    """Any HTTP API."""

    name = "http"

    def wire(self, trace: Trace, run_id: str, venue: Mapping[str, Any], seed: int) -> Wire:
        """See `loadgen.venues.Venue`."""
        return HttpWire(trace, run_id, venue)
