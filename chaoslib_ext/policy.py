"""What the policy of an environment allows, held against a plan before anything is touched."""

from __future__ import annotations

from fnmatch import fnmatch

from drills.errors import Refused
from drills.model import Environment, Policy
from drills.plan import Plan
from loadgen.sanitise import check_target
from loadgen.trace import Trace

_UNENFORCED = ("max_share", "approvals", "window")


def enforce(plan: Plan, environment: Environment) -> None:
    """Raise Refused where the plan does what the policy does not allow, or where a rule of it cannot be held."""
    policy, where = environment.policy, f"the policy of {environment.environment}"
    for name in _UNENFORCED:
        if getattr(policy, name) != Policy.model_fields[name].get_default(call_default_factory=True):
            raise Refused("policy", f"{where} has {name}, which is not enforced yet; nothing was touched")
    for fault in plan.faults:
        if not any(fnmatch(fault.fault, glob) for glob in policy.faults):
            allowed = ", ".join(policy.faults) or "none"
            said = f"{where} does not allow {fault.fault} (allowed: {allowed})"
            raise Refused("not-allowed", f"{said}; nothing was touched")
    zones = sorted({target.zone for fault in plan.faults for target in fault.targets if target.zone})
    if policy.max_zones is not None and len(zones) > policy.max_zones:
        said = f"{plan.name} touches {len(zones)} zones ({', '.join(zones)}), {where} allows {policy.max_zones}"
        raise Refused("blast-radius", f"{said}; nothing was touched")


def enforce_traffic(trace: Trace, environment: Environment) -> None:
    """Raise Refused where the trace may not be played against the venue of the environment.

    `trace` is the one in the file, before any transform. Only the venue of an embedded environment is taken at its word
    that it is the sandbox: everywhere else the traffic must be sanitised, whatever the venue is called.
    """
    venue = str(environment.venue.get("type", "")) if environment.kind == "embedded" else environment.kind
    check_target(trace, venue, environment.policy.operations)
