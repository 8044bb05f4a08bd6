"""What every transform shares: its model, and the trace on its way from step to step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from drills.errors import DefinitionError
from drills.model_base import Model
from drills.units import format_duration, quoted
from loadgen import trace as store
from loadgen.trace import Trace

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MAX_ROWS = 50_000_000
"""No transform makes a longer trace; a schedule ends there too."""


LONGEST_NS = 100 * 86_400 * 1_000_000_000
"""No transform makes a longer trace: so far, whole nanoseconds are exact as float64."""


def nanoseconds(seconds: float) -> int:
    """A duration of a definition (at most nine decimals) in whole nanoseconds."""
    return round(seconds * 1e9)


def shown(ns: int) -> str:
    """Nanoseconds for a message, such as 59.97s."""
    return format_duration(ns / 1e9)


def _amount(value: object) -> Decimal:
    # a YAML float has lost its digits before we see it
    if isinstance(value, str | int | Decimal) and not isinstance(value, bool):
        try:
            exact = Decimal(value)
        except ArithmeticError:
            exact = Decimal("NaN")
        if exact.is_finite() and 0 < exact < Decimal("1e18") and exact == exact.quantize(Decimal("1e-8")):
            return exact
    hint = f'write "{value}"' if isinstance(value, float) else 'write it in quotes, such as "61000.5"'
    problem = "{value} is not an exact amount above zero with at most 8 decimals; {hint}"
    raise PydanticCustomError("amount", problem, {"value": quoted(value), "hint": hint})


Amount = Annotated[
    Decimal,
    BeforeValidator(_amount),
    PlainSerializer(lambda value: f"{value:f}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+(\.[0-9]{1,8})?$", "examples": ["61000.5"]}),
]
"""Money, a price or a size: exact, above zero, a multiple of 1e-8; written as text."""

Seed = Annotated[int, Field(ge=0, le=2**63 - 1, strict=True)]
"""What a drawn choice hangs on: the same seed, the same choice."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The slice that a trace comes from: the trace before it, and the window of it in ns."""

    whole: Trace
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class State:
    """A trace between two transforms; `label` names the transform at work, `cut` the slice right before it."""

    trace: Trace
    label: str = "transform"
    cut: Cut | None = None

    def fail(self, message: str, hint: str | None = None) -> DefinitionError:
        """The error of a transform that does not fit this trace."""
        return DefinitionError(self.trace.name, f"{self.label}: {message}", hint=hint)

    def window(self, at: float, length: float) -> tuple[int, int]:
        """Start and end in ns of a window of this trace; raises DefinitionError where it is not within it."""
        start, end = nanoseconds(at), nanoseconds(at) + nanoseconds(length)
        if end > self.trace.duration_ns:
            raise self.fail(
                f"{shown(start)} to {shown(end)} is not within the trace", f"it ends at {shown(self.trace.duration_ns)}"
            )
        return start, end


class Transform(Model):
    """One step of a transformation; `key` is what it is called in YAML."""

    key: ClassVar[str]

    def made(self, state: State) -> State:
        """The state behind this step; raises DefinitionError where the step does not fit the trace."""
        raise NotImplementedError

    def said(self) -> Any:  # noqa: ANN401 - what YAML holds
        """The parameters as they stand in YAML, without those left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)

    def note(self, **counts: object) -> dict[str, Any]:
        """What the provenance says of this step: its parameters, and what it counted."""
        return {self.key: self.said(), **counts}


def with_facts(trace: Trace, **facts: object) -> Trace:
    """The trace with entries of its provenance replaced."""
    return store.of(trace.name, trace.table, trace.grid, {**trace.provenance, **facts}, trace.duration_ns)


def noted(trace: Trace, note: Mapping[str, Any]) -> list[dict[str, Any]]:
    """provenance["transformed"] with one more entry."""
    return [*trace.provenance.get("transformed", ()), dict(note)]


def moved_reconnects(trace: Trace, to: Callable[[int], int | None]) -> dict[str, object]:
    """The reconnects of a trace at their new times, ready for its provenance; None drops one."""
    found = trace.provenance.get("reconnects")
    if not found:
        return {}
    moved = [(to(entry["at_ns"]), entry["share"]) for entry in found]
    return {"reconnects": [{"at_ns": at, "share": share} for at, share in moved if at is not None]}
