"""What the actions share: who is where, and whether the engines of a place can still acknowledge anything."""

from __future__ import annotations

from typing import Any

from chaoslib_ext import httpjson
from chaoslib_ext.guardian.verbs import accepts
from chaoslib_ext.world import Instance, World
from drills import registry
from drills.errors import FaultError

ENGINE, BUS, GATEWAY = "matching-engine", "order-bus", "gateway"
ASK_S = 5.0
"""A leader answers a fence only when its last acknowledgement is out."""

NOWHERE = ("held", "stopped")
"""Phases without a process, which no agent ends by itself."""


def of(world: World, service: str, region: str) -> list[Instance]:
    """The instances of a service in a region. Raises FaultError where there is none."""
    found = [one for one in world.instances if one.service == service and one.region == region]
    if not found:
        regions = {one.region for one in world.instances if one.region}
        hint = registry.did_you_mean(region, regions) if region not in regions else f"it has no {service}"
        raise FaultError(f"region {region!r}: {hint}; nothing was touched")
    return found


def regions(world: World, service: str = ENGINE) -> list[str]:
    """Every region that has instances of a service, in the order of the description."""
    return list(dict.fromkeys(one.region for one in world.instances if one.service == service and one.region))


def order(engine: Instance, act: str) -> dict[str, Any] | None:
    """What an engine answers to POST /admin/`act`; None where it is silent. Raises FaultError where it refuses."""
    url = f"{(engine.http or '').rstrip('/')}/admin/{act}"
    try:
        status, answer = httpjson.call("POST", url, {}, timeout_s=ASK_S)
    except httpjson.Unreachable:
        return None
    if status >= 300 or not isinstance(answer, dict):
        raise FaultError(f"{engine.name}: POST {url} answered {status}: {answer}")
    return answer


def powerless(engine: Instance, world: World) -> str | None:
    """Why an engine that does not answer cannot acknowledge anything; None where that is not certain.

    It is held down and its ports refuse, or every link of it to the bus is cut: then nothing it does becomes durable.
    """
    phase = world.agent.instance(engine.name).phase
    if phase in NOWHERE and not any(accepts(engine.address(port)) for port in engine.ports):
        return f"{engine.name} is down ({phase}) and its ports refuse"
    buses = {one.name for one in world.instances if one.service == BUS}
    proxies = world.toxiproxy.proxies()
    mine = [one for one in world.links if one.source == engine.name and one.target in buses]
    if mine and all(not proxies[one.name].enabled and not accepts(one.listen) for one in mine):
        return f"{engine.name} is cut off from the bus"
    return None


def unfenced(world: World, region: str) -> list[str]:
    """Engines of a region that might still acknowledge orders: neither fenced, nor down, nor cut off."""
    statuses = world.statuses()
    return [
        one.name
        for one in of(world, ENGINE, region)
        if not (statuses.get(one.name) or {}).get("fenced") and powerless(one, world) is None
    ]
