"""junit.xml of a run: one case an objective, one for the injection, one for the clean-up.

failed = failure; inconclusive and aborted = error with the reason, so that neither can be taken for a pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from drills.evidence import RunDir, write_atomic
from drills.verdict import Cause, ObjectiveResult, Verdict, Word, read_verdict

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(run_dir: Path, verdict: Verdict | None = None) -> Path:
    """Write junit.xml of a run that was judged (of `verdict`, else of its verdict.json); returns its path."""
    path = RunDir(run_dir).junit
    write_atomic(path, render(verdict or read_verdict(RunDir(run_dir).verdict)))
    return path


def render(verdict: Verdict) -> bytes:
    """The XML of a verdict: one test suite named after the drill, in the order of the objectives."""
    cases = [_objective(verdict, objective) for objective in verdict.objectives]
    cases += [_outcome(verdict, "injection", verdict.outcomes.injection)]
    cases += [_outcome(verdict, "clean-up", verdict.outcomes.cleanup)]
    if _rest(verdict) or verdict.verdict == "aborted":
        cases.append(_run_case(verdict))
    failures = sum(case.find("failure") is not None for case in cases)
    errors = sum(case.find("error") is not None for case in cases)
    suite = ElementTree.Element(
        "testsuite",
        name=f"muster.{verdict.run.name}",
        tests=str(len(cases)),
        failures=str(failures),
        errors=str(errors),
        skipped="0",
        time=f"{verdict.run.seconds or 0:.3f}",
        timestamp=(verdict.run.started or "")[:19],
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _properties(verdict):
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    suite.extend(cases)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _properties(verdict: Verdict) -> Iterable[tuple[str, str]]:
    yield "run", verdict.run.id
    yield "verdict", verdict.verdict
    yield "sentence", " ".join(verdict.sentences)
    yield "plan", verdict.run.plan_hash
    yield "environment", verdict.run.environment
    for name, version in sorted(verdict.versions.items()):
        yield f"version.{name}", version


def _case(
    verdict: Verdict, name: str, word: Word, message: str, detail: str, seconds: float = 0.0
) -> ElementTree.Element:
    case = ElementTree.Element("testcase", name=name, classname=f"muster.{verdict.run.name}", time=f"{seconds:.3f}")
    if word != "passed":
        tag = "failure" if word == "failed" else "error"
        element = ElementTree.SubElement(case, tag, message=_clean(message), type=word)
        element.text = _clean(detail)
    return case


def _objective(verdict: Verdict, objective: ObjectiveResult) -> ElementTree.Element:
    message = f"{objective.shown}, limit {objective.limit_shown}"
    if objective.reason:
        message += f": {objective.reason}"
    seconds = objective.value if objective.unit == "s" and objective.value is not None else 0.0
    detail = "\n".join([*verdict.sentences, "", *verdict.reasons])
    return _case(verdict, objective.name, objective.result, message, detail, seconds)


def _outcome(verdict: Verdict, name: str, word: Word) -> ElementTree.Element:
    lines = _lines(cause for cause in verdict.causes if cause.outcome == name.replace("-", ""))
    return _case(verdict, name, word, lines[0] if lines else word, "\n".join(lines))


def _rest(verdict: Verdict) -> list[Cause]:
    """Causes that no objective shows: a run that was not conclusive although each of its objectives was."""
    told = {objective.reason for objective in verdict.objectives}
    return [c for c in verdict.causes if c.outcome in ("system", "run") and c.text not in told and c.result != "passed"]


def _run_case(verdict: Verdict) -> ElementTree.Element:
    rest = _rest(verdict)
    lines = _lines(rest)
    word: Word = rest[0].result if rest else "aborted"
    return _case(verdict, "run", word, lines[0] if lines else word, "\n".join(lines))


def _lines(causes: Iterable[Cause]) -> list[str]:
    return [cause.line() for cause in causes]


def _clean(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
