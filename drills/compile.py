"""A drill as one flat Chaos Toolkit experiment, for those who have only `chaos run`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from drills.model import (
    Baseline,
    Decide,
    Detect,
    Drill,
    Failback,
    FaultSpec,
    Inject,
    Phase,
    Recover,
    Restore,
    RtoObjective,
    SloObjective,
    Sop,
    Verify,
)
from drills.registry import Wait

ACTIONS = "chaoslib_ext.ctk.actions"
PROBES = "chaoslib_ext.ctk.probes"
TARGET_KEYS = ("instance", "service", "role", "link", "region", "zone")
"""Parameters that say what a fault hits; they stand under `target` in an activity."""

SUSTAINED_S = 10
REDUNDANCY_S = 5
"""Without the load and the sampler of `muster run` nothing can be awaited: these seconds are given instead."""

HEAD = """\
# {name}, compiled by `muster compile`. `chaos run` executes it; first: muster sandbox up
# Less safe than `muster run {name}`: no guards, no baseline gate, no load and no verdict;
# faults of one instant come one after the other; sustained service and redundancy are given time, not awaited;
# questions to people and human steps are left out; a missed wait fails its activity and the method goes on.
# Undo is still the guardian's: it plays the ledger when this process ends, whatever ends it.
"""


def compile_text(drill: Drill, sops: dict[str, Sop]) -> str:
    """The experiment as YAML with a comment on top; `sops` are those that the drill names."""
    body = yaml.dump(
        compile_drill(drill, sops),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=110,
        default_flow_style=None,
    )
    return HEAD.format(name=drill.drill) + body


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def compile_drill(drill: Drill, sops: dict[str, Sop]) -> dict[str, Any]:
    """The experiment as data. Raises KeyError for an SOP that is not in `sops`."""
    extension = {
        "name": "muster",
        "load": drill.load.model_dump(mode="json"),
        "objectives": [o.model_dump(mode="json", exclude_none=True) for o in drill.objectives],
        "guards": [g.model_dump(mode="json", exclude_none=True) for g in drill.guards],
    }
    method = []
    for number, phase in enumerate(drill.phases, 1):
        for part, activity in enumerate(_activities(phase, drill, sops)):
            # names are keys of the journal: the number keeps two phases of one kind apart
            name = activity.pop("name", None) or f"{number}-{phase.kind}" + (f"-{part + 1}" if part else "")
            method.append({"type": "action", "name": name, **activity})
    return {
        "version": "1.0.0",
        "title": drill.title,
        "description": drill.hypothesis,
        "tags": list(drill.services),
        "extensions": [extension],
        "steady-state-hypothesis": {"title": drill.hypothesis, "probes": [_probe(slo) for slo in _slos(drill)]},
        "method": method,
        "rollbacks": [],
    }


def _slos(drill: Drill) -> list[str]:
    named = [f"order-{o.flow}" for o in drill.objectives if isinstance(o, RtoObjective) and o.flow != "amend"]
    named += [o.slo for o in drill.objectives if isinstance(o, SloObjective)]
    return list(dict.fromkeys(named))


def _probe(slo: str) -> dict[str, Any]:
    provider = {"type": "python", "module": PROBES, "func": "slo_met", "arguments": {"slo": slo}}
    return {"type": "probe", "name": f"{slo}-good", "tolerance": True, "provider": provider}


def _activities(phase: Phase, drill: Drill, sops: dict[str, Sop]) -> Iterator[dict[str, Any]]:
    match phase.params:
        case Baseline(for_=seconds) | Verify(for_=seconds):
            yield _pause(seconds)
        case Inject() as inject:
            for fault_id in inject.ids:
                yield {"name": fault_id, **_inject(fault_id, drill.faults[fault_id])}
        case Detect(probe="engine-leader", within=within):
            yield _call("wait", until="leader", within=_number(within))
        case Detect(within=within):
            yield _pause(within)
        case Recover(sop=None) as recover:
            yield from _until(recover.until, recover.within)
        case Recover() as recover:
            yield from _steps(sops[str(recover.sop)])
        case Failback() as failback:
            yield from _steps(sops[failback.sop])
        case Restore() as restore:
            yield _call("undo", fault_id="all" if restore.undo == "all" else list(restore.undo))
            yield from _until(restore.until, restore.within)
        case Decide():
            return


def _until(condition: str | None, within: float) -> Iterator[dict[str, Any]]:
    if condition in ("leader", "sustained"):
        yield _call("wait", until="leader", within=_number(within))
    if condition == "sustained":
        yield _pause(SUSTAINED_S)
    if condition == "redundancy":
        yield _pause(REDUNDANCY_S)


def _steps(sop: Sop) -> Iterator[dict[str, Any]]:
    for step in sop.steps:
        for action, params in (step.do or {}).items():
            if action == "wait":
                wait = Wait.model_validate(params)
                yield from _until(wait.until, step.expect) if wait.seconds is None else [_pause(wait.seconds)]
            else:
                yield _call("act", action=action, params=params)


def _pause(seconds: float) -> dict[str, Any]:
    return _call("wait", seconds=_number(seconds))


def _number(seconds: float) -> float:
    return int(seconds) if seconds == int(seconds) else seconds


def _inject(fault_id: str, spec: FaultSpec) -> dict[str, Any]:
    target = {key: value for key, value in spec.params.items() if key in TARGET_KEYS}
    rest = {key: value for key, value in spec.params.items() if key not in TARGET_KEYS}
    return _call("inject", fault_id=fault_id, fault=spec.name, target=target, **rest)


def _call(func: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever an action takes
    return {"provider": {"type": "python", "module": ACTIONS, "func": func, "arguments": arguments}}
