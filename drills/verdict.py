"""The verdict of a run: the public, versioned interface `verdict.json`, and how the worst word wins.

Times are seconds from T0 unless the name says otherwise; what is absent is null, and `absent` says why by its path
(`rto.value_s`, `marks.T8`), never 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drills.errors import DefinitionError, ExitCode, worst
from drills.evidence import write_atomic

SCHEMA_VERSION = 1
Word = Literal["passed", "inconclusive", "failed", "aborted"]
Severity = Literal["critical", "high", "medium", "low"]

_ORDER: tuple[Word, ...] = ("failed", "aborted", "inconclusive", "passed")
_EXIT: dict[Word, ExitCode] = {
    "passed": ExitCode.PROVEN,
    "inconclusive": ExitCode.INCONCLUSIVE,
    "failed": ExitCode.FAILED,
    "aborted": ExitCode.ABORTED,
}


class Part(BaseModel):
    """A part of the verdict: frozen, and no key that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class Outcomes(Part):
    """Three answers apart: did the system meet its objectives, did the fault take effect, is every trace of it gone."""

    system: Word
    injection: Word
    cleanup: Word


class Cause(Part):
    """Why an outcome is not `passed`; `remedy` says what would make an inconclusive one conclusive, or what to do."""

    code: str
    outcome: Literal["system", "injection", "cleanup", "run"]
    result: Word
    text: str
    remedy: str | None = None

    def line(self) -> str:
        """Both in one line."""
        return f"{self.text}; {self.remedy}" if self.remedy else self.text


class ObjectiveResult(Part):
    """One objective: its limit, what was measured, and the result; `shown` and `limit_shown` are for people."""

    name: str
    kind: Literal["rto", "rpo", "invariant", "slo", "mttd", "mttr"]
    flow: str | None = None
    limit: float | None
    value: float | None
    error: float | None
    unit: str
    result: Word
    shown: str
    limit_shown: str
    reason: str | None = None


class FlowResult(Part):
    """Recovery of one flow; availabilities are shares of its scheduled operations that were good."""

    value_s: float | None
    error_s: float | None
    first_good_s: float | None
    downtime_s: float | None
    no_data_s: float | None
    good_share: float | None
    availability_in_outage: float | None


class Rto(Part):
    """Recovery of all critical flows together; `value_s` = `sustained_s` = T5, null when never reached (+∞)."""

    value_s: float | None
    error_s: float | None
    first_good_s: float | None
    sustained_s: float | None
    flaps: int | None = None
    cancel_availability: float | None = None
    observed_s: float | None = None
    sustain_s: float
    theta: float
    critical_flows: tuple[str, ...] = ()
    flows: dict[str, FlowResult] = {}


class RpoResult(Part):
    """What was lost or made up, in operations, notional and seconds; bound and power belong to a zero."""

    lost: int | None
    lost_observed: int | None
    duplicated: int | None
    phantom: int | None
    executed_reject: int | None
    reordered: int | None
    zombie: int | None
    unresolved: int | None
    foreign: int | None
    lost_notional: float | None
    lost_window_s: float | None
    bound_s: float | None
    power: float | None
    lost_notional_exact: str | None = None
    window_s: float | None = None
    rate: float | None = None
    acknowledged: int | None = None
    examples: dict[str, tuple[str, ...]] = {}


class Finding(Part):
    """A weakness that the evidence shows."""

    id: str
    class_: str = Field(alias="class")
    component: str
    severity: Severity
    evidence: str
    owner: str


class LoadResult(Part):
    """The traffic: scheduled, offered (sent), answered, in operations; whether the generator kept its promise."""

    scheduled: int | None
    offered: int | None
    answered: int | None
    rate: float | None = None
    lag_p99_ms: float | None
    valid: bool | None
    reason: str | None = None


class RunFacts(Part):
    """What was run, where, and when; `t0_wall` is the wall time of T0."""

    id: str
    name: str
    kind: Literal["drill", "experiment"]
    title: str
    owner: str
    environment: str
    plan_hash: str
    started: str | None = None
    t0_wall: str | None = None
    t0_ns: int | None = None
    seconds: float | None = None
    trace: str | None = None
    speed: float = 1.0
    amplify: int = 1
    outage: str = ""
    fault: str = ""


class Verdict(Part):
    """verdict.json, schema version 1."""

    schema_version: Literal[1] = 1
    verdict: Word
    exit_code: int
    sentences: tuple[str, ...]
    reasons: tuple[str, ...]
    causes: tuple[Cause, ...]
    outcomes: Outcomes
    objectives: tuple[ObjectiveResult, ...]
    rto: Rto
    rpo: RpoResult
    marks: dict[str, float | None]
    mark_sources: dict[str, str] = {}
    durations: dict[str, float | None] = {}
    findings: tuple[Finding, ...]
    load: LoadResult
    versions: dict[str, str]
    run: RunFacts
    absent: dict[str, str]


def worst_word(words: Iterable[Word]) -> Word:
    """The word that wins: failed > aborted > inconclusive > passed; passed for none."""
    given = set(words)
    return next((word for word in _ORDER if word in given), "passed")


def exit_code(verdict: Word, *, undo_incomplete: bool = False, interrupted: bool = False) -> ExitCode:
    """What the shell sees: 6 when something is left behind, 130 when a person interrupted, else that of the word."""
    codes = [_EXIT[verdict]]
    if undo_incomplete:
        codes.append(ExitCode.UNDO_INCOMPLETE)
    if interrupted:
        codes.append(ExitCode.INTERRUPTED)
    return worst(codes)


def to_json(verdict: Verdict) -> bytes:
    """The bytes of verdict.json, keys in the order of the model."""
    return orjson.dumps(verdict.model_dump(mode="json"), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def write_verdict(verdict: Verdict, path: Path) -> None:
    """Write verdict.json whole or not at all."""
    write_atomic(path, to_json(verdict))


def read_verdict(path: Path) -> Verdict:
    """Read verdict.json; raises DefinitionError that names the file and the first field that is wrong."""
    try:
        return Verdict.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DefinitionError(str(path), f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise DefinitionError(str(path), f"{where}: {first['msg'].lower()}") from error


def json_schema() -> dict[str, Any]:
    """The JSON Schema of verdict.json, as published in docs/reference/verdict.schema.json."""
    schema = Verdict.model_json_schema(mode="serialization", by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def differences(stored: Verdict, computed: Verdict) -> list[str]:
    """What differs between two verdicts of one run, one line each, `path: stored -> computed`."""
    return list(_differ("", stored.model_dump(mode="json"), computed.model_dump(mode="json")))


def _differ(path: str, old: object, new: object) -> Iterable[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            yield from _differ(f"{path}.{key}" if path else str(key), old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for n, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differ(f"{path}[{n}]", one, other)
    elif old != new:
        yield f"{path}: {_short(old)} -> {_short(new)}"


def _short(value: object) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 80 else text[:79] + "…"
