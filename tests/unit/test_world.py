"""What the difference of two snapshots says, and where a target is not found."""

from __future__ import annotations

from typing import Any

import pytest

from chaoslib_ext import planes
from chaoslib_ext.faults.base import build, names, select_links
from chaoslib_ext.world import World
from drills.errors import Refused, UsageError
from drills.plan import Target

DESCRIBE = {
    "agent": "http://127.0.0.1:1",
    "toxiproxy": "http://127.0.0.1:1",
    "instances": [{"name": "nats-0", "service": "order-bus", "http": None, "ports": None}],
    "links": [{"name": "a>b", "from": "a", "to": "b", "group": "bus-bus", "listen": "x:1", "upstream": "y:2"}],
}


def snapshot(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    base: dict[str, Any] = {
        "instances": {"engine-0": "running"},
        "roles": {"engine-0": "primary"},
        "proxies": {"a>b": {"enabled": True, "toxics": ["theirs"]}},
        "planes": {},
    }
    return base | changes


def test_the_same_is_no_difference() -> None:
    assert World.diff(snapshot(), snapshot()) == []


def test_every_trace_is_one_line() -> None:
    after = snapshot(
        instances={"engine-0": "held"},
        proxies={"a>b": {"enabled": False, "toxics": ["ours"]}, "c>d": {"enabled": True, "toxics": []}},
    )
    assert World.diff(snapshot(), after) == [
        "engine-0 is held, was running",
        "link a>b is cut, was open",
        "link a>b has toxic ours",
        "link a>b lost toxic theirs",
        "link c>d is new",
    ]
    assert World.diff(snapshot(), snapshot(instances={}, proxies={})) == [
        "engine-0 is gone, was running",
        "link a>b is gone",
    ]


def test_a_role_that_moved_is_no_trace() -> None:
    after = snapshot(roles={"engine-0": None})
    assert World.diff(snapshot(), after) == []
    assert World.moved(snapshot(), after) == ["engine-0 is silent, was primary"]


def test_a_tag_names_run_and_fault() -> None:
    world = World.from_describe(DESCRIBE)
    assert world.tag == "muster-by-hand"
    assert world.tagged("run-1", "slow").tag == "muster-run-1-slow"


def test_a_link_is_found_by_name_and_by_group() -> None:
    world = World.from_describe(DESCRIBE)
    assert [target.name for target in select_links(world, "a>b") + select_links(world, "bus-bus")] == ["a>b", "a>b"]
    with pytest.raises(Refused, match=r"link 'bus-buss' matches nothing; did you mean bus-bus\?; nothing was touched"):
        select_links(world, "bus-buss")
    with pytest.raises(KeyError):
        world.link("x")


def test_a_role_that_nobody_has_is_refused() -> None:
    fault = build("process.kill", {"service": "order-bus", "role": "primary"})
    with pytest.raises(Refused, match="its instances have no roles; nothing was touched"):
        fault.targets(World.from_describe(DESCRIBE))


@pytest.mark.parametrize(
    ("name", "params", "said"),
    [
        ("proces.kill", {}, r"no fault 'proces.kill'; did you mean process.kill\?"),
        ("process.kill", {}, "give either service or instance"),
        ("process.kill", {"instance": "a", "service": "b"}, "give either service or instance"),
        ("network.latency", {"link": "a>b", "ms": 0}, "network.latency: ms: .*greater than 0"),
        ("network.latency", {"link": "a>b", "ms": 5, "duration": "5"}, "duration: .*is not a duration"),
    ],
)
def test_a_mistake_in_the_parameters_is_named(name: str, params: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build(name, params)


def test_a_sentence_names_four_targets() -> None:
    targets = [Target(name=name) for name in "abcdef"]
    assert names(targets[:2]) == "a, b"
    assert names(targets) == "a, b, c, d and 2 more"


def test_a_record_that_a_step_moved_is_intended_and_one_that_a_fault_moved_is_a_trace() -> None:
    before = {"cloud: record api.exchange.test set tyo": "100", "cloud: instance tyo-a": "running"}
    after = {"cloud: record api.exchange.test set tyo": "0", "cloud: instance tyo-a": "stopped"}
    lines = planes.diff(before, after)
    assert planes.by_steps(lines, {"region.loss"}) == ["cloud: record api.exchange.test set tyo is 0, was 100"]
    assert planes.by_steps(lines, {"region.loss", "cloud.record-switch"}) == []
