"""A plan held against the policy of its environment."""

from __future__ import annotations

import pytest

from chaoslib_ext.names import SANDBOX, load_definition, shipped
from chaoslib_ext.policy import enforce
from drills.errors import Refused
from drills.model import Drill, Environment, Experiment
from drills.plan import Plan, PlannedFault, Target
from tests import runs


def plan(fault: str, *zones: str | None) -> Plan:
    targets = tuple(Target(name=f"engine-{n}", zone=zone) for n, zone in enumerate(zones))
    planned = PlannedFault(id="x", fault=fault, params={}, targets=targets, describe="", undo_text="")
    return runs.make_plan(runs.Spec()).model_copy(update={"faults": (planned,), "name": "drill"})


def environment(**policy: object) -> Environment:
    return Environment.model_validate({"environment": "box", "kind": "embedded", "policy": policy})


@pytest.mark.parametrize(
    ("fault", "zones", "policy"),
    [
        ("process.kill", ["a"], {}),
        ("process.kill", ["a"], {"faults": ["network.*", "process.*"]}),
        ("process.kill", ["a", "a", None], {"max_zones": 1}),
        ("process.kill", ["a", "b"], {"max_zones": 2}),
    ],
)
def test_what_the_policy_allows_goes_on(fault: str, zones: list[str | None], policy: dict[str, object]) -> None:
    enforce(plan(fault, *zones), environment(**policy))


@pytest.mark.parametrize(
    ("zones", "policy", "said"),
    [
        (["a"], {"faults": ["network.*"]}, r"not-allowed: the policy of box does not allow process\.kill"),
        (["a"], {"faults": []}, r"not-allowed: .* \(allowed: none\); nothing was touched"),
        (["a", "c", "c"], {"max_zones": 1}, r"blast-radius: drill touches 2 zones \(a, c\), the policy of box "),
        (["a"], {"max_share": "34%"}, "policy: the policy of box has max_share, which is not enforced yet"),
        (["a"], {"approvals": {"count": 1}}, "policy: the policy of box has approvals"),
        (["a"], {"window": "Mon-Fri 09:00-16:00 Asia/Singapore"}, "policy: the policy of box has window"),
    ],
)
def test_what_the_policy_does_not_allow_is_refused(zones: list[str], policy: dict[str, object], said: str) -> None:
    with pytest.raises(Refused, match=said):
        enforce(plan("process.kill", *zones), environment(**policy))


def test_the_sandbox_allows_every_fault_that_is_shipped() -> None:
    box = load_definition(SANDBOX)
    assert isinstance(box, Environment)
    definitions = [one for one in map(load_definition, shipped()) if isinstance(one, Drill | Experiment)]
    assert definitions
    for one in definitions:
        for spec in one.faults.values():
            enforce(plan(spec.name, "a"), box)
