"""The HTTP side of an engine: health, status and metrics, and the audit, which is the authoritative record.

Journal and fills are streamed line by line in slices, so that a reader of millions of rows never holds up the
order path.
"""

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

import orjson
from aiohttp import web
from prometheus_client import generate_latest

from sandbox.exchange import admin_http
from sandbox.exchange.engine_core import Core
from sandbox.exchange.leadership import Role
from sandbox.exchange.market import HASH_EVERY
from sandbox.httpserve import json_answer

_ROWS_A_SLICE = 100  # about 1 ms of work between two turns of the loop
_ROLES = {Role.STARTING: 0, Role.STANDBY: 1, Role.PRIMARY: 2}
_CORE = web.AppKey("core", Core)


class _Row(Protocol):
    def as_dict(self) -> dict[str, Any]: ...


def application(core: Core) -> web.Application:
    """The routes of one engine."""
    app = web.Application()
    app[_CORE] = core
    app.add_routes(
        [
            web.get("/healthz", _health),
            web.get("/status", _status),
            web.get("/metrics", _metrics),
            web.get("/audit/watermark", _watermark),
            web.get("/audit/journal", _journal),
            web.get("/audit/fills", _fills),
            web.get("/audit/hashes", _hashes),
            *admin_http.routes(core),
        ]
    )
    return app


async def serve(core: Core, host: str, port: int) -> web.AppRunner:
    """Serve on `host`:`port`; raises OSError when the port is taken."""
    runner = web.AppRunner(application(core), access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


async def _health(request: web.Request) -> web.Response:
    role = request.app[_CORE].leadership.role
    return json_answer({"role": str(role)}, 503 if role is Role.STARTING else 200)


async def _status(request: web.Request) -> web.Response:
    return json_answer(request.app[_CORE].status())


async def _metrics(request: web.Request) -> web.Response:
    core = request.app[_CORE]
    metrics = core.metrics
    metrics.role.set(_ROLES[core.leadership.role])
    metrics.epoch.set(core.replica.epoch)
    metrics.applied_seq.set(core.replica.market.seq)
    metrics.stream_seq.set(core.replica.position)
    metrics.lease_age.set(core.leadership.age(core.now()))
    return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": "text/plain; version=0.0.4"})


async def _watermark(request: web.Request) -> web.Response:
    core = request.app[_CORE]
    market = core.replica.market
    return json_answer(
        {
            "instance": core.name,
            "role": str(core.leadership.role),
            "epoch": core.replica.epoch,
            "seq": market.seq,
            "hash": market.hash.hex(),
        }
    )


async def _hashes(request: web.Request) -> web.Response:
    hashes = request.app[_CORE].replica.market.hashes
    return json_answer({"every": HASH_EVERY, "hashes": {str(seq): value for seq, value in hashes.items()}})


async def _journal(request: web.Request) -> web.StreamResponse:
    first, last = _bounds(request)
    return await _stream(request, request.app[_CORE].replica.market.journal.rows(first, last))


async def _fills(request: web.Request) -> web.StreamResponse:
    first, last = _bounds(request)
    return await _stream(request, request.app[_CORE].replica.market.fills(first, last))


def _bounds(request: web.Request) -> tuple[int, int | None]:
    """The query's `from` and `to`, both included."""
    try:
        first = int(request.query.get("from", "1"))
        last = int(request.query["to"]) if "to" in request.query else None
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"from and to are command sequences: {error}") from error
    return first, last


async def _stream(request: web.Request, rows: Iterable[_Row]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    iterator: Iterator[_Row] = iter(rows)
    while part := list(islice(iterator, _ROWS_A_SLICE)):
        await response.write(b"".join(orjson.dumps(row.as_dict()) + b"\n" for row in part))
        await asyncio.sleep(0)
    await response.write_eof()
    return response
