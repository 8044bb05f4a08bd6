"""A trace made into another: cut, seeded, bent in time, re-based in price, and surged, step by step.

A step is a mapping of one key, as in YAML: {slice: {from: 5s, to: 20s}}. `parse` checks a list of them, `apply` carries
them out. Neither changes the trace that it is given; each step leaves a note in provenance["transformed"].
"""

from __future__ import annotations

from collections.abc import Sequence

from loadgen.trace import Trace
from loadgen.transform.base import State, Transform
from loadgen.transform.parse import SHAPES, STEPS, parse, problems
from loadgen.transform.reconnect_storm import reconnects
from loadgen.transform.seed import balances

__all__ = ["SHAPES", "STEPS", "Transform", "apply", "balances", "parse", "problems", "reconnects"]


def apply(trace: Trace, steps: Sequence[Transform]) -> Trace:
    """The trace behind all steps, in their order; the same steps make the same trace.

    Raises DefinitionError, naming the trace and the step, where a step does not fit the trace (a window beyond its end,
    a symbol that it does not have, nothing left).
    """
    state = State(trace)
    for index, step in enumerate(steps):
        label = f"transform[{index}].{step.key}"
        state = step.made(State(state.trace, label, state.cut))
    return state.trace
