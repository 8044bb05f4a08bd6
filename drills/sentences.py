"""What people read first: one or two sentences with figures, errors and bounds, and the block below them."""

from __future__ import annotations

import re
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from drills.conclusive import Gate
from drills.facts import Facts, critical_flows
from drills.model import RtoObjective
from drills.plan import Plan, PlannedFault
from drills.timeline import t0_faults
from drills.verdict import ObjectiveResult, RpoResult, Rto, Verdict, Word
from drills.words import duration_text, percent_text, sentence

WIDTH = 118


def fault_phrase(plan: Plan) -> str:
    """What happened, as the end of "after …": `the primary matching engine died`."""
    ids = t0_faults(plan)
    faults = [fault for fault in plan.faults if fault.id in ids] or list(plan.faults[:1])
    return " and ".join(dict.fromkeys(_phrase(fault) for fault in faults)) or "the fault"


PHRASES = {
    "process.restart-storm": "{subject} crashed again and again",
    "host.cpu-starve": "{subject} was starved of CPU",
    "host.memory-stress": "memory ran short",
    "host.fd-exhaustion": "{subject} could open no more files",
    "disk.full": "the disk of {subject} was full",
    "disk.slow-fsync": "the disk of {subject} was slow",
    "clock.skew": "the clock of {subject} was wrong",
    "process.kill": "{subject} died",
    "process.pause": "{subject} froze",
    "network.latency": "link {link} was slowed by {ms} ms",
    "network.cut": "link {link} was cut",
    "network.bandwidth": "link {link} was limited to {kbps} kbit/s",
    "network.slicer": "link {link} delivered in pieces of {bytes} bytes",
    "network.timeout": "link {link} swallowed what was sent",
    "network.reset": "connections of link {link} were reset",
    "network.slow-close": "connections of link {link} closed late",
    "network.partition": "the network was partitioned ({subject})",
    "network.flap": "link {link} flapped",
    "cloud.instance-stop": "instance {subject} was stopped",
    "cloud.zone-isolate": "zone {subject} was cut off",
    "cloud.target-deregister": "the targets of {zone} left {group}",
    "cloud.record-switch": "{subject} was pointed elsewhere",
    "pod.kill": "the pod of {subject} was killed",
    "pod.delete": "the pod of {subject} left",
    "pod.evict": "the pod of {subject} left",
    "node.off": "node {subject} lost its power",
    "node.cordon": "node {subject} was cordoned",
    "node.drain": "node {subject} was drained",
    "node.taint": "node {subject} was tainted",
    "workload.scale": "{subject} was scaled to {replicas}",
    "workload.rollout-restart": "{subject} was restarted",
    "workload.break": "{subject} got a bad release",
    "dns.fail": "{names} could not be resolved",
    "dns.stale": "the answers for {names} went stale",
    "tls.expire": "the certificate of {subject} expired",
    "zone.loss": "zone {zone} was lost",
    "region.loss": "region {region} was lost",
}
"""What a fault did, with its parameters, its `subject` and its `link`; any other fault hit its targets."""


def _phrase(fault: PlannedFault) -> str:
    subjects = list(dict.fromkeys(_subject(fault, n) for n in range(len(fault.targets))))
    subject = " and ".join(subjects[:3]) + (" and others" if len(subjects) > 3 else "") or fault.id
    if fault.fault not in PHRASES:
        return f"{fault.fault} hit {subject}"
    words = {name: f"{value:g}" if isinstance(value, float) else value for name, value in fault.params.items()}
    words |= {"subject": subject, "link": _link(fault), "names": _names(fault)}
    return PHRASES[fault.fault].format_map(defaultdict(lambda: "?", words))


def _subject(fault: PlannedFault, n: int) -> str:
    target = fault.targets[n]
    if target.role and target.service:
        return f"the {target.role} {target.service.replace('-', ' ')}"
    return target.name


def _link(fault: PlannedFault) -> str:
    return str(fault.params.get("link") or ", ".join(target.name for target in fault.targets))


def _names(fault: PlannedFault) -> str:
    return str(fault.params.get("name") or "every name")


def make_sentences(
    facts: Facts, word: Word, rto: Rto, rpo: RpoResult, objectives: Sequence[ObjectiveResult], gates: Sequence[Gate]
) -> tuple[str, ...]:
    """One to four sentences that tell the verdict with its figures."""
    timing, counting = _timing(facts, rto), _counting(facts, rpo)
    blocking = [gate for gate in gates if gate.cause.result == "inconclusive"]
    if word == "aborted":
        # that trading was not back yet says nothing of a run that was cut short
        back = [timing] if rto.value_s is not None else []
        return (_aborted(facts), *([*back, counting] if facts.window else []))
    if word == "inconclusive" and blocking:
        timing = _timing(facts, rto, with_limits=False)
        return _unproven(blocking[0], timing, counting)
    if word == "inconclusive":
        why = next((f"{o.name}: {o.reason}" for o in objectives if o.result == "inconclusive"), "")
        return tuple(filter(None, (timing, counting, why and f"Not proven: {why}.")))
    broken = [_missed(o) for o in objectives if o.result == "failed" and o.kind != "rpo"]
    extra = [f"Failed: {'; '.join(broken)}."] if broken else []
    left = [sentence(gate.cause.line()) for gate in gates if gate.cause.result == "failed"]
    first, second = timing, counting
    if word == "failed" and any(o.kind == "rpo" and o.result == "failed" for o in objectives):
        first, second = counting, timing  # the worst comes first
    return (first, second, *extra, *left)


def _missed(o: ObjectiveResult) -> str:
    text = f"{o.name} {o.shown}"
    return text if o.kind == "invariant" else f"{text} ({o.limit_shown})"


def _timing(facts: Facts, rto: Rto, *, with_limits: bool = True) -> str:
    what = fault_phrase(facts.plan)
    if facts.window is None:
        return "No fault was injected, so nothing was rehearsed."
    flows = [rto.flows[flow] for flow in rto.critical_flows or rto.flows if flow in rto.flows]
    shares = [flow.good_share for flow in flows if flow.good_share is not None]
    if shares and len(shares) == len(flows) and min(shares) >= facts.rules.theta and rto.value_s is not None:
        least = f"at least {percent_text(min(shares))} of every flow"
        return f"Trading stayed good after {what}: {least}, over {rto.observed_s:.1f} s."
    limits = _limits(facts.plan) if with_limits else ""
    if rto.value_s is None:
        seen = f"{rto.observed_s:.1f} s" if rto.observed_s is not None else "time"
        first = (
            f", though a first good answer came after {rto.first_good_s:.2f} s" if rto.first_good_s is not None else ""
        )
        return f"Trading was not back within the {seen} observed after {what}{first}{f' ({limits})' if limits else ''}."
    error = max(rto.error_s or 0.0, 0.005)
    return f"Trading was back {rto.value_s:.2f} s after {what} (± {error:.2f} s{f', {limits}' if limits else ''})."


def _limits(plan: Plan) -> str:
    limits = {o.flow: duration_text(o.rto) for o in plan.objectives if isinstance(o, RtoObjective)}
    if not limits:
        return ""
    if len(set(limits.values())) == 1:
        return f"limit {next(iter(limits.values()))}"
    return "limits: " + ", ".join(f"{flow} {limit}" for flow, limit in limits.items())


def _counting(facts: Facts, rpo: RpoResult) -> str:
    if rpo.lost is None:
        return (
            f"Whether operations were lost is not known: {facts.rpo.reasons.get('lost') if facts.rpo else 'no audit'}."
        )
    total = f"Of {rpo.acknowledged or 0:,} acknowledged operations"
    others = _others(rpo)
    if rpo.lost == 0 and not others:
        end = ""
        if rpo.bound_s is not None:
            end = f"; a loss window over {rpo.bound_s * 1000:.1f} ms would have shown (95 %)"
        return f"{total} none was lost and none executed twice{end}."
    parts = [_loss(rpo)] if rpo.lost else ["none was lost"]
    return f"{total} {'; '.join([*parts, *others])}."


def _loss(rpo: RpoResult) -> str:
    verb = "was" if rpo.lost == 1 else "were"
    text = f"{rpo.lost:,} {verb} lost"
    if rpo.lost_notional_exact is not None:
        notional = f"{Decimal(rpo.lost_notional_exact):,f}"
        notional = notional.rstrip("0").rstrip(".") if "." in notional else notional
        text += f" (notional {notional})"
    if rpo.lost_window_s is not None and rpo.lost_window_s >= 0:
        text += f", the oldest acknowledged {rpo.lost_window_s * 1000:,.0f} ms before the fault was in effect"
    if rpo.zombie:
        text += "; all" if rpo.zombie == rpo.lost else f"; {rpo.zombie:,} of them"
        text += " acknowledged by a primary already replaced"
    return text


def _others(rpo: RpoResult) -> list[str]:
    words = (
        (rpo.duplicated, "executed once too often"),
        (rpo.phantom, "executed that nobody had sent"),
        (rpo.executed_reject, "rejected and executed all the same"),
        (rpo.reordered, "out of order"),
    )
    return [f"{count:,} {'was' if count == 1 else 'were'} {text}" for count, text in words if count]


def _aborted(facts: Facts) -> str:
    assert facts.line.stop is not None
    t_ns, by, reason = facts.line.stop
    when = f" {(t_ns - facts.window[0]) / 1e9:.1f} s after {fault_phrase(facts.plan)}" if facts.window else ""
    tail = f" ({reason})" if reason else ""
    return f"The run was stopped by {by}{when}{tail}; what was measured until then follows."


def _unproven(gate: Gate, timing: str, counting: str) -> tuple[str, ...]:
    cause = gate.cause
    remedy = sentence(cause.remedy or "")
    if gate.timing and gate.counting:
        return tuple(filter(None, (f"Nothing is proven: {cause.text}.", remedy)))
    if gate.counting:
        first = f"{timing.rstrip('.')}, but whether operations were lost is not proven: {cause.text}."
        return tuple(filter(None, (first, remedy)))
    if gate.timing:
        return tuple(
            filter(None, (f"{timing.rstrip('.')}, but that time is not proven: {cause.text}.", remedy, counting))
        )
    return tuple(filter(None, (timing, counting, f"Not proven: {cause.text}.", remedy)))


def headline(verdict: Verdict) -> str:
    """The first sentence."""
    return verdict.sentences[0] if verdict.sentences else verdict.verdict


def block(verdict: Verdict, report: Path | str | None = None) -> str:
    """The end of a run as a terminal shows it: word, sentences, objectives, outcomes, weaknesses, report."""
    word = verdict.verdict.upper()
    pad = " " * (len(word) + 2)
    lines: list[str] = []
    for n, text in enumerate(verdict.sentences):
        lines += _wrap(text, f"{word}  " if n == 0 else pad, pad)
    lines += ["", *_objective_lines(verdict), *_outcome_lines(verdict)]
    told = " ".join(verdict.sentences).lower()
    for cause in verdict.causes:
        if cause.code != "aborted" and cause.text.lower() not in told:  # the first sentence says who stopped it
            lines += textwrap.wrap(
                f"{cause.result}: {cause.line()}", WIDTH, initial_indent="  ", subsequent_indent="    "
            )
    lines += _finding_lines(verdict)
    if report is not None:
        lines.append(f"  report  {report}")
    return "\n".join(lines)


def _wrap(text: str, first: str, later: str) -> list[str]:
    # a number keeps its unit: the space between them is taken for a letter while the line is broken
    glued = re.sub(r"(?<=[0-9]) (?=(s|ms|m|h|%)\b|%)", "\u00a0", text)
    lines = textwrap.wrap(glued, WIDTH, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines]


def _objective_lines(verdict: Verdict) -> list[str]:
    rows = [(o.name, o.shown, o.limit_shown, o.result) for o in verdict.objectives]
    widths = [max((len(row[n]) for row in rows), default=0) for n in range(3)]
    return ["  " + "    ".join((*(row[n].ljust(widths[n]) for n in range(3)), row[3])) for row in rows]


def _outcome_lines(verdict: Verdict) -> list[str]:
    load, parts = verdict.load, verdict.outcomes
    lag = f" (lag p99 {load.lag_p99_ms:.1f} ms)" if load.lag_p99_ms is not None else ""
    state = "not known" if load.valid is None else "valid" if load.valid else "invalid"
    text = f"system {parts.system} · injection {parts.injection} · clean-up {parts.cleanup} · load {state}{lag}"
    return [f"  {text}"]


def _finding_lines(verdict: Verdict) -> list[str]:
    if not verdict.findings:
        return []
    lines = [f"  weaknesses {len(verdict.findings)}:"]
    for f in verdict.findings:
        text = f"{f.class_} in {f.component} ({f.severity}, owner {f.owner}): {f.evidence}"
        lines += _wrap(text, "    ", "      ")
    return lines


def critical_text(plan: Plan) -> str:
    """The critical flows in words, all flows where no objective names one."""
    return ", ".join(critical_flows(plan)) or "every flow"
