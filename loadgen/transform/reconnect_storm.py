"""A surge of reconnects: a share of the connections is dropped at once, and all come back."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from drills.units import Duration, Percent
from loadgen.trace import Trace
from loadgen.transform.base import State, nanoseconds, noted, shown, with_facts
from loadgen.transform.surge import Surge


class ReconnectStorm(Surge):
    """At `at` the generator drops `share` of its connections and connects them again.

    That is no operation of the trace: it stands in provenance["reconnects"], where the generator finds it.
    """

    shape: Literal["reconnect-storm"]
    at: Duration
    share: Percent = Field(gt=0)

    def made(self, state: State) -> State:
        """Note the storm; raises DefinitionError for a time behind the end of the trace."""
        trace, at = state.trace, nanoseconds(self.at)
        if at >= trace.duration_ns:
            raise state.fail(f"at {shown(at)} is not within the trace", f"it ends at {shown(trace.duration_ns)}")
        storms = [*trace.provenance.get("reconnects", ()), {"at_ns": at, "share": self.share}]
        storms.sort(key=lambda storm: storm["at_ns"])
        return State(with_facts(trace, reconnects=storms, transformed=noted(trace, self.note())), state.label)


def reconnects(trace: Trace) -> list[tuple[int, float]]:
    """Times in ns, since the start of the trace, and shares (0 to 1) of the connections to drop; in order of time."""
    return [(entry["at_ns"], entry["share"]) for entry in trace.provenance.get("reconnects", ())]
