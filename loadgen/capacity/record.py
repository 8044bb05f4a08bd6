"""capacity.json: everything that a search found, in a documented shape with a version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from drills.evidence import write_atomic
from loadgen.capacity.answer import Answer, Question
from loadgen.capacity.laws import Scaling
from loadgen.capacity.sentences import sentences
from loadgen.capacity.slo import OFFERED
from loadgen.capacity.step import Step

FILE, FIGURE = "capacity.json", "capacity.svg"
VERSION = 1

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class About:
    """What was asked of what: the trace and where it was played, and how a step is made."""

    id: str
    trace: str
    sha256: str
    environment: str
    venue_type: str
    by: str
    start: float
    warm_up_s: float
    step_s: float
    repeat: int
    budget_s: float
    limits_ms: dict[str, int]
    services: dict[str, str]  # of the components that are measured, by name

    @property
    def where(self) -> str:
        """The environment, and how it is spoken to where its name does not say so."""
        return self.environment + ("" if self.venue_type == self.environment else f" ({self.venue_type})")


def document(about: About, question: Question, steps: Sequence[Step], answer: Answer, ended: str | None) -> Data:
    """The JSON of a search; `ended` says how (see `drive.Walk`), None: it goes on."""
    return {
        "schema_version": VERSION,
        "id": about.id,
        "ended": ended,
        **_asked(about, question),
        "answer": {
            "kind": answer.kind,
            "conclusive": answer.conclusive,
            "why": answer.why,
            "highest_held": answer.bound,
            "generator_gave_out_at": answer.late_at,
            "sentences": sentences(about.trace, about.where, question, steps, answer),
        },
        "knee": asdict(answer.knee) if answer.knee else None,
        "gave_way": asdict(answer.gave_way) if answer.gave_way else None,
        "components": [{"service": about.services.get(one.name), **asdict(one)} for one in answer.demands],
        "scaling": _scaling(answer.scaling),
        "headroom": [asdict(one) for one in answer.headroom],
        "steps": [step.data() for step in steps],
    }


def _asked(about: About, question: Question) -> Data:
    slo = question.slo
    return {
        "trace": {"name": about.trace, "sha256": about.sha256, "rate": question.recorded},
        "environment": about.environment,
        "venue_type": about.venue_type,
        "slo": {
            "text": str(slo),
            "latency_ms": dict(slo.latency_ms),
            "good": slo.good,
            "limits_ms": about.limits_ms,
            "lag_gate_ms": slo.gate_ms,
            "offered_gate": OFFERED,
        },
        "search": {
            "by": about.by,
            "from": about.start,
            "to": question.top,
            "warm_up_s": about.warm_up_s,
            "step_s": about.step_s,
            "repeat": about.repeat,
            "budget_s": about.budget_s,
            "workers": question.workers,
        },
    }


def save(folder: Path, data: Data) -> Path:
    """Write capacity.json into a folder; returns its path."""
    path = folder / FILE
    write_atomic(path, orjson.dumps(data, option=orjson.OPT_INDENT_2))
    return path


def _scaling(found: Scaling | None) -> Data | None:
    return None if found is None else {**asdict(found), "extrapolated": found.extrapolated}
