"""The report of a run: one self-contained HTML page, no network, printable."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from drills.evidence import write_atomic
from drills.words import duration_text, percent_text, seconds_text
from reports.data import ReportData, load
from reports.sections import facts, faults, findings, log, objectives, rpo, time_spent, timeline, verdict

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Section:
    """A part of the page: its heading (None for the opening), its context, and the template of the same name."""

    name: str
    title: str | None
    context: Callable[[ReportData], dict[str, Any]]


SECTIONS = (
    Section("verdict", None, verdict.context),
    Section("timeline", "What clients saw", timeline.context),
    Section("time_spent", "Where the time went", time_spent.context),
    Section("objectives", "Objectives", objectives.context),
    Section("rpo", "What was lost", rpo.context),
    Section("findings", "Weaknesses", findings.context),
    Section("faults", "Faults and clean-up", faults.context),
    Section("facts", "The run", facts.context),
    Section("log", "Event log", log.context),
)
"""Every section in the order of the page; an empty context leaves one out."""


def build(run_dir: Path) -> Path:
    """Write report.html of a judged run and return its path; DefinitionError without a readable plan or verdict."""
    data = load(run_dir)
    write_atomic(data.run.report, render(data).encode())
    return data.run.report


def render(data: ReportData) -> str:
    """The page as text."""
    environment = jinja()
    parts = []
    for section in SECTIONS:
        context = section.context(data)
        if context:
            body = environment.get_template(f"{section.name}.html.j2").render(**context)
            parts.append({"name": section.name, "title": section.title, "body": Markup(body)})
    run = data.verdict.run
    page = environment.get_template("page.html.j2")
    return page.render(parts=parts, title=f"{run.name} · {data.verdict.verdict}", run=run, verdict=data.verdict)


def jinja() -> Environment:
    """Templates that escape everything and refuse an unknown name."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "seconds": seconds_text,
        "duration": duration_text,
        "percent": percent_text,
        "count": lambda value: "–" if value is None else f"{value:,}",
        "glue": glue,
        "dash": lambda value: "–" if value in (None, "") else value,
    }
    environment.globals["shape"] = SHAPES
    return environment


def glue(text: str) -> str:
    """A number stays on the line of its unit and of its ±."""
    text = re.sub(r"(?<=[0-9]) (?=(s|ms|m|h)\b|%)", "\u00a0", text)
    return re.sub(r"(?<=[±≤≥×]) (?=[0-9×])", "\u00a0", text)


SHAPES = {"passed": "✓", "failed": "✕", "inconclusive": "?", "aborted": "■"}
"""The shape of each word, so that no state is told by colour alone."""
