"""What the policy of an environment allows, held against a plan before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatch
from typing import Any

from chaoslib_ext.approvals import Approval, enforce_approvals
from chaoslib_ext.blast import radius
from drills.errors import Refused
from drills.model import Environment
from drills.plan import Plan
from drills.units import format_percent
from drills.window import parse_window
from loadgen.sanitise import check_target
from loadgen.trace import Trace

Now = Callable[[], datetime]


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def enforce(
    plan: Plan,
    environment: Environment,
    describe: Mapping[str, Any] | None = None,
    approvals: Sequence[Approval] = (),
    *,
    runner: str = "",
    now: Now = utc_now,
) -> None:
    """Raise Refused where the plan does what the policy does not allow, does it now, or without those who must agree.

    `describe` says which instances there are, `runner` who runs the plan.
    """
    policy, where = environment.policy, f"the policy of {environment.environment}"
    for fault in plan.faults:
        if not any(fnmatch(fault.fault, glob) for glob in policy.faults):
            allowed = ", ".join(policy.faults) or "none"
            said = f"{where} does not allow {fault.fault} (allowed: {allowed})"
            raise Refused("not-allowed", f"{said}; nothing was touched")
    _enforce_radius(plan, environment, describe)
    enforce_window(environment, now)
    enforce_approvals(plan, environment, approvals, runner=runner, now=now())


def _enforce_radius(plan: Plan, environment: Environment, describe: Mapping[str, Any] | None) -> None:
    policy, where, hit = environment.policy, f"the policy of {environment.environment}", radius(plan, describe)
    if policy.max_zones is not None and len(hit.zones) > policy.max_zones:
        zones = f"{len(hit.zones)} zones ({', '.join(sorted(hit.zones))})"
        raise _too_wide(f"{plan.name} touches {zones}, {where} allows {policy.max_zones}")
    if policy.max_instances is not None and len(hit.instances) > policy.max_instances:
        names = f"{len(hit.instances)} instances ({', '.join(sorted(hit.instances))})"
        raise _too_wide(f"{plan.name} touches {names}, {where} allows {policy.max_instances}")
    for service, share in sorted(hit.shares().items()):
        if policy.max_share is not None and share > policy.max_share + 1e-9:
            mine = sum(one == service for one in hit.instances.values())
            touched = f"{mine} of {hit.sizes.get(service, mine)} instances of {service} ({share:.0%})"
            raise _too_wide(f"{plan.name} touches {touched}, {where} allows {format_percent(policy.max_share)}")


def _too_wide(said: str) -> Refused:
    return Refused("blast-radius", f"{said}; nothing was touched")


def enforce_window(environment: Environment, now: Now = utc_now) -> None:
    """Raise Refused outside the hours that the policy names."""
    text = environment.policy.window
    if text is None:
        return
    window, at = parse_window(text), now()
    if not window.contains(at):
        local = at.astimezone(window.zone).strftime("%a %H:%M")
        said = f"it is {local} there, the policy of {environment.environment} allows {text}"
        raise Refused("outside-window", f"{said}; nothing was touched")


def enforce_traffic(trace: Trace, environment: Environment) -> None:
    """Raise Refused where the trace may not be played against the venue of the environment.

    `trace` is the one in the file, before any transform. Only the venue of an embedded environment is taken at its word
    that it is the sandbox: everywhere else the traffic must be sanitised, whatever the venue is called.
    """
    venue = str(environment.venue.get("type", "")) if environment.kind == "embedded" else environment.kind
    check_target(trace, venue, environment.policy.operations)
