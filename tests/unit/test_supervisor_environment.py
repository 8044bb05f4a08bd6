"""What counts as a failure of the sandbox, and what as news of the drill."""

from __future__ import annotations

from typing import Any

from chaoslib_ext.agentclient import Process
from chaoslib_ext.supervisor.environment import EnvironmentWatch
from chaoslib_ext.world import World

SERVICES = {"engine-0": "matching-engine", "engine-1": "matching-engine", "nats-0": "order-bus", "toxiproxy": "links"}


def watch() -> EnvironmentWatch:
    """A watch of a run that kills engine-0 in a drill of the matching engine."""
    instances: list[dict[str, Any]] = [{"name": name, "service": service} for name, service in SERVICES.items()]
    world = World.from_describe({"instances": instances, "links": []})
    return EnvironmentWatch(world, ["engine-0"], ["matching-engine"])


def process(name: str, phase: str = "running", pid: int | None = 7) -> Process:
    return Process(name, SERVICES[name], None, phase, pid, None if pid is None else float(pid), True)


def test_what_a_fault_stops_is_no_news() -> None:
    one = watch()
    for phase, pid in (("running", 7), ("held", None), ("held", None), ("running", 8)):
        one.compare([process("engine-0", phase, pid)])
    assert (one.lost, one.news()) == (None, [])


def test_an_instance_of_the_drilled_service_that_restarts_is_news() -> None:
    one = watch()
    for phase, pid in (("running", 7), ("backoff", None), ("backoff", None), ("running", 8)):
        one.compare([process("engine-1", phase, pid)])
    assert one.lost is None
    assert one.news() == ["engine-1 was started anew (pid 7, now 8): not by a fault of this run"]


def test_another_service_may_be_away_for_a_moment_only() -> None:
    one = watch()
    one.compare([process("nats-0", "backoff", None)])
    one.compare([process("nats-0", "starting")])
    one.compare([process("nats-0", "held", None)])
    assert one.lost is None
    one.compare([process("nats-0", "held", None)])
    assert one.lost == "nats-0 is held: not by a fault of this run; see `muster sandbox status`"


def test_links_that_start_anew_have_lost_their_faults() -> None:
    one = watch()
    one.compare([process("toxiproxy")])
    one.compare([process("toxiproxy", pid=8)])
    assert one.lost is not None
    assert one.lost.endswith("not by a fault of this run; every toxic went with the old one")
