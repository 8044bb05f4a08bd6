"""Orders from operators to an engine: hand over leadership, and be fenced off from it. All may be repeated.

POST /admin/resign   a leader writes what has arrived and leaves; a standby takes over at once, without waiting a lease
POST /admin/fence    it does not lead any more: answered once no client gets another acknowledgement from it
POST /admin/unfence  it may lead again

Each answers the body of /status, 503 when the engine still led after two leases, 507 when its volume does not take the
fence, or does not give it up. A fence outlives the process: an engine that is started anew is behind it from the first.
"""

import asyncio

from aiohttp import web

from sandbox.exchange.engine_core import Core
from sandbox.httpserve import json_answer

_POLL_S = 0.005
_LEASES = 2
_NO_ROOM = 507


def routes(core: Core) -> list[web.RouteDef]:
    """The routes of one engine."""

    async def resign(_: web.Request) -> web.Response:
        if core.leading:
            core.truth.append([core.record("resign")])
            core.resigning = True
            core.arrived.set()
        return await _once_it_does_not_lead(core)

    async def fence(_: web.Request) -> web.Response:
        if not core.leadership.fenced:
            core.truth.append([core.record("fence")])
            core.arrived.set()
        try:
            core.leadership.fence.put_up()
        except OSError as error:
            return _failed(error)
        return await _once_it_does_not_lead(core)

    async def unfence(_: web.Request) -> web.Response:
        if core.leadership.fenced:
            core.truth.append([core.record("unfence")])
            try:
                core.leadership.fence.take_down()
            except OSError as error:
                return _failed(error)
        return _status(core)

    return [
        web.post("/admin/resign", resign),
        web.post("/admin/fence", fence),
        web.post("/admin/unfence", unfence),
    ]


async def _once_it_does_not_lead(core: Core) -> web.Response:
    deadline = core.now() + _LEASES * core.leadership.lease_s
    epoch = core.replica.epoch
    while core.leading and core.replica.epoch == epoch:
        if core.now() > deadline:
            return _status(core, 503)
        await asyncio.sleep(_POLL_S)
    return _status(core)


def _failed(error: OSError) -> web.Response:
    return web.json_response({"error": f"the fence does not last: {error}"}, status=_NO_ROOM)


def _status(core: Core, code: int = 200) -> web.Response:
    return json_answer(core.status(), code)
