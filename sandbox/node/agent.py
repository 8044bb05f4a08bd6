"""The node agent: owns the processes of one sandbox, and does to them over HTTP what faults ask for.

Loopback only: GET /metrics, /instances, /instances/NAME, /instances/NAME/metrics (order bus);
POST /instances/NAME/{kill,release,pause,resume,stop,start}; POST /instances/NAME/override, DELETE …/override/KEY;
GET /nodes, POST /nodes/NAME/{off,on}. Every POST answers the instance (or node) after the act and may be repeated;
one that says under which tag it was sent is refused (410) where that is over (sandbox/node/over.py).
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import orjson
import psutil
from aiohttp import ClientError, ClientSession, ClientTimeout, web

from sandbox.errors import BadUse
from sandbox.home import Box, write_json
from sandbox.httpserve import errors_as_json, json_answer
from sandbox.links import HOST
from sandbox.node import overrides
from sandbox.node.bus_metrics import bus_metrics_text
from sandbox.node.instance import Children, Instance
from sandbox.node.nodes import add_routes, nodes_of
from sandbox.node.over import Over
from sandbox.node.pods import Pod
from sandbox.node.processes import end_all, same_process
from sandbox.node.resolve import Resolver
from sandbox.node.wan import Wan
from sandbox.truth.log import TruthLog

_OWNER_POLL_S = 0.25


class Beside(Protocol):
    """What may run beside an agent's own instances and end with it."""

    def add_routes(self, app: web.Application) -> None:
        """Serve what it has on the agent's address."""

    async def run(self) -> None:
        """All of its work, until cancelled; an error takes the sandbox down."""


class Agent:
    """All instances of one sandbox, their HTTP face, and their common end."""

    def __init__(self, box: Box, pods: list[Pod], resolver: Resolver) -> None:
        self.children = Children(box.children_file)
        self.truth = TruthLog(box.truth / "agent.ndjson")
        self.box = box
        self.instances = {pod.name: Instance(resolver.runnable(pod), self.children, self.truth) for pod in pods}
        for instance in self.instances.values():
            if instance.spec.service == "links":
                instance.make_ready = Wan(resolver.described).slow_down
        self.nodes = nodes_of(self.instances.values())
        self.beside: list[Beside] = []
        self.facts: dict[str, Any] = {}
        self.over = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []

    async def serve(self, port: int, owner: psutil.Process | None) -> None:
        """Start every instance and answer until SIGTERM, SIGINT or the owner's death; then end every instance.

        Raises OSError when the port is taken.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.over.set)
        runner = web.AppRunner(self._routes(), access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, HOST, port).start()
        me = psutil.Process()
        self._loops = [asyncio.create_task(instance.run()) for instance in self.instances.values()]
        self._loops += [asyncio.create_task(one.run()) for one in self.beside]
        write_json(self.box.agent_file, {"pid": me.pid, "start_time": me.create_time(), "port": port, **self.facts})
        for task in self._loops:
            task.add_done_callback(self._loop_ended)
        watch = asyncio.create_task(self._watch_owner(owner)) if owner else None
        await self.over.wait()
        if watch:
            watch.cancel()
        self.end()
        await runner.cleanup()
        self.box.sweep()

    def end(self) -> None:
        """Kill every process and wait for it; no restart after that."""
        for task in self._loops:
            task.cancel()
        left = end_all(process for instance in self.instances.values() if (process := instance.end()))
        for process in left:
            say(f"pid {process.pid} did not end after SIGKILL")

    def _loop_ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()):  # a disk that is full, for one
            self.over.set()
            say(f"a loop failed: {error!r}; the sandbox goes down")

    async def _watch_owner(self, owner: psutil.Process) -> None:
        start = owner.create_time()
        while same_process(owner.pid, start):
            await asyncio.sleep(_OWNER_POLL_S)
        say(f"owner {owner.pid} is gone: the sandbox goes down")
        self.over.set()

    def _routes(self) -> web.Application:
        app = web.Application(middlewares=[errors_as_json, Over().look])
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/instances", self._list)
        app.router.add_get("/instances/{name}", self._show)
        app.router.add_get("/instances/{name}/metrics", self._bus_metrics)
        app.router.add_post("/instances/{name}/override", self._override)
        app.router.add_delete("/instances/{name}/override/{key}", self._clear_override)
        app.router.add_post("/instances/{name}/{act}", self._do)
        add_routes(app, self.nodes)
        for one in self.beside:
            one.add_routes(app)
        return app

    async def _list(self, _: web.Request) -> web.Response:
        return json_answer([instance.view() for instance in self.instances.values()])

    async def _metrics(self, _: web.Request) -> web.Response:
        rows = [instance.view() for instance in self.instances.values()]
        return web.Response(text=metrics_text(rows), content_type="text/plain")

    async def _show(self, request: web.Request) -> web.Response:
        return json_answer(self._named(request).view())

    async def _bus_metrics(self, request: web.Request) -> web.Response:
        spec = self._named(request).spec
        if spec.service != "order-bus" or spec.ready_port is None:
            raise web.HTTPNotFound(text=f"{spec.name} serves its own /metrics")
        try:
            async with ClientSession(
                f"http://{spec.host}:{spec.ready_port}", timeout=ClientTimeout(total=1)
            ) as session:
                answers = [await (await session.get(path)).json() for path in ("/varz", "/jsz?streams=true")]
        except (ClientError, TimeoutError) as error:
            raise web.HTTPBadGateway(text=f"{spec.name}: no metrics: {error or type(error).__name__}") from error
        return web.Response(text=bus_metrics_text(spec.name, spec.zone or "", *answers), content_type="text/plain")

    async def _do(self, request: web.Request) -> web.Response:
        instance, act = self._named(request), request.match_info["act"]
        if act == "kill":
            await instance.kill(*await _kill_arguments(request))
        else:
            plain: dict[str, Callable[[], Awaitable[None]]] = {
                "release": instance.start,
                "start": instance.start,
                "stop": instance.stop,
                "pause": instance.pause,
                "resume": instance.resume,
            }
            if act not in plain:
                raise web.HTTPNotFound(text=f"no act {act!r}; there are kill, {', '.join(plain)}")
            await plain[act]()
        return json_answer(instance.view())

    async def _override(self, request: web.Request) -> web.Response:
        instance = self._named(request)
        body = await request.read()
        try:
            asked = orjson.loads(body) if body else None
        except orjson.JSONDecodeError as error:
            raise BadUse(f"override: the body is no JSON: {error}") from error
        await instance.override(*overrides.parse(asked))
        return json_answer(instance.view())

    async def _clear_override(self, request: web.Request) -> web.Response:
        instance = self._named(request)
        await instance.clear_override(request.match_info["key"])
        return json_answer(instance.view())

    def _named(self, request: web.Request) -> Instance:
        name = request.match_info["name"]
        if name not in self.instances:
            raise web.HTTPNotFound(text=f"no instance {name!r}; there are {', '.join(self.instances)}")
        return self.instances[name]


def metrics_text(rows: list[dict[str, Any]]) -> str:
    """Instances in the Prometheus text format: ready (0 or 1) and restarts, by instance, service and zone."""
    lines = ["# TYPE muster_instance_ready gauge", "# TYPE muster_instance_restarts_total counter"]
    for row in rows:
        labels = f'{{instance="{row["name"]}",service="{row["service"]}",zone="{row["zone"] or ""}"}}'
        lines.append(f"muster_instance_ready{labels} {int(row['ready'])}")
        lines.append(f"muster_instance_restarts_total{labels} {row['restarts']}")
    return "\n".join(lines) + "\n"


async def _kill_arguments(request: web.Request) -> tuple[signal.Signals, bool]:
    body = await request.read()
    try:
        asked = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError as error:
        raise BadUse(f"kill: the body is no JSON: {error}") from error
    if not isinstance(asked, dict) or not isinstance(hold := asked.get("hold", False), bool):
        raise BadUse('kill: the body is {"signal": "KILL", "hold": true|false}')
    name = str(asked.get("signal", "KILL")).upper().removeprefix("SIG")
    try:
        return signal.Signals[f"SIG{name}"], hold
    except KeyError:
        raise BadUse(f"kill: no signal {name!r}; KILL and TERM are usual") from None


def say(line: str) -> None:
    """One line to the agent's log."""
    with contextlib.suppress(OSError):  # a full disk must not keep the agent from ending its children
        sys.stderr.write(line + os.linesep)
        sys.stderr.flush()
