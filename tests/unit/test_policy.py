"""A plan held against the policy of its environment."""

from __future__ import annotations

from datetime import datetime

import pytest

from chaoslib_ext.blast import radius
from chaoslib_ext.names import SANDBOX, load_definition, shipped
from chaoslib_ext.policy import enforce
from drills.errors import Refused
from drills.model import Drill, Environment, Experiment
from drills.plan import Plan, PlannedFault, Target
from drills.window import parse_window
from tests import runs

SATURDAY = datetime.fromisoformat("2026-11-21T12:00:00+00:00")
DESCRIBE = {
    "instances": [
        {"name": "engine-0", "service": "matching-engine", "zone": "a"},
        {"name": "engine-1", "service": "matching-engine", "zone": "b"},
        {"name": "nats-0", "service": "order-bus", "zone": "a"},
    ]
}


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
        (["a", "b", "b"], {"max_zones": 1}, r"blast-radius: drill touches 2 zones \(a, b\), the policy of box "),
        (
            ["a", "b"],
            {"max_instances": 1},
            r"drill touches 2 instances \(engine-0, engine-1\), .* allows 1",
        ),
        (["a"], {"max_share": "34%"}, r"blast-radius: .* 1 of 2 instances of matching-engine \(50%\), .* allows 34%"),
        (["a"], {"approvals": {"count": 1}}, r"needs-approval: drill on box needs 1 approval, has 0; make one with"),
        (
            ["a"],
            {"window": "Mon-Fri 09:00-16:00 Asia/Singapore"},
            "outside-window: it is Sat 20:00 there",
        ),
    ],
)
def test_what_the_policy_does_not_allow_is_refused(zones: list[str], policy: dict[str, object], said: str) -> None:
    with pytest.raises(Refused, match=said):
        enforce(plan("process.kill", *zones), environment(**policy), DESCRIBE, now=lambda: SATURDAY)


def test_a_zone_counts_as_all_that_lies_in_it() -> None:
    whole = PlannedFault(
        id="x",
        fault="zone.loss",
        params={},
        targets=(Target(kind="zone", name="a"), Target(kind="link", name="engine-0>nats-0")),
        describe="",
        undo_text="",
    )
    hit = radius(runs.make_plan(runs.Spec()).model_copy(update={"faults": (whole,)}), DESCRIBE)
    assert hit.instances == {"engine-0": "matching-engine", "nats-0": "order-bus"}
    assert hit.shares() == {"matching-engine": 0.5, "order-bus": 1.0}
    assert hit.zones == {"a"}


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        ("2026-11-20T01:00:00+00:00", True),  # Friday 09:00 in Singapore
        ("2026-11-20T07:59:59+00:00", True),
        ("2026-11-20T08:00:00+00:00", False),
        ("2026-11-20T00:59:59+00:00", False),
        ("2026-11-21T03:00:00+00:00", False),  # Saturday
    ],
)
def test_the_window_is_on_the_clocks_of_its_place(at: str, inside: bool) -> None:
    assert parse_window("Mon-Fri 09:00-16:00 Asia/Singapore").contains(datetime.fromisoformat(at)) is inside


def test_a_window_over_midnight_belongs_to_the_day_it_began_on() -> None:
    night = parse_window("Fri 22:00-04:00 UTC")
    inside = ["2026-11-20T22:00:00+00:00", "2026-11-21T03:59:00+00:00"]
    outside = ["2026-11-20T03:00:00+00:00", "2026-11-21T22:30:00+00:00"]
    assert [night.contains(datetime.fromisoformat(at)) for at in inside + outside] == [True, True, False, False]


def test_the_sandbox_allows_every_fault_that_is_shipped() -> None:
    box = load_definition(SANDBOX)
    assert isinstance(box, Environment)
    definitions = [one for one in map(load_definition, shipped()) if isinstance(one, Drill | Experiment)]
    assert definitions
    for one in definitions:
        for spec in one.faults.values():
            enforce(plan(spec.name, "a"), box)
