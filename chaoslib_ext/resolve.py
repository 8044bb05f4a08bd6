"""Turns a definition into a plan: targets from the live system, or in words where none is up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from chaoslib_ext import needs
from chaoslib_ext.faults.base import Fault, build
from chaoslib_ext.policy import enforce_traffic
from chaoslib_ext.world import World
from drills.errors import ComponentError, DefinitionError, DefinitionErrors, Refused
from drills.evidence import sha256_file
from drills.loader import Definition, load_sops
from drills.model import Drill, Environment, Experiment, Load
from drills.plan import LIMITS_MS, Plan, PlannedEnvironment, PlannedFault, PlannedTrace, make_plan
from loadgen import config
from loadgen import trace as traces


class WorldResolver:
    """Asks a running system which targets a fault has; reads only."""

    def __init__(self, world: World, environment: PlannedEnvironment | None = None) -> None:
        self._world = world
        self.environment = environment or PlannedEnvironment(name="sandbox")

    def resolve(self, fault_id: str, fault: str, params: Mapping[str, Any]) -> PlannedFault:
        """Targets, words and undo; raises Refused `target-matches-nothing`."""
        built = build(fault, params)
        needs.check(self._world.describe, needs.of_use(fault, params), f"{fault_id} ({fault})")
        targets = built.targets(self._world)
        return PlannedFault(
            id=fault_id,
            fault=fault,
            params=_dump(built),
            targets=tuple(targets),
            describe=built.describe(targets),
            undo_text=built.undo_text,
            needs=tuple(sorted(needs.of_use(fault, params))),
        )


class WordsResolver:
    """Says what would be resolved where nothing is running."""

    environment = PlannedEnvironment(name="sandbox", resolved=False)

    def resolve(self, fault_id: str, fault: str, params: Mapping[str, Any]) -> PlannedFault:
        """No targets; the words name the parameters."""
        built = build(fault, params)
        said = ", ".join(f"{key} {value}" for key, value in params.items())
        words = f"{built.summary.rstrip('.')}: {said}"
        return PlannedFault(
            id=fault_id,
            fault=fault,
            params=_dump(built),
            describe=words,
            undo_text=built.undo_text,
            needs=tuple(sorted(needs.of_use(fault, params))),
        )


def _dump(fault: Fault) -> dict[str, Any]:
    return fault.model_dump(mode="json", exclude_none=True, by_alias=True)


def planned_trace(load: Load, environment: Environment | None = None) -> PlannedTrace:
    """Read and check the trace of a load, behind its transforms, and whether it may be played in an environment.

    Raises DefinitionError where it is missing, damaged, or a step does not fit it, Refused where the policy of the
    environment (None: of the sandbox) does not let it be played.
    """
    return _recorded(load, environment)[0]


def _recorded(load: Load, environment: Environment | None) -> tuple[PlannedTrace, frozenset[str]]:
    """The trace of a load, and the kinds of its operations."""
    path = traces.resolve(load.trace)
    trace = traces.read(load.trace)
    for name in traces.SCHEMA.names:
        trace.column(name)  # what is damaged anywhere is found now, not in the middle of a run
    if environment is not None:
        enforce_traffic(trace, environment)
    if load.transform:
        from loadgen import transform  # it takes a tenth of a second, and most loads have none

        trace = transform.apply(trace, transform.parse(list(load.transform), "load"))
    sessions = min(load.sessions or trace.sessions, trace.sessions) * load.amplify
    if load.workers > sessions:
        raise DefinitionError("load.workers", f"{load.workers} are more than the {sessions} sessions that they share")
    planned = PlannedTrace(
        name=trace.name,
        path=str(path.absolute()),
        sha256=sha256_file(path),
        rows=trace.rows,
        seconds=trace.duration_ns / 1e9,
        rate=trace.rate,
    )
    return planned, frozenset(trace.codes("op")[1])


def _limits_ms(kinds: Collection[str]) -> dict[str, int]:
    """The limits of every plan, and those of the further kinds of operations that are sent."""
    further = {kind: limit for kind, limit in config.LIMITS_MS.items() if kind in kinds}
    return {**LIMITS_MS, **further}


def plan_of(
    definition: Definition,
    path: Path,
    world: World | None,
    *,
    run_id: str | None = None,
    load: Load | None = None,
    environment: Environment | None = None,
) -> Plan:
    """The plan of a drill or experiment against a world, or in words for None; touches nothing.

    Raises DefinitionErrors for a definition that cannot run, Refused where a target matches nothing or the trace may
    not be played in the environment (None: the sandbox, which takes any).
    """
    if not isinstance(definition, Drill | Experiment):
        problem = f"is a definition of kind {type(definition).__name__.lower()}; a drill or an experiment can be run"
        raise DefinitionErrors(str(path), [DefinitionError(str(path), problem)])
    resolver = WorldResolver(world) if world is not None else WordsResolver()
    trace, kinds = _recorded(load or definition.load, environment)
    sops = load_sops(definition, path) if isinstance(definition, Drill) else {}
    limits_ms = _limits_ms(kinds)
    return make_plan(definition, path, resolver, run_id=run_id, trace=trace, load=load, sops=sops, limits_ms=limits_ms)


def world_if_up() -> World | None:
    """The sandbox of this checkout, or None where none is up."""
    try:
        return World.embedded()
    except Refused:
        return None
    except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        raise ComponentError("sandbox", "does not say what it is; see muster sandbox status") from error
