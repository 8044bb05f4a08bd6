"""The phases of a drill, and the SOP that some of them follow."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from drills.model_base import Model, Slug, Text
from drills.units import Duration, quoted

PhaseKind = Literal["baseline", "inject", "detect", "decide", "recover", "verify", "restore", "failback"]
PHASE_KINDS: tuple[PhaseKind, ...] = (
    "baseline",
    "inject",
    "detect",
    "decide",
    "recover",
    "verify",
    "restore",
    "failback",
)
AbortAction = Literal["heal", "fence-and-complete", "hold"]


class Baseline(Model):
    """Load without a fault, for `for` seconds; it must be steady."""

    for_: Duration = Field(alias="for")


class Inject(Model):
    """One fault, or several in the same instant."""

    fault: str | None = None
    faults: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The fault ids, in order."""
        return (self.fault,) if self.fault is not None else self.faults

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.fault is None) == (not self.faults):
            raise PydanticCustomError("one_of", "give either fault or faults")
        return self


class Detect(Model):
    """Wait until a probe or an alert sees the fault; a miss fails its objective and the drill goes on."""

    probe: str | None = None
    alert: str | None = None
    within: Duration

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.probe is None) == (self.alert is None):
            raise PydanticCustomError("one_of", "give either probe or alert")
        return self


class Decide(Model):
    """Ask a person; no answer within the time aborts."""

    ask: Text
    by: str
    within: Duration


class Recover(Model):
    """Follow an SOP, or wait until there is a leader or sustained good service."""

    sop: str | None = None
    until: Literal["leader", "sustained"] | None = None
    within: Duration = 60.0

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.sop is None) == (self.until is None):
            raise PydanticCustomError("one_of", "give either sop or until")
        return self


class Verify(Model):
    """Load goes on for `for` seconds while every probe watches."""

    for_: Duration = Field(alias="for")


def _ids_or_all(value: object) -> object:
    if value == "all" or (isinstance(value, list | tuple) and value and all(isinstance(v, str) for v in value)):
        return value
    raise PydanticCustomError("ids", "{value} is not a list of fault ids, nor all", {"value": quoted(value)})


FaultIds = Annotated[
    tuple[str, ...] | Literal["all"],
    BeforeValidator(_ids_or_all),
    WithJsonSchema({"anyOf": [{"const": "all"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


class Restore(Model):
    """Undo faults (all still in effect, unless named), then wait for redundancy unless `until: none`."""

    undo: FaultIds = "all"
    until: Literal["redundancy", "none"] = "redundancy"
    within: Duration = 60.0


class Failback(Model):
    """Follow the SOP that moves service back."""

    sop: str


PhaseParams = Baseline | Inject | Detect | Decide | Recover | Verify | Restore | Failback


class Phase(Model):
    """One phase: exactly one of the kinds as its key, and what to do when the run aborts in it.

    >>> Phase.model_validate({"inject": {"fault": "engine-dies"}}).kind
    'inject'
    """

    baseline: Baseline | None = None
    inject: Inject | None = None
    detect: Detect | None = None
    decide: Decide | None = None
    recover: Recover | None = None
    verify: Verify | None = None
    restore: Restore | None = None
    failback: Failback | None = None
    abort: AbortAction | None = None

    @property
    def kind(self) -> PhaseKind:
        """Which phase this is."""
        return next(kind for kind in PHASE_KINDS if getattr(self, kind) is not None)

    @property
    def params(self) -> PhaseParams:
        """The parameters of its kind."""
        params: PhaseParams = getattr(self, self.kind)
        return params

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [kind for kind in PHASE_KINDS if getattr(self, kind) is not None]
        empty = next((kind for kind in PHASE_KINDS if kind in self.model_fields_set and kind not in given), None)
        if empty and not given:
            raise PydanticCustomError("phase", "{kind} is empty; write {kind}: {…}", {"kind": empty})
        if len(given) != 1:
            problem = (
                "is two phases, {given}; write each as an item of its own" if given else "names no phase; one of {all}"
            )
            raise PydanticCustomError("phase", problem, {"given": " and ".join(given), "all": ", ".join(PHASE_KINDS)})
        return self

    @model_serializer(mode="wrap")
    def _only_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class Step(Model):
    """One step of an SOP: something done, or something a person does."""

    id: Slug
    do: dict[str, dict[str, Any]] | None = None
    human: Text | None = None
    by: str | None = None
    expect: Duration
    evidence: str | None = None
    point_of_no_return: bool = False
    parallel: bool = False

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.do is None) == (self.human is None):
            raise PydanticCustomError("one_of", "give either do or human")
        if self.do is not None and len(self.do) != 1:
            raise PydanticCustomError("one_of", "do names {n} actions; name one", {"n": len(self.do)})
        return self


class Sop(Model):
    """A recovery procedure: its steps in order."""

    sop: Slug
    title: Text
    owner: str
    steps: tuple[Step, ...] = Field(min_length=1)
