"""`muster run` from its options to its exit code."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from chaoslib_ext import identity, needs
from chaoslib_ext.approvals import Approval
from chaoslib_ext.approvals import load as load_approval
from chaoslib_ext.names import find, load_definition, load_environment
from chaoslib_ext.policy import enforce, enforce_window
from chaoslib_ext.resolve import plan_of, planned_trace
from chaoslib_ext.screen import Screen
from chaoslib_ext.supervisor import folders
from chaoslib_ext.supervisor.finish import Finish, Show
from chaoslib_ext.supervisor.loop import Loop, Stop
from chaoslib_ext.supervisor.options import Options
from chaoslib_ext.supervisor.sandboxes import Sandbox, obtain
from chaoslib_ext.supervisor.session import Session, new_session
from chaoslib_ext.supervisor.signals import Signals
from drills.errors import Aborted, ExitCode, MusterError, Refused, UsageError, worst
from drills.events import Kind
from drills.evidence import new_run_id
from drills.loader import load_sops
from drills.model import Drill, Environment, Experiment, Load, Sop
from drills.plan import Plan
from drills.registry import Need


@dataclass(frozen=True)
class Wanted:
    """A definition that can be run, and the load it is run with."""

    definition: Drill | Experiment
    path: Path
    load: Load
    environment: Environment
    needs: frozenset[Need]
    approvals: tuple[Approval, ...] = ()


def wanted(options: Options) -> Wanted:
    """Read and check what is to be run. Raises DefinitionError(s), UsageError, Refused; touches nothing."""
    path = find(options.reference)
    definition = load_definition(path)
    if not isinstance(definition, Drill | Experiment):
        raise UsageError(f"{path}: a {type(definition).__name__.lower()} cannot be run; name a drill or an experiment")
    sops = load_sops(definition, path) if isinstance(definition, Drill) else {}
    if isinstance(definition, Drill):
        _walkable(definition, path, sops)
    environment = _environment(options.environment or "sandbox", bool(options.approvals))
    changes: dict[str, object] = {"trace": options.trace} if options.trace else {}
    if options.amplify is not None:
        changes["amplify"] = options.amplify
    load = definition.load.model_copy(update=changes)
    planned_trace(load, environment)
    needed = needs.of_definition(definition, tuple(sops.values()))
    approvals = tuple(load_approval(one) for one in options.approvals)
    return Wanted(definition, path, load, environment, needed, approvals)


def _walkable(drill: Drill, path: Path, sops: Mapping[str, Sop]) -> None:
    for number, phase in enumerate(drill.phases):
        named = phase.recover or phase.failback
        sop = sops.get(str(named.sop)) if named else None
        human = next((step.id for step in sop.steps if step.human), None) if sop else None
        if phase.decide is not None:
            raise Refused("needs-people", f"{path}: phases[{number}] (decide) asks a person; not yet run")
        if sop is not None and human is not None:
            said = f"phases[{number}] ({phase.kind}) follows {sop.sop}, whose step {human} is a person's; not yet run"
            raise Refused("needs-people", f"{path}: {said}")


def _environment(reference: str, approved: bool) -> Environment:
    environment = load_environment(reference)
    if environment.kind == "production" and not approved:
        said = f"{reference} is production; give the approval of the plan with --approval"
        raise Refused("needs-approval", f"{said}; nothing was touched")
    enforce_window(environment)
    if environment.kind != "embedded":
        said = f"{reference} is a {environment.kind} environment; only the sandbox can be drilled yet"
        raise Refused("environment", f"{said}; nothing was touched")
    return environment


def run(options: Options, screen_of: Callable[[int], Screen], show: Show) -> ExitCode:
    """Run a definition `repeat` times in one sandbox life; the worst exit code."""
    began_ns = time.monotonic_ns()
    want = wanted(options)
    folders.made(options.runs)
    screen = screen_of(began_ns)
    codes: list[ExitCode] = []
    with Signals() as signals:
        try:
            sandbox = obtain(options.plant, signals, screen.say, want.needs)
            try:
                for number in range(options.repeat):
                    last = number == options.repeat - 1
                    if number:
                        began_ns, sandbox.seconds = time.monotonic_ns(), 0.0
                    codes.append(_once(want, options, sandbox, screen, signals, began_ns, last, show))
                    if signals.stop or codes[-1] is ExitCode.UNDO_INCOMPLETE:
                        break
            finally:
                sandbox.stop()
        except Aborted as error:
            screen.say(str(error))
            codes.append(ExitCode.INTERRUPTED if signals.interrupted else error.exit_code)
        finally:
            screen.close()
    return worst(codes)


def _once(
    want: Wanted,
    options: Options,
    sandbox: Sandbox,
    screen: Screen,
    signals: Signals,
    began_ns: int,
    last: bool,
    show: Show,
) -> ExitCode:
    run_id = new_run_id()
    needs.check(sandbox.describe, want.needs, want.path.stem)
    identity.check(want.environment, sandbox.describe)
    plan = plan_of(
        want.definition, want.path, sandbox.world, run_id=run_id, load=want.load, environment=want.environment
    )
    enforce(plan, want.environment, sandbox.describe, want.approvals, runner=getpass.getuser())
    folder = Path(os.path.abspath(options.runs)) / plan.name / run_id
    session = new_session(plan, folder, sandbox, screen, signals, began_ns)
    try:
        session.start_guardian()
    except MusterError:
        session.record.discard()  # refused: nothing was touched, so nothing is left
        raise
    try:
        stop = _drive(session)
        ending = Finish(session, stop, show, last=last or signals.stop).all()
    finally:
        session.abandon()
    return worst(ending.codes)


def _drive(session: Session) -> Stop | None:
    """Start the parts and follow the runner; why it ended early, or None."""
    loop: Loop | None = None
    try:
        _announce(session)
        session.test_guards()
        session.start_sampler()
        session.start_runner()  # it imports while the load prepares its schedule
        session.start_load()
        session.go()
        loop = Loop(session)
        stop = loop.run()
    except MusterError as error:
        stop = _stop_of(session, error)
    except OSError as error:
        stop = _stop_of(session, session.record.fail(error))
    if stop is not None:
        try:
            (loop or Loop(session)).stop(stop)
        except MusterError as error:
            screen_error(session, error)
    return stop


def _stop_of(session: Session, error: MusterError) -> Stop:
    if isinstance(error, Aborted):
        code = ExitCode.INTERRUPTED if session.signals.interrupted else ExitCode.ABORTED
        return Stop(error.guard, str(error).removeprefix(f"aborted by {error.guard}: "), code)
    component = getattr(error, "component", "the supervisor")
    return Stop(component, str(error).removeprefix(f"{component}: "), error.exit_code)


def screen_error(session: Session, error: MusterError) -> None:
    """Say what could not even be recorded."""
    session.screen.say(str(error))


def _announce(session: Session) -> None:
    plan, sandbox = session.plan, session.sandbox
    session.emit(
        Kind.RUN_STARTED,
        run_id=session.run.run_id,
        drill=plan.name,
        title=plan.title,
        plan_hash=plan.hash,
        environment=plan.environment.name,
        began_ns=session.began_ns,
    )
    instances = sandbox.describe["instances"]
    versions = {str(name): str(version) for name, version in sandbox.describe.get("versions", {}).items()}
    took = f"ready in {sandbox.seconds:.1f} s" if sandbox.seconds else "already up"
    parts = ", ".join(f"{name} {version}" for name, version in versions.items())
    session.emit(
        Kind.SANDBOX,
        text=f"{len(instances)} instances {took}" + (f" ({parts})" if parts else ""),
        instances=len(instances),
        versions=versions,
        seconds=sandbox.seconds,
    )
    session.emit(Kind.CHECK, text=check_text(plan))


def check_text(plan: Plan) -> str:
    """What was checked, such as: 1 fault, 4 objectives, 1 guard; target engine-0 (primary, tyo-a)."""
    counts = [(len(plan.faults), "fault"), (len(plan.objectives), "objective"), (len(plan.guards), "guard")]
    said = ", ".join(f"{n} {noun}{'' if n == 1 else 's'}" for n, noun in counts)
    targets = []
    for one in dict.fromkeys(target for fault in plan.faults for target in fault.targets):
        about = ", ".join(part for part in (one.role, one.zone) if part)
        targets.append(f"{one.name} ({about})" if about else one.name)
    shown = ", ".join(targets[:4]) + (f" and {len(targets) - 4} more" if len(targets) > 4 else "")
    return f"{said}; target{'' if len(targets) == 1 else 's'} {shown}"
