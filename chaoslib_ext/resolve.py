"""Turns a definition into a plan: targets from the live system, or in words where none is up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaoslib_ext.faults.base import Fault, build
from chaoslib_ext.world import World
from drills.errors import ComponentError, DefinitionError, DefinitionErrors, Refused
from drills.evidence import sha256_file
from drills.loader import Definition, load_sops
from drills.model import Drill, Experiment, Load
from drills.plan import Plan, PlannedEnvironment, PlannedFault, PlannedTrace, make_plan
from loadgen import trace as traces


class WorldResolver:
    """Asks a running system which targets a fault has; reads only."""

    def __init__(self, world: World, environment: PlannedEnvironment | None = None) -> None:
        self._world = world
        self.environment = environment or PlannedEnvironment(name="sandbox")

    def resolve(self, fault_id: str, fault: str, params: Mapping[str, Any]) -> PlannedFault:
        """Targets, words and undo; raises Refused `target-matches-nothing`."""
        built = build(fault, params)
        targets = built.targets(self._world)
        return PlannedFault(
            id=fault_id,
            fault=fault,
            params=_dump(built),
            targets=tuple(targets),
            describe=built.describe(targets),
            undo_text=built.undo_text,
        )


class WordsResolver:
    """Says what would be resolved where nothing is running."""

    environment = PlannedEnvironment(name="sandbox", resolved=False)

    def resolve(self, fault_id: str, fault: str, params: Mapping[str, Any]) -> PlannedFault:
        """No targets; the words name the parameters."""
        built = build(fault, params)
        said = ", ".join(f"{key} {value}" for key, value in params.items())
        words = f"{built.summary.rstrip('.')}: {said}"
        return PlannedFault(id=fault_id, fault=fault, params=_dump(built), describe=words, undo_text=built.undo_text)


def _dump(fault: Fault) -> dict[str, Any]:
    return fault.model_dump(mode="json", exclude_none=True)


def planned_trace(load: Load) -> PlannedTrace:
    """Read and check the trace of a load; raises DefinitionError where it is missing or damaged."""
    path = traces.resolve(load.trace)
    trace = traces.read(load.trace)
    return PlannedTrace(
        name=trace.name,
        path=str(path.absolute()),
        sha256=sha256_file(path),
        rows=int(trace.table.num_rows),
        seconds=trace.duration_ns / 1e9,
        rate=trace.rate,
    )


def plan_of(
    definition: Definition,
    path: Path,
    world: World | None,
    *,
    run_id: str | None = None,
    load: Load | None = None,
) -> Plan:
    """The plan of a drill or experiment against a world, or in words for None; touches nothing.

    Raises DefinitionErrors for a definition that cannot run, Refused where a target matches nothing.
    """
    if not isinstance(definition, Drill | Experiment):
        problem = f"is a definition of kind {type(definition).__name__.lower()}; a drill or an experiment can be run"
        raise DefinitionErrors(str(path), [DefinitionError(str(path), problem)])
    resolver = WorldResolver(world) if world is not None else WordsResolver()
    trace = planned_trace(load or definition.load)
    sops = load_sops(definition, path) if isinstance(definition, Drill) else {}
    return make_plan(definition, path, resolver, run_id=run_id, trace=trace, load=load, sops=sops)


def world_if_up() -> World | None:
    """The sandbox of this checkout, or None where none is up."""
    try:
        return World.embedded()
    except Refused:
        return None
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        raise ComponentError("sandbox", "does not say what it is; see muster sandbox status") from error
