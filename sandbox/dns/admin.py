"""The resolver's operators' side, over HTTP: records, faults, health, metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from sandbox.dns.zone import Zone
from sandbox.errors import BadUse, SandboxError
from sandbox.httpserve import errors_as_json, json_answer

Save = Callable[[], None]


class DnsMetrics:
    """Counters of one resolver in a registry of their own."""

    def __init__(self, zone: Zone) -> None:
        self._registry = CollectorRegistry()
        self._queries = Counter("dns_queries", "Questions, by what they were told", ["answer"], registry=self._registry)
        faults = Gauge("dns_faults", "Faults that stand now", registry=self._registry)
        faults.set_function(lambda: len(zone.faults))
        records = Gauge("dns_records", "Records of the zone", registry=self._registry)
        records.set_function(lambda: len(zone.records))

    def count(self, word: str) -> None:
        """One more question, told `word`: an rcode, or silent."""
        self._queries.labels(word).inc()

    def text(self) -> bytes:
        """The exposition text."""
        return generate_latest(self._registry)


class Admin:
    """Handlers over one zone; `save` is called after every change of a record and may raise OSError."""

    def __init__(self, zone: Zone, metrics: DnsMetrics, save: Save, instance: str) -> None:
        self._zone, self._metrics, self._write, self._instance = zone, metrics, save, instance

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[errors_as_json])
        app.add_routes(
            [
                web.get("/records", self.records),
                web.get("/records/{name}", self.record),
                web.put("/records/{name}", self.put),
                web.delete("/records/{name}", self.remove),
                web.get("/faults", self.faults),
                web.post("/faults/{key}", self.begin),
                web.delete("/faults/{key}", self.end),
                web.get("/healthz", self.healthz),
                web.get("/status", self.status),
                web.get("/metrics", self.metrics),
            ]
        )
        return app

    async def records(self, _request: web.Request) -> web.Response:
        """GET /records: all, by name."""
        return json_answer({name: record.shown() for name, record in sorted(self._zone.records.items())})

    async def record(self, request: web.Request) -> web.Response:
        """GET /records/NAME."""
        found = self._zone.records.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound(text=f"no record {request.match_info['name']}")
        return json_answer(found.shown())

    async def put(self, request: web.Request) -> web.Response:
        """PUT /records/NAME {type, ttl, values, weights}."""
        made = self._zone.put(request.match_info["name"], await _body(request))
        self._save()
        return json_answer(made.shown())

    async def remove(self, request: web.Request) -> web.Response:
        """DELETE /records/NAME."""
        if not self._zone.remove(request.match_info["name"]):
            raise web.HTTPNotFound(text=f"no record {request.match_info['name']}")
        self._save()
        return json_answer({})

    def _save(self) -> None:
        try:
            self._write()
        except OSError as error:
            raise SandboxError(f"the record is valid now but could not be written down: {error}") from error

    async def faults(self, _request: web.Request) -> web.Response:
        """GET /faults: all, by key."""
        return json_answer({key: fault.shown() for key, fault in sorted(self._zone.faults.items())})

    async def begin(self, request: web.Request) -> web.Response:
        """POST /faults/KEY {mode, name}."""
        return json_answer(self._zone.begin(request.match_info["key"], await _body(request)).shown())

    async def end(self, request: web.Request) -> web.Response:
        """DELETE /faults/KEY; one that is not there is fine."""
        return json_answer({"ended": self._zone.end(request.match_info["key"])})

    async def healthz(self, _request: web.Request) -> web.Response:
        """200 while it lives, whatever is wrong with its answers."""
        return web.Response(text="ok\n")

    async def status(self, _request: web.Request) -> web.Response:
        """Who we are."""
        zone = self._zone
        return json_answer({"instance": self._instance, "zone": zone.origin, "serial": zone.serial})

    async def metrics(self, _request: web.Request) -> web.Response:
        """Prometheus exposition."""
        return web.Response(body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})


async def _body(request: web.Request) -> Any:  # noqa: ANN401 - any JSON
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise BadUse(f"{request.path}: the body is no JSON: {error}") from error
