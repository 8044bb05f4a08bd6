"""Approvals: who agreed to exactly this plan, on exactly these targets, in this window, until when.

An approval is a file that people keep and review like code; it says who agreed, it does not prove who wrote it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from drills.errors import Refused, UsageError
from drills.evidence import write_atomic
from drills.model import Environment
from drills.plan import Plan


class Approval(BaseModel):
    """One person's word. `binds` is the hash of plan, resolved targets and window together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    plan: str
    environment: str
    binds: str
    window: str | None = None
    by: str
    at: AwareDatetime
    expires: AwareDatetime


def binding(plan: Plan, window: str | None) -> str:
    """SHA-256 (hex) of the plan's hash, its targets and the window of the environment."""
    targets = {fault: [target.model_dump() for target in found] for fault, found in plan.targets.items()}
    body = {"plan": plan.hash, "targets": targets, "window": window}
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


def approve(plan: Plan, environment: Environment, by: str, valid: timedelta, now: datetime) -> Approval:
    """The approval of a plan by a person, valid from now on. Raises UsageError where there is nothing to agree to."""
    if not by.strip():
        raise UsageError("--by is empty; name the person who agrees")
    if not plan.environment.resolved:
        raise UsageError(f"the plan of {plan.name} has no targets: it was made where nothing was up; make it again")
    window = environment.policy.window
    return Approval(
        plan=plan.name,
        environment=environment.environment,
        binds=binding(plan, window),
        window=window,
        by=by.strip(),
        at=now.astimezone(UTC),
        expires=(now + valid).astimezone(UTC),
    )


def save(approval: Approval, path: Path) -> None:
    """Write it whole or not at all."""
    write_atomic(path, approval.model_dump_json(indent=2).encode() + b"\n")


def load(path: Path) -> Approval:
    """Read it. Raises UsageError that names the file."""
    try:
        return Approval.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}; make it with `muster approve`") from error
    except ValidationError as error:
        raise UsageError(f"{path}: is not an approval; make it with `muster approve`") from error


def needed(environment: Environment) -> int:
    """How many people must agree: what the policy says, and in production at least one."""
    asked = environment.policy.approvals.count if environment.policy.approvals else 0
    return max(asked, 1) if environment.kind == "production" else asked


def enforce_approvals(
    plan: Plan, environment: Environment, given: Sequence[Approval], *, runner: str, now: datetime
) -> None:
    """Raise Refused where too few people agreed to this plan as it is now.

    Every approval that is given must hold: one that is void is refused even where enough others are there.
    """
    for one in given:
        _hold(one, plan, environment, now)
    count = needed(environment)
    rule = environment.policy.approvals
    authors = set() if rule and rule.author_may else {name.casefold() for name in (plan.owner, runner) if name}
    people = {one.by.casefold() for one in given}
    agreed = people - authors
    if len(agreed) >= count:
        return
    mine = sorted(people & authors)
    told = f"; {', '.join(mine)} may not approve a plan of their own" if mine else ""
    said = (
        f"{plan.name} on {environment.environment} needs {count} approval{'s' if count != 1 else ''}, has {len(agreed)}"
    )
    raise Refused("needs-approval", f"{said}{told}; make one with `muster approve`; nothing was touched")


def _hold(one: Approval, plan: Plan, environment: Environment, now: datetime) -> None:
    who = f"the approval of {one.plan} by {one.by}"
    if one.environment != environment.environment:
        said = f"{who} is for {one.environment}, not for {environment.environment}"
        raise Refused("approval-void", f"{said}; nothing was touched")
    if one.binds != binding(plan, environment.policy.window):
        said = f"{who} is not of this plan: its definition, its targets or the window have changed since"
        raise Refused("approval-void", f"{said}; make the plan again and have it approved; nothing was touched")
    if now >= one.expires:
        raise Refused("approval-expired", f"{who} ended at {one.expires.isoformat()}; nothing was touched")
