"""Every definition that ships is right, and its plan says what it did when it was reviewed.

MUSTER_SNAPSHOTS=write rewrites the plans in tests/unit/snapshots.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from chaoslib_ext.faults.base import build
from chaoslib_ext.names import find, load_definition, load_names, shipped
from chaoslib_ext.resolve import WordsResolver
from drills import registry
from drills.compile import compile_text
from drills.errors import UsageError
from drills.loader import load_experiment, load_sops
from drills.loader_checks import SOPS
from drills.model import Drill, Experiment
from drills.plan import make_plan
from drills.plan_text import plan_text

ROOT = Path(__file__).parent.parent.parent
SNAPSHOTS = Path(__file__).parent / "snapshots"
DEFINITIONS = {path.relative_to(ROOT).as_posix(): path for path in shipped()}
RUNNABLE = {name: path for name, path in DEFINITIONS.items() if name.startswith(("drills/catalog", "experiments"))}


def test_the_catalog_is_found() -> None:
    assert {path.stem for path in shipped()} >= {
        "engine-primary-kill",
        "engine-zombie-primary",
        "engine-kill-inflight",
        "engine-failover",
        "kill-primary",
        "link-latency",
    }


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_shipped_definition_is_right(name: str) -> None:
    load_definition(DEFINITIONS[name])


@pytest.mark.parametrize("name", RUNNABLE)
def test_the_plan_is_the_reviewed_one(name: str) -> None:
    path = RUNNABLE[name]
    definition = load_definition(path)
    assert isinstance(definition, Drill | Experiment)
    plan = make_plan(definition, path, WordsResolver())
    text = plan_text(plan).replace(plan.hash[:8], "########") + "\n"
    snapshot = SNAPSHOTS / f"{path.stem}.plan.txt"
    if os.environ.get("MUSTER_SNAPSHOTS") == "write":
        snapshot.write_text(text, encoding="utf-8")
    assert text == snapshot.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in RUNNABLE if name.startswith("drills")])
def test_a_drill_is_named_as_its_file_and_ends_with_nothing_left(name: str) -> None:
    definition = load_definition(RUNNABLE[name])
    assert isinstance(definition, Drill)
    assert definition.drill == RUNNABLE[name].stem
    last = next(phase.restore for phase in reversed(definition.phases) if phase.restore is not None)
    assert last is not None
    assert last.undo == "all"
    # where service went elsewhere, the steps of the way back bring redundancy too
    assert last.until == "redundancy" or definition.phases[-2].failback is not None


@pytest.mark.parametrize("name", [name for name in RUNNABLE if name.startswith("drills")])
def test_a_compiled_drill_is_an_experiment_of_ours(name: str, tmp_path: Path) -> None:
    definition = load_definition(RUNNABLE[name])
    assert isinstance(definition, Drill)
    path = tmp_path / f"{definition.drill}.yaml"
    path.write_text(compile_text(definition, load_sops(definition, RUNNABLE[name])), encoding="utf-8")
    experiment = load_experiment(path)
    assert experiment.faults.keys() == definition.faults.keys()
    assert experiment.objectives == definition.objectives


@pytest.mark.parametrize("name", RUNNABLE)
def test_the_chaos_toolkit_finds_it_valid(name: str) -> None:
    from chaoslib.experiment import ensure_experiment_is_valid

    definition = load_definition(RUNNABLE[name])
    assert isinstance(definition, Drill | Experiment)
    text = (
        compile_text(definition, load_sops(definition, RUNNABLE[name]))
        if isinstance(definition, Drill)
        else RUNNABLE[name].read_text(encoding="utf-8")
    )
    ensure_experiment_is_valid(yaml.safe_load(text))  # raises on the first thing it does not like


def test_every_fault_is_in_the_registry_and_can_be_built() -> None:
    load_names()
    assert {"process.kill", "process.pause", "network.latency", "network.cut"} <= registry.faults.keys()
    assert build("process.kill", {"service": "matching-engine"}).describe([])


def test_every_sop_is_named_as_its_file() -> None:
    assert all(f"sop: {path.stem}\n" in path.read_text(encoding="utf-8") for path in SOPS.glob("*.yaml"))


def test_a_name_or_a_path_is_found() -> None:
    assert find("engine-primary-kill") == DEFINITIONS["drills/catalog/engine-primary-kill.yaml"]
    assert find("elsewhere/x.yaml") == Path("elsewhere/x.yaml")
    with pytest.raises(
        UsageError, match=r'no drill or experiment "engine-primary-kil"; did you mean engine-primary-kill\?'
    ):
        find("engine-primary-kil")
