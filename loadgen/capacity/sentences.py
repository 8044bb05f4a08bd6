"""The result of a search in a few sentences, and its table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drills.words import sentence
from loadgen.capacity.answer import Answer, Headroom, Question
from loadgen.capacity.step import Outcome, Step

MUCH = 0.25
"""Cores; what other programs may use before it is worth a word."""

FITS = 0.8
"""R² below which a law is left to capacity.json."""


def sentences(trace: str, environment: str, question: Question, steps: Sequence[Step], answer: Answer) -> list[str]:
    """The result first, then what gave way, then the headroom, then what must be known to believe it."""
    said = [_result(trace, environment, question, answer)]
    if answer.gave_way is not None:
        said.append(f"what gave way first: {answer.gave_way.text}")
    if answer.knee is not None or answer.bound is not None:
        said.append(_headroom(answer))
    said += [*_scaling(answer), *_others(steps)]
    if steps and not any(step.usage.parts for step in steps):
        said.append(f"CPU and memory of the components of {environment} were not measured")
    return [sentence(text) for text in said]


def _result(trace: str, environment: str, question: Question, answer: Answer) -> str:
    knee, slo = answer.knee, question.slo
    where = f"{trace} on {environment}"
    if knee is not None:
        sure = f"{knee.confidence:.0%} interval {knee.low:,.0f} to {knee.high:,.0f}, {knee.steps} steps"
        return f"the knee of {where} is {knee.rate:,.0f} op/s ({sure.replace('%', ' %')}): so far {slo} holds"
    if answer.bound is None:
        return f"inconclusive: no knee of {where}: {answer.why}"
    least = f"{slo} holds for {where} at least up to {answer.bound:,.0f} op/s"
    return f"at least: {least}; {answer.why}" if answer.conclusive else f"inconclusive: {least}; {answer.why}"


def _headroom(answer: Answer) -> str:
    return f"at the recorded rate {'; '.join(_one(one) for one in answer.headroom)}"


def _one(one: Headroom) -> str:
    word = {True: "held", False: "not held", None: "open" if one.margin is None else "within the interval"}[one.holds]
    margin = "" if one.margin is None else f", knee/rate {one.margin:.2f}"
    outside = ", extrapolated" if one.extrapolated and one.holds is not None else ""
    return f"×{one.multiple} ({one.rate:,.0f} op/s) {word}{margin}{outside}"


def _scaling(answer: Answer) -> Iterator[str]:
    found = answer.scaling
    if found is None or found.peak is None or found.r2 < FITS:
        return
    text = f"by the Universal Scalability Law (R² {found.r2:.2f}, {found.n} steps) throughput "
    if found.peak_at is None:
        yield f"{text}nears {found.peak:,.0f} op/s and never falls (extrapolated)"
        return
    mark = " (extrapolated)" if found.extrapolated else ""
    yield f"{text}is highest at {found.peak:,.0f} op/s, with {found.peak_at:,.0f} operations in the venue at once{mark}"


def _others(steps: Sequence[Step]) -> Iterator[str]:
    most = max((step.usage.others or 0.0 for step in steps), default=0.0)
    if most > MUCH:
        cores = next(step.usage.cores for step in steps if step.usage.cores)
        yield (
            f"other programs used up to {most:.1f} of this machine's {cores} cores meanwhile; "
            "measure again on a quiet machine before you rely on these figures"
        )


def step_line(step: Step) -> str:
    """One step in a line, as it is told while the search goes on."""
    seen = step.seen
    figures = f"p99 {_ms(seen.quantiles_ms.get('p99'))}, good {seen.good:.2%}, lag p99 {_ms(seen.lag_p99_ms)}"
    word = {Outcome.HELD: "held", Outcome.BROKE: "broke", Outcome.LATE: "the generator gave out"}[step.outcome]
    why = f": {step.why}" if step.why else ""
    return f"step {step.number:>2}  {step.offered:>9,.0f} op/s  {figures.replace('%', ' %')}  {word}{why}"


def table(steps: Sequence[Step], names: Sequence[str]) -> list[str]:
    """All steps by rate; `names` are the components whose cores get a column."""
    head = ["offered/s", "answered/s", "good", "p50", "p99", "lag p99", *names, "load", "machine", "outcome"]
    rows = [head]
    for step in sorted(steps, key=lambda one: one.offered):
        seen, usage = step.seen, step.usage
        quantiles = [_ms(seen.quantiles_ms.get(name)) for name in ("p50", "p99")]
        cores = [_cores(usage.parts[name].cores if name in usage.parts else None) for name in names]
        rows.append([
            f"{seen.offered:,.0f}", f"{seen.answered:,.0f}", f"{seen.good:.2%}".replace("%", " %"), *quantiles,
            _ms(seen.lag_p99_ms), *cores, _cores(usage.load), _cores(usage.machine), step.outcome.value,
        ])  # fmt: skip
    widths = [max(len(row[n]) for row in rows) for n in range(len(head))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def _ms(value: float | None) -> str:
    if value is None:
        return "never"
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.1f} ms"


def _cores(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
