"""Leaving a place in order: leaders step down first, then instances stop one by one, those that clients see first."""

from __future__ import annotations

import time
from collections.abc import Sequence

from chaoslib_ext import httpjson
from chaoslib_ext.faults.base import Recipe
from chaoslib_ext.world import Instance, World
from drills.errors import FaultError

MOVE_S = 10.0
"""A leader that steps down in order is followed within the lease."""

LOOK_S = 0.02
BUS = "order-bus"


def recipes(world: World, zones: Sequence[str]) -> list[Recipe]:
    """What is stopped in order starts again. To stand behind those of the nodes: without power nothing starts."""
    running = {one.name for one in world.agent.instances() if one.pid is not None}
    return [
        {"verb": "agent.release", "args": world.of_agent(instance=one.name)}
        for one in _there(world, zones)
        if one.name in running
    ]


def drain(world: World, zones: Sequence[str], catch_up_s: float = 0.0) -> list[str]:
    """Move leaders out of the zones where others of their region stay, then stop; one sentence each.

    Where the whole bus of a region goes, it stops only when every mirror of its streams elsewhere has all of it: then
    nobody writes any more. Raises FaultError where a leader does not go or a mirror is still behind after `catch_up_s`
    seconds, ComponentError where an instance does not stop.
    """
    texts = [*_engines_step_down(world, zones), *_streams_step_down(world, zones)]
    there = list(reversed(_there(world, zones)))  # the bus is described first, gateways last
    buses = [one for one in there if one.service == BUS]
    others = [one for one in there if one.service != BUS]
    texts += _stop(world, others)
    if buses and not _staying(world, BUS, zones):
        texts += _mirrored(world, buses, zones, catch_up_s)
    return texts + _stop(world, buses)


def _stop(world: World, instances: Sequence[Instance]) -> list[str]:
    for one in instances:
        world.agent.act(one.name, "stop")
    return [f"stopped in order: {', '.join(one.name for one in instances)}"] if instances else []


def _mirrored(world: World, buses: Sequence[Instance], zones: Sequence[str], within_s: float) -> list[str]:
    """Wait until whatever follows these buses from elsewhere has everything that they have."""
    from chaoslib_ext.sops import bus  # imported late: its client costs a fifth of a second

    elsewhere = [one for one in world.instances if one.service == BUS and one.zone not in zones]
    texts = []
    for region in dict.fromkeys(one.region for one in elsewhere):
        nodes = [one for one in elsewhere if one.region == region]
        for name, one in bus.streams(nodes).items():
            if mirror := one["config"].get("mirror"):
                entries = bus.await_mirror(nodes, name, buses, str(mirror["name"]), within_s)
                texts.append(f"{name} in {region} has all {entries} entries of {mirror['name']}")
    return texts or ["nothing elsewhere mirrors its bus"]


def _there(world: World, zones: Sequence[str]) -> list[Instance]:
    return [one for one in world.instances if one.zone in zones]


def _staying(world: World, service: str, zones: Sequence[str]) -> list[Instance]:
    """Instances of a service that stay, in the regions of these zones."""
    regions = {one.region for one in world.instances if one.zone in zones}
    return [
        one for one in world.instances if one.service == service and one.zone not in zones and one.region in regions
    ]


def _engines_step_down(world: World, zones: Sequence[str]) -> list[str]:
    leader = world.leader()
    if leader is None or world.instance(leader[0]).zone not in zones:
        return []
    if not _staying(world, world.instance(leader[0]).service, zones):
        return [f"{leader[0]} leads, and nobody stays to take over"]
    url = f"{(world.instance(leader[0]).http or '').rstrip('/')}/admin/resign"
    try:
        status, answer = httpjson.call("POST", url, {}, timeout_s=MOVE_S)
    except httpjson.Unreachable as error:
        raise FaultError(f"{leader[0]} cannot be asked to resign: {error}") from error
    if status >= 300:
        raise FaultError(f"{leader[0]} does not resign: POST {url} answered {status}: {answer}")
    deadline = time.monotonic() + MOVE_S
    while (now := world.leader()) is None or now[1] <= leader[1] or world.instance(now[0]).zone in zones:
        if time.monotonic() >= deadline:
            raise FaultError(f"{leader[0]} has resigned, but nobody outside leads after {MOVE_S:g} s")
        time.sleep(LOOK_S)
    return [f"{leader[0]} resigned, {now[0]} leads with epoch {now[1]}"]


def _streams_step_down(world: World, zones: Sequence[str]) -> list[str]:
    staying = _staying(world, BUS, zones)
    going = {one.name for one in _there(world, zones) if one.service == BUS}
    if not staying or not going:
        return []
    from chaoslib_ext.sops import bus  # imported late: its client costs a fifth of a second

    return bus.move_leaders(staying, going, MOVE_S)
