"""The plan of a run: the definition with its targets resolved, frozen and hashed before anything is touched."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import orjson
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    computed_field,
    model_serializer,
    model_validator,
)

from drills.errors import DefinitionError
from drills.model import Drill, Experiment, Guard, Load, Objective, Phase, Sop
from drills.model_base import Model

SUSTAIN_S = 10.0
THETA = 0.999
CLIENT_TIMEOUT_MS = 2000
LIMITS_MS = {"place": 500, "cancel": 250, "amend": 250}


class Target(Model):
    """What a fault touches; fields that do not apply are None."""

    kind: Literal["instance", "link", "pod", "node", "workload", "record", "certificate", "zone", "region", "cloud"] = (
        "instance"
    )
    name: str
    service: str | None = None
    role: str | None = None
    zone: str | None = None
    region: str | None = None


class PlannedFault(Model):
    """A fault with its targets, in words: what it does and how it is undone.

    `needs`: parts of the sandbox it cannot do without, such as kubernetes.
    """

    id: str
    fault: str
    params: dict[str, Any]
    targets: tuple[Target, ...] = ()
    describe: str
    undo_text: str
    needs: tuple[str, ...] = ()

    @model_serializer(mode="wrap")
    def _said(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # written only where there are some: plans from before they came keep their hash
        return {name: value for name, value in whole(self).items() if name != "needs" or value}


class PlannedTrace(Model):
    """The recorded traffic of the run, behind the transforms of its load; `sha256` is that of the file before them.

    `rate` in operations a second at the recorded pace, `seconds` its length.
    """

    name: str
    path: str
    sha256: str
    rows: int
    seconds: float
    rate: float


class PlannedEnvironment(Model):
    """Where the run happens; `resolved` is False when nothing was running to resolve targets against."""

    name: str
    kind: Literal["embedded", "staging", "production"] = "embedded"
    resolved: bool = True


class Resolver(Protocol):
    """Knows the live system; gives targets, words and undo of a fault without touching anything."""

    @property
    def environment(self) -> PlannedEnvironment:
        """Where targets are resolved."""

    def resolve(self, fault_id: str, fault: str, params: Mapping[str, Any]) -> PlannedFault:
        """Targets, description and undo of one fault.

        Raises Refused (`target-matches-nothing`) with the nearest name when there is no target.
        """


class Plan(Model):
    """Everything that a run will do; `hash` covers all of it but the run id and the paths of files."""

    run_id: str | None = None
    name: str
    kind: Literal["drill", "experiment"]
    title: str
    hypothesis: str = ""
    owner: str = ""
    definition: dict[str, Any]
    definition_path: str
    environment: PlannedEnvironment
    services: tuple[str, ...] = ()
    load: Load
    objectives: tuple[Objective, ...]
    guards: tuple[Guard, ...] = ()
    faults: tuple[PlannedFault, ...]
    phases: tuple[Phase, ...] = ()
    sops: dict[str, Sop] = Field(default_factory=dict)
    limits_ms: dict[str, int] = LIMITS_MS
    trace: PlannedTrace | None = None
    sustain_s: float = SUSTAIN_S
    theta: float = THETA
    client_timeout_ms: int = CLIENT_TIMEOUT_MS

    @property
    def targets(self) -> dict[str, tuple[Target, ...]]:
        """The targets of each fault by its id."""
        return {fault.id: fault.targets for fault in self.faults}

    @computed_field  # type: ignore[prop-decorator]
    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the canonical JSON: keys sorted, without hash, run id and where files lie.

        What the files hold is covered: the definition is part of the plan, and so is the trace's own hash.
        """
        body = self.model_dump(
            mode="json", exclude={"run_id": True, "hash": True, "definition_path": True, "trace": {"path"}}
        )
        return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()

    @model_validator(mode="before")
    @classmethod
    def _drop_hash(cls, value: object) -> object:
        # the hash of a file is compared by read_plan; a model always computes its own
        return {k: v for k, v in value.items() if k != "hash"} if isinstance(value, dict) else value

    def fault(self, fault_id: str) -> PlannedFault:
        """The planned fault of that id (KeyError when there is none)."""
        for fault in self.faults:
            if fault.id == fault_id:
                return fault
        raise KeyError(fault_id)


def make_plan(
    definition: Drill | Experiment,
    path: Path,
    resolver: Resolver,
    *,
    run_id: str | None = None,
    trace: PlannedTrace | None = None,
    load: Load | None = None,
    sops: Mapping[str, Sop] | None = None,
    limits_ms: Mapping[str, int] | None = None,
) -> Plan:
    """Resolve every fault of a definition and freeze the result; touches nothing.

    `sops` are those that its phases name; `load` replaces the definition's (a `--trace` on the command line).
    Raises Refused where a target matches nothing.
    """
    drill = definition if isinstance(definition, Drill) else None
    faults = tuple(resolver.resolve(key, spec.name, spec.params) for key, spec in definition.faults.items())
    return Plan(
        run_id=run_id,
        name=drill.drill if drill else path.stem,
        kind="drill" if drill else "experiment",
        title=definition.title,
        hypothesis=drill.hypothesis if drill else definition.title,
        owner=drill.owner if drill else "",
        definition=drill.model_dump(mode="json", exclude_none=True) if drill else _document(definition),
        definition_path=str(path),
        environment=resolver.environment,
        services=drill.services if drill else (),
        load=load or definition.load,
        objectives=definition.objectives,
        guards=definition.guards,
        faults=faults,
        phases=drill.phases if drill else (),
        sops=dict(sops or {}),
        limits_ms=dict(limits_ms or LIMITS_MS),
        trace=trace,
    )


def _document(definition: Drill | Experiment) -> dict[str, Any]:
    return definition.document if isinstance(definition, Experiment) else {}


def read_plan(path: Path) -> Plan:
    """Read plan.json and compare its hash; raises DefinitionError when it is unreadable or was altered."""
    try:
        raw = orjson.loads(path.read_bytes())
        plan = Plan.model_validate(raw)
    except OSError as error:
        raise DefinitionError(str(path), f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise DefinitionError(str(path), "is not a plan; it was altered or cut short") from error
    if raw.get("hash") != plan.hash:
        raise DefinitionError(str(path), f"hash {str(raw.get('hash'))[:8]} is not that of its content; it was altered")
    return plan
