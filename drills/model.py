"""The nouns of a definition: drill, objectives, guards, environment, experiment."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from drills.model_base import Model, Slug, Text
from drills.model_phases import (
    AbortAction,
    Baseline,
    Decide,
    Detect,
    Failback,
    Inject,
    Phase,
    PhaseKind,
    PhaseParams,
    Recover,
    Restore,
    Sop,
    Step,
    Verify,
)
from drills.units import Duration, Percent, format_duration, quoted

__all__ = [
    "AbortAction", "Approvals", "Baseline", "Cadence", "Decide", "Detect", "Drill", "Environment", "Experiment",
    "Failback", "FaultSpec", "Flow", "Guard", "Inject", "InvariantGuard", "InvariantObjective", "KubernetesAccess",
    "Load", "LongestGuard", "MttdObjective", "MttrObjective", "MusterExtension", "Objective", "Outage", "Phase",
    "PhaseKind", "PhaseParams", "Policy", "Recover", "Region", "Restore", "RpoLimits", "RpoObjective", "RtoObjective",
    "ServiceSpec",
    "SloGuard", "SloObjective", "Sop", "Step", "Verify",
]  # fmt: skip

Flow = Literal["place", "cancel", "amend"]
Outage = Literal["drop", "queue", "retry-idempotent"]
Count = Annotated[int, Field(ge=0, strict=True)]


LONGEST_JITTER_S = 60.0
LATER_IN_LOAD = ("transform", "jitter", "sessions", "seed", "workers", "dial")
"""Keys of a load that are written only where they differ from their default: plans from before they came keep their
hash."""


class Load(Model):
    """The recorded traffic of a run: which trace, how fast, how many times, and what its clients do in an outage.

    `transform`: steps that make another trace of it first. `jitter`: each operation of a copy comes later by up to so
    much. `sessions`: fold the trace onto so many. `seed`: what copies and their jitter are drawn from. `workers`: load
    processes that share the sessions. `dial`: whether clients go to the venue's addresses, or by its names, as its
    resolver tells them, and over TLS.
    """

    trace: Text
    transform: tuple[dict[str, Any], ...] = ()  # its steps are checked by those who know them
    speed: float = Field(default=1.0, gt=0, le=100, strict=True)
    amplify: int = Field(default=1, ge=1, le=20, strict=True)
    jitter: Duration = 0.0
    sessions: int | None = Field(default=None, ge=1, strict=True)
    seed: int = Field(default=1, ge=0, le=2**63 - 1, strict=True)
    workers: int = Field(default=1, ge=1, le=16, strict=True)
    outage: Outage = "retry-idempotent"
    dial: Literal["address", "name"] = "address"

    @field_validator("jitter")
    @classmethod
    def _short(cls, seconds: float) -> float:
        if seconds > LONGEST_JITTER_S:
            words = {"value": format_duration(seconds), "most": format_duration(LONGEST_JITTER_S)}
            raise PydanticCustomError("too_long", "{value} is more than {most}", words)
        return seconds

    @model_serializer(mode="wrap")
    def _said(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        unsaid = {name for name in LATER_IN_LOAD if getattr(self, name) == fields[name].default}
        return {name: value for name, value in whole(self).items() if name not in unsaid}


class RtoObjective(Model):
    """Sustained good service of a flow within `rto` of the fault."""

    id: Slug
    rto: Duration
    flow: Flow


class RpoLimits(Model):
    """How many operations of each class may be found; `window` is the loss that must have been visible at all."""

    lost: Count | None = None
    duplicated: Count | None = None
    phantom: Count | None = None
    executed_reject: Count | None = None
    reordered: Count | None = None
    zombie: Count | None = None
    lost_observed: Count | None = None
    unresolved: Count | None = None
    window: Duration = 0.01

    @property
    def limits(self) -> dict[str, int]:
        """The classes that have a limit, by name."""
        return {k: v for k, v in self.model_dump(exclude={"window"}).items() if v is not None}


class RpoObjective(Model):
    """What may be lost, doubled or made up."""

    id: Slug
    rpo: RpoLimits


class InvariantObjective(Model):
    """A rule that one counter-example breaks."""

    id: Slug
    invariant: str


class SloObjective(Model):
    """An SLO that must hold; `spend` is the share of the month's error budget that the run may use."""

    id: Slug
    slo: str
    spend: Percent | None = None


class MttdObjective(Model):
    """The first correct alert (or the named probe) within `mttd` of the fault."""

    id: Slug
    mttd: Duration
    alert: str | None = None
    probe: str | None = None


class MttrObjective(Model):
    """Sustained good service within `mttr` of the alert."""

    id: Slug
    mttr: Duration


class SloGuard(Model):
    """Stops the run when an SLO outside `except` burns its budget `burn` times too fast."""

    slo: str
    except_: str | None = Field(default=None, alias="except")
    burn: float = Field(default=14.4, gt=0, strict=True)


class InvariantGuard(Model):
    """Stops the run at the first sample that breaks an invariant."""

    invariant: str


class LongestGuard(Model):
    """Stops the run after this time."""

    longest: Duration


def _by_key(*keys: str) -> Any:  # noqa: ANN401 - pydantic's own discriminator type is private
    def tag(value: object) -> str | None:
        names = value if isinstance(value, dict) else type(value).model_fields if isinstance(value, BaseModel) else ()
        return next((f"<{key}>" for key in keys if key in names), None)

    return Discriminator(
        tag,
        custom_error_type="no_kind",
        custom_error_message="says nothing to prove or to watch; name one of {keys}",
        custom_error_context={"keys": ", ".join(keys)},
    )


Objective = Annotated[
    Annotated[RtoObjective, Tag("<rto>")]
    | Annotated[RpoObjective, Tag("<rpo>")]
    | Annotated[InvariantObjective, Tag("<invariant>")]
    | Annotated[SloObjective, Tag("<slo>")]
    | Annotated[MttdObjective, Tag("<mttd>")]
    | Annotated[MttrObjective, Tag("<mttr>")],
    _by_key("rto", "rpo", "invariant", "slo", "mttd", "mttr"),
]
"""A limit to be proven; which one is said by the key that is present."""

Guard = Annotated[
    Annotated[SloGuard, Tag("<slo>")]
    | Annotated[InvariantGuard, Tag("<invariant>")]
    | Annotated[LongestGuard, Tag("<longest>")],
    _by_key("slo", "invariant", "longest"),
]
"""A live condition that aborts the run; no data counts as tripped."""

OBJECTIVES: dict[str, type[Model]] = {
    "rto": RtoObjective,
    "rpo": RpoObjective,
    "invariant": InvariantObjective,
    "slo": SloObjective,
    "mttd": MttdObjective,
    "mttr": MttrObjective,
}
GUARDS: dict[str, type[Model]] = {"slo": SloGuard, "invariant": InvariantGuard, "longest": LongestGuard}


class FaultSpec(Model):
    """A fault and its parameters, written as one key: `{process.kill: {service: matching-engine}}`.

    The parameters are checked by the loader against the fault's own model in drills.registry.
    """

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    name: str
    params: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _one_key(cls, value: object) -> object:
        if isinstance(value, dict) and value.keys() != {"name", "params"}:
            if len(value) != 1:
                raise PydanticCustomError("one_of", "names {n} faults; name one", {"n": len(value)})
            ((name, params),) = value.items()
            if not isinstance(params, dict | None):
                problem = "{name}: {value} is not a mapping of parameters"
                raise PydanticCustomError("params", problem, {"name": str(name), "value": quoted(params)})
            return {"name": name, "params": params or {}}
        return value

    @model_serializer(mode="plain")
    def _as_written(self) -> dict[str, Any]:
        return {self.name: self.params}


class Cadence(Model):
    """How often a drill is due, and after what time its result is stale."""

    every: Literal["day", "week", "month", "quarter", "year"]
    stale_after: Duration | None = None


class Drill(Model):
    """The rehearsal of one recovery."""

    drill: Slug
    title: Text
    hypothesis: Text
    owner: str
    cadence: Cadence | None = None
    services: tuple[str, ...] = Field(min_length=1)
    incidents: tuple[str, ...] = ()
    load: Load
    objectives: tuple[Objective, ...] = Field(min_length=1)
    guards: tuple[Guard, ...] = ()
    faults: dict[Slug, FaultSpec] = Field(min_length=1)
    phases: tuple[Phase, ...] = Field(min_length=1)


class Region(Model):
    """A region and its zones."""

    zones: tuple[str, ...]
    role: str | None = None


class ServiceSpec(Model):
    """A service of an environment: what it needs, what it must reach, and where it runs."""

    depends_on: tuple[str, ...] = ()
    objectives: dict[str, Any] = Field(default_factory=dict)
    on: dict[str, Any] = Field(default_factory=dict)


class Approvals(Model):
    """How many people must approve a plan before it is run; `author_may`: its owner and who runs it count, too."""

    count: int = Field(ge=1, le=9, strict=True)
    author_may: bool = Field(default=False, strict=True)


class Policy(Model):
    """What may be done in an environment, how widely, when, and who must agree.

    `operations`: what a replay may send there beyond orders and requests, because it moves money. `max_zones`,
    `max_instances` and `max_share` (of each service's instances) limit what a plan touches, all its faults together.
    """

    faults: tuple[str, ...] = ("*",)
    operations: tuple[Literal["withdraw", "transfer"], ...] = ()
    max_zones: int | None = Field(default=None, ge=1, strict=True)
    max_instances: int | None = Field(default=None, ge=1, strict=True)
    max_share: Percent | None = None
    approvals: Approvals | None = None
    window: str | None = None


class KubernetesAccess(Model):
    """How the cluster of an environment is reached; `context` is the kubeconfig's current one where it is not said."""

    kubeconfig: str
    context: str | None = None
    namespace: str = "default"


class Environment(Model):
    """What may be drilled, how each part is reached, and under which policy."""

    environment: Slug
    kind: Literal["embedded", "staging", "production"]
    identity: dict[str, str] = Field(default_factory=dict)
    regions: dict[str, Region] = Field(default_factory=dict)
    services: dict[str, ServiceSpec] = Field(default_factory=dict)
    links: dict[str, dict[str, Any]] = Field(default_factory=dict)
    kubernetes: KubernetesAccess | None = None
    venue: dict[str, Any] = Field(default_factory=dict)
    telemetry: dict[str, Any] = Field(default_factory=dict)
    policy: Policy = Policy()


class MusterExtension(Model):
    """Our part of a Chaos Toolkit experiment, under `extensions` with the name muster."""

    name: Literal["muster"] = "muster"
    load: Load
    objectives: tuple[Objective, ...] = Field(min_length=1)
    guards: tuple[Guard, ...] = ()


class Experiment(BaseModel):
    """A Chaos Toolkit experiment: its own document untouched, and our extension typed.

    `name` is the stem of its file, `faults` the faults of its `inject` actions by `fault_id`, else by activity name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Slug
    title: Text
    description: str = ""
    document: dict[str, Any]
    load: Load
    objectives: tuple[Objective, ...]
    guards: tuple[Guard, ...] = ()
    faults: dict[str, FaultSpec]
