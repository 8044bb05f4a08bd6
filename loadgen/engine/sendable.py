"""What of a trace a venue can be sent at all, and where a sandbox may stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from drills.errors import DefinitionError, Refused
from loadgen import trace as traces
from loadgen import venues
from loadgen.engine.here import here
from loadgen.engine.names import is_address
from loadgen.trace import Trace
from loadgen.venues.wire import Wire

ORDERS = frozenset({"place", "cancel", "amend"})
SANDBOXES = ("sandbox", "sandbox-binary")


def wire_for(trace: Trace, make: Callable[[Trace], Wire]) -> tuple[Trace, Wire, Counter[str]]:
    """The wire of a venue, the part of the trace that it can be sent, and how many operations of each kind it cannot.

    Raises DefinitionError where nothing is left, and what `make` raises.
    """
    codes, names = trace.codes("op")
    held = {names[code] for code in np.unique(codes).tolist()}
    if held <= ORDERS:
        return trace, make(trace), Counter()
    orders = _only(trace, held & ORDERS)
    able = venues.kinds(make(orders)) if orders.rows else venues.kinds(make(trace))
    left_out = Counter({name: int((codes == names.index(name)).sum()) for name in held - able})
    kept = _only(trace, held & able) if left_out else trace
    if not kept.rows:
        what = ", ".join(f"{count:,} {name}" for name, count in left_out.items())
        raise DefinitionError(
            trace.name, f"holds only what this venue cannot be sent ({what})", hint="use another venue"
        )
    return kept, make(kept), left_out


def _only(trace: Trace, kinds: frozenset[str] | set[str]) -> Trace:
    codes, names = trace.codes("op")
    keep = np.isin(codes, [names.index(kind) for kind in kinds])
    table = trace.table.drop_columns(["parent_row", "prior_row"]).filter(pa.array(keep))
    return traces.of(trace.name, table, trace.grid, trace.provenance, trace.duration_ns)


def check_loopback(venue_type: str, wire: Wire, resolver: str | None = None, networks: Sequence[str] = ()) -> None:
    """Raise Refused where something that calls itself the sandbox is not on this machine.

    Names that a resolver of this machine knows pass; where they lead is looked at when they are dialled.
    """
    is_here = here(networks)
    known_here = resolver is not None and is_here(resolver.rpartition(":")[0])
    for endpoint in wire.endpoints if venue_type in SANDBOXES else ():
        if not is_here(endpoint.host) and (is_address(endpoint.host) or not known_here):
            raise Refused(
                "environment", f"venue {venue_type} at {endpoint} is not on this machine; nothing was touched"
            )
