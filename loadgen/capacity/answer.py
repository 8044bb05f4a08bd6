"""What the steps of a search add up to: a knee, a bound, or why there is neither; what gave way first; the headroom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.capacity import knee as knees
from loadgen.capacity.knee import Knee
from loadgen.capacity.laws import SINGLE, Demand, Scaling, demands, scaling
from loadgen.capacity.slo import Slo
from loadgen.capacity.step import Outcome, Step
from loadgen.capacity.usage import Part, Usage

MULTIPLES = (1, 10, 20)
FULL = 0.9
"""Share of what a component, or the machine, can use from which on it counts as used up."""


@dataclass(frozen=True, slots=True)
class GaveWay:
    """What gave way first: `machine`, `component`, `latency` (nothing was used up) or `unknown`; with evidence."""

    what: str
    name: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Headroom:
    """The recorded rate times `multiple`: whether it holds (None: within the interval), and knee over rate.

    `extrapolated`: no step was made so far out.
    """

    multiple: int
    rate: float
    holds: bool | None
    margin: float | None
    extrapolated: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer. `kind`: knee, at-least, below, generator, budget, interrupted, failed, nothing.

    `bound` is the highest rate that held (None: none did); `late_at` the lowest at which the generator gave out twice.
    """

    kind: str
    why: str
    knee: Knee | None
    bound: float | None
    late_at: float | None
    gave_way: GaveWay | None
    demands: tuple[Demand, ...]
    scaling: Scaling | None
    headroom: tuple[Headroom, ...]

    @property
    def conclusive(self) -> bool:
        """Whether what was asked is answered: the knee, or that it lies beyond the highest rate asked for."""
        return self.kind in ("knee", "at-least")


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked: the objective, the recorded rate of the trace, the highest rate, workers of the generator."""

    slo: Slo
    recorded: float
    top: float
    workers: int = 1


def conclude(question: Question, steps: Sequence[Step], ended: str) -> Answer:
    """The answer that the steps give; `ended` says how the search did (see `drive.Walk`, or `failed: why`)."""
    knee = knees.find(steps)
    held = [step for step in steps if step.outcome is Outcome.HELD]
    bound = max((step.offered for step in held), default=None)
    late = [step.target for step in steps if step.outcome is Outcome.LATE]
    late_at = min((rate for rate in late if late.count(rate) > 1), default=None)
    kind, why = _kind(question, steps, ended, knee, bound, late_at)
    found = tuple(demands(steps))
    return Answer(
        kind=kind,
        why=why,
        knee=knee,
        bound=bound,
        late_at=late_at,
        gave_way=gave_way(steps, found, knee.rate) if knee else None,
        demands=found,
        scaling=scaling(steps),
        headroom=tuple(_headroom(question.recorded, multiple, steps, knee) for multiple in MULTIPLES),
    )


def _kind(
    question: Question,
    steps: Sequence[Step],
    ended: str,
    knee: Knee | None,
    bound: float | None,
    late_at: float | None,
) -> tuple[str, str]:
    outcomes = {step.outcome for step in steps}
    if knee is not None:
        return "knee", ""
    if not steps:
        return "nothing", "no step was finished"
    if ended not in ("searched", "budget"):
        return ended.partition(":")[0], ended.partition(": ")[2] or "it was interrupted"
    if bound is None and Outcome.BROKE in outcomes:
        first = min(step.offered for step in steps if step.outcome is Outcome.BROKE)
        return "below", f"it broke at the first step, {first:,.0f} op/s; go on with a lower --from"
    top = max((step.target for step in steps if step.outcome is Outcome.HELD), default=0.0)
    if top >= question.top:
        return "at-least", f"it was never broken up to --to {question.top:,.0f} op/s"
    if late_at is not None and late_at > top:
        more = f"--workers {max(2, question.workers * 2)} on a machine with more cores, or a host of its own"
        return "generator", f"the generator gave out first, at {late_at:,.0f} op/s; go on with {more}"
    if ended == "budget":
        what = "the steps enclosed a knee" if Outcome.BROKE in outcomes else "it broke"
        return "budget", f"the budget was used up before {what}; go on with a longer --budget or a higher --from"
    return "unclear", "the steps contradict each other; go on with a longer --step-for and a higher --repeat"


def gave_way(steps: Sequence[Step], found: Sequence[Demand], knee: float = 0.0) -> GaveWay:
    """What gave way first: what was used up, if anything was, at the lowest rate from the knee on that broke.

    A step that broke below the knee broke by chance. Where none broke from there on, the highest that did is looked at.
    """
    broke = sorted((step for step in steps if step.outcome is Outcome.BROKE), key=lambda step: step.offered)
    first = next((step for step in broke if step.offered >= knee), broke[-1])
    usage, at = first.usage, f"at {first.offered:,.0f} op/s"
    cost = {one.name: one for one in found}
    machine = _machine(usage)
    full, name = max(
        ((part.cores / _ceiling(part, usage), name) for name, part in usage.parts.items()), default=(0, "")
    )
    if full >= FULL:
        said = f"{name}, which used {usage.parts[name].cores:.2f} cores {at}{_costs(cost.get(name))}"
        return GaveWay("component", name, said + (f"; of the machine {machine}" if machine else ""))
    if machine:
        together = sum(part.cores for part in usage.parts.values())
        said = f"the machine, which the load and the venue share: {machine} {at}"
        said += f"; the venue's components used {together:.2f} together" if usage.parts else ""
        if usage.parts and first.seen.answered:
            said += f", {together / first.seen.answered * 1e3:.3f} ms of CPU an operation"
        return GaveWay("machine", None, said)
    if not usage.parts:
        return GaveWay("unknown", None, f"latency, {at}; CPU and memory of this environment's components not measured")
    said = f"latency, with no component saturated: {first.why} {at}"
    nearest = next((one for one in found if one.saturates_at), None)
    if nearest is not None and nearest.saturates_at is not None:
        said += f"; {nearest.name} would be the first to use up its {_cores(nearest.ceiling)}, "
        said += f"at {nearest.saturates_at:,.0f} op/s (extrapolated)"
    return GaveWay("latency", None, said)


def _machine(usage: Usage) -> str:
    """That the machine was used up, in words; empty where it was not, or nobody knows."""
    if usage.machine is None or not usage.cores or usage.machine < FULL * usage.cores:
        return ""
    said = f"{usage.machine:.2f} of its {usage.cores} cores were busy"
    shares = {"the load": usage.load, "other programs": usage.others}
    parts = [f"{value:.2f} with {name}" for name, value in shares.items() if value is not None]
    return said + (f" ({', '.join(parts)})" if parts else "")


def _ceiling(part: Part, usage: Usage) -> float:
    return 1.0 if part.busiest_thread >= SINGLE * part.cores else float(max(1, usage.cores))


def _costs(one: Demand | None) -> str:
    if one is None or one.saturates_at is None:
        return ""
    uses = f"which uses up {_cores(one.ceiling)} at {one.saturates_at:,.0f} op/s"
    return f"; an operation costs it {one.cpu_ms:.3f} ms of CPU, {uses}"


def _cores(count: float) -> str:
    return f"{count:g} core{'s' if count > 1 else ''}"


def _headroom(recorded: float, multiple: int, steps: Sequence[Step], knee: Knee | None) -> Headroom:
    rate = recorded * multiple
    told = [step for step in steps if step.outcome is not Outcome.LATE]
    highest = max((step.offered for step in told), default=0.0)
    margin = knee.rate / rate if knee else None
    if knee is not None:
        holds = True if rate <= knee.low else False if rate > knee.high else None
        return Headroom(multiple, rate, holds, margin, rate > highest)
    if any(step.outcome is Outcome.HELD and step.target >= rate for step in told):
        return Headroom(multiple, rate, True, None, False)
    broke = min((step.offered for step in told if step.outcome is Outcome.BROKE), default=None)
    return Headroom(multiple, rate, False if broke is not None and rate >= broke else None, None, rate > highest)
