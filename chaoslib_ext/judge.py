"""The judge: it reads only files of a run directory; the same files give the same verdict for ever, offline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from drills import ledger
from drills.assembly import assemble
from drills.errors import DefinitionError, MusterError
from drills.events import Event, read_events
from drills.evidence import SAMPLES, RunDir
from drills.facts import Facts, asked_window_s, critical_flows, measure_load
from drills.history import History, history, journal, read_table
from drills.marks import REDUNDANCY_PROBE, compute_marks, leases, readings
from drills.mirror import Mirror, mirror_of
from drills.model import MttdObjective
from drills.plan import Plan, read_plan
from drills.rpo import CheckResult, Rpo, make_rpo
from drills.rto import Recovery, Rules, baseline_rejects, good, recovery
from drills.timeline import Lead, Timeline, fold, merge_ledger
from drills.verdict import Verdict, write_verdict
from probes.checkers import Case, run_all


def judge(run_dir: Path) -> Verdict:
    """Judge a run and write its verdict.json. Raises DefinitionError when plan.json or the event log is unreadable."""
    verdict = evaluate(run_dir)
    write_verdict(verdict, RunDir(run_dir).verdict)
    return verdict


def evaluate(run_dir: Path) -> Verdict:
    """The verdict of a run, computed from its files and written nowhere.

    A file that is missing or damaged makes the verdict inconclusive and is named in it; only without a plan there is
    nothing to judge: DefinitionError.
    """
    run = RunDir(run_dir)
    facts = gather(run)
    versions = {"muster": metadata.version("muster"), **facts.line.versions}
    return assemble(facts, versions)


@dataclass
class _Files:
    """What could be read of a run, and what could not."""

    run: RunDir
    damaged: dict[str, str] = field(default_factory=dict)

    def read[T](self, path: Path, how: Callable[[Path], T]) -> T | None:
        """The content of a file, or None with the reason noted."""
        try:
            return how(path)
        except OSError as error:
            self._note(path, (error.strerror or str(error)).lower())
        except DefinitionError as error:
            self._note(path, error.message)
        except MusterError as error:
            self._note(path, str(error))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            self._note(path, f"is damaged: {error}")
        return None

    def _note(self, path: Path, what: str) -> None:
        self.damaged[str(path.relative_to(self.run.path))] = what


def gather(run: RunDir) -> Facts:
    """Everything that is known about a run, measured from its files."""
    files = _Files(run)
    plan = read_plan(run.plan)
    line = _timeline(files, plan)
    witness = files.read(run.witness, lambda path: history(read_table(path)))
    samples = files.read(run.samples, _samples) if run.samples.exists() else None
    audit = files.read(run.audit_meta, lambda path: dict(orjson.loads(path.read_bytes()))) if _audited(run) else None
    leads = leases(line, samples, witness)
    rules = Rules(plan.sustain_s, plan.theta, plan.limits_ms, plan.client_timeout_ms)
    window = line.t0(plan)
    mirror = files.read(run.environment, _mirror) if run.environment.exists() else None
    checks = _check(files, plan, witness, audit, _closed(window), leads, mirror)
    timing = _measure(plan, line, witness, rules, window, checks)
    rpo = _count(plan, witness, checks, window, audit)
    return Facts(
        plan=plan,
        line=line,
        window=window,
        rules=rules,
        history=witness,
        is_good=timing.is_good,
        overall=timing.overall,
        flows=timing.flows,
        marks=compute_marks(line, plan, timing.overall, samples, leads),
        checks=checks,
        rpo=rpo,
        load=measure_load(witness, line, rules, _live(run), timing.outage) if witness is not None else None,
        audit=audit,
        probes={name: readings(samples, name) for name in needed_probes(plan)},
        leads=leads,
        damaged=files.damaged,
    )


def needed_probes(plan: Plan) -> tuple[str, ...]:
    """Probes without which something of the plan cannot be said: of detect phases, of objectives, of the restore."""
    names = [phase.detect.probe for phase in plan.phases if phase.detect is not None and phase.detect.probe]
    names += [o.probe for o in plan.objectives if isinstance(o, MttdObjective) and o.probe]
    if any(phase.restore is not None and phase.restore.until == "redundancy" for phase in plan.phases):
        names.append(REDUNDANCY_PROBE)
    return tuple(dict.fromkeys(names))


def _timeline(files: _Files, plan: Plan) -> Timeline:
    """The fold of the events, as far as their chain holds, completed by the guardian's ledger."""
    events: list[Event] = []

    def read_all(path: Path) -> bool:
        for event in read_events(path):
            events.append(event)
        return True

    files.read(files.run.events, read_all)
    line = fold(events)
    book = files.read(files.run.ledger, ledger.read)
    if book is not None:
        merge_ledger(line, book)
    return line


def _samples(path: Path) -> pa.Table:
    table = read_table(path)
    missing = set(SAMPLES.names) - set(table.column_names)
    if missing:
        raise DefinitionError(str(path), f"has no column {', '.join(sorted(missing))}")
    return table


def _mirror(path: Path) -> Mirror | None:
    return mirror_of(orjson.loads(path.read_bytes()))


def _audited(run: RunDir) -> bool:
    return run.audit_meta.exists() or run.commands.exists()


def _closed(window: tuple[int, int | None] | None) -> tuple[int, int] | None:
    """The fault window with T0+ taken as T0- where the effect was not witnessed; it then proves nothing anyway."""
    return None if window is None else (window[0], window[1] if window[1] is not None else window[0])


def _check(
    files: _Files,
    plan: Plan,
    witness: History | None,
    audit: Mapping[str, Any] | None,
    window: tuple[int, int] | None,
    leads: list[Lead],
    mirror: Mirror | None,
) -> dict[str, CheckResult]:
    """Every checker's result; none without a witness, or without an audit that is complete."""
    if witness is None or audit is None or not audit.get("complete"):
        return {}
    run_id = plan.run_id or files.run.run_id
    commands = files.read(files.run.commands, lambda path: journal(read_table(path), witness, run_id))
    return run_all(Case(witness, commands, window, leads, mirror)) if commands is not None else {}


@dataclass(frozen=True)
class _Timing:
    is_good: Any
    overall: Recovery | None
    flows: dict[str, Recovery]
    outage: tuple[int, int] | None


def _measure(
    plan: Plan,
    line: Timeline,
    witness: History | None,
    rules: Rules,
    window: tuple[int, int | None] | None,
    checks: Mapping[str, CheckResult],
) -> _Timing:
    """The good operations, and the recovery of all critical flows together and of each flow alone."""
    if witness is None:
        return _Timing(None, None, {}, None)
    shares = baseline_rejects(witness, line.first_issue_ns)
    is_good = good(witness, rules, shares)
    closed = _closed(window)
    if closed is None:
        return _Timing(is_good, None, {}, None)
    invariant = checks.get("single_writer")
    broken = [t for t in (invariant.at_ns if invariant else ()) if t >= closed[0]]
    critical = critical_flows(plan) or witness.kinds
    wanted = tuple(dict.fromkeys([*critical, *witness.kinds]))
    flows = {flow: recovery(witness, [flow], closed, rules, shares, broken) for flow in wanted}
    overall = recovery(witness, critical, closed, rules, shares, broken)
    until = overall.t5_ns if overall.t5_ns is not None else (witness.end_ns or closed[0]) + 1
    return _Timing(is_good, overall, flows, (closed[0], until))


def _count(
    plan: Plan,
    witness: History | None,
    checks: dict[str, CheckResult],
    window: tuple[int, int | None] | None,
    audit: Mapping[str, Any] | None,
) -> Rpo | None:
    if witness is None or not checks:
        return None
    foreign = audit.get("foreign") if audit else None
    return make_rpo(witness, checks, _closed(window), asked_window_s(plan), foreign)


def _live(run: RunDir) -> dict[str, Any] | None:
    """The last whole line of the load's live counts."""
    if not run.live.exists():
        return None
    for text in reversed(run.live.read_bytes().splitlines()):
        try:
            return dict(orjson.loads(text))
        except (orjson.JSONDecodeError, TypeError, ValueError):
            continue  # the generator was killed in the middle of a line
    return None
