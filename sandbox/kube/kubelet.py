"""The node agent as the kubelet of every node: pods come from the API server, and it hears how they are.

Beside the routes of every agent it serves GET /describe (instances and links as they are now) and GET /resolve/NAME
(a service or the address of a pod → the loopback addresses of the processes behind it).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.httpserve import json_answer
from sandbox.kube.api import Api, ApiError, Object
from sandbox.kube.control import Cluster
from sandbox.kube.nodes import Nodes
from sandbox.kube.places import Places
from sandbox.kube.podlogs import PodLogs
from sandbox.kube.podrun import KubeNode, PodInstance, PodRun
from sandbox.kube.slots import Slots
from sandbox.node.instance import Children, Desired, Instance
from sandbox.node.resolve import Resolver, Runnable
from sandbox.node.workloads import load_file, load_workloads
from sandbox.truth.log import TruthLog

_BOUND = "spec.nodeName!="
_PODS = "/api/v1/pods"
_AGAIN_S = 0.2


class NoPod(PodInstance):
    """An instance whose pod is away: nothing runs, and nothing can be done to it."""

    def __init__(self, spec: Runnable, children: Children, truth: TruthLog) -> None:
        super().__init__(replace(spec, zone=None), children, truth, None, None)
        self.desired = Desired.STOP

    @property
    def phase(self) -> str:
        """Neither stopped nor held by anybody."""
        return "absent"

    async def start(self) -> None:
        """Nothing: a pod comes when the API server says so."""


class Kubelet:
    """Runs the pods of all nodes; `instances` and `nodes` are the agent's own tables, kept up to date."""

    def __init__(
        self,
        described: Mapping[str, Any],
        manifests: list[Path],
        resolver: Resolver,
        instances: dict[str, Instance],
        children: Children,
        truth: TruthLog,
    ) -> None:
        workloads = [one for path in manifests for one in load_workloads(path)]
        pods = [pod for path in manifests for pod in load_file(path)]
        self.resolver = resolver
        self.instances = instances
        self.children = children
        self.truth = truth
        self.slots = Slots(
            {one.name: one.replicas for one in workloads},
            {one.name for one in workloads if one.slot_name(0) == one.name},
        )
        self.places = Places(resolver.box, described, pods, resolver)
        for pod in pods:
            self.vacate(pod.name, resolver.runnable(pod))
        self.logs = PodLogs(self._named)
        self._described = described
        self._runs: dict[str, PodRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, cluster: Cluster) -> None:
        """Register the nodes and answer on the kubelet's port; raises ApiError, OSError."""
        self.api = Api(cluster.server, cluster.papers.ca.read_text(), cluster.papers.agent_token)
        port = await self.logs.start(cluster.papers)
        self.nodes = Nodes(self.api, self._described, port)
        await self.nodes.register()

    async def run(self) -> None:
        """Renew leases and run what the API server binds to the nodes, until cancelled; then no process is touched."""
        ours = [asyncio.create_task(self.nodes.keep()), asyncio.create_task(self._follow_for_ever())]
        try:
            await asyncio.wait([*ours, self.failed], return_when=asyncio.FIRST_COMPLETED)
            for done in (*ours, self.failed):
                if done.done():
                    done.result()
        finally:
            for task in (*ours, *self._tasks):
                task.cancel()
            await self.logs.stop()
            await self.api.__aexit__(None, None, None)

    def vacate(self, name: str, spec: Runnable) -> None:
        """Show that no pod is at this instance any more."""
        if self.places.laid_out(name):
            self.instances[name] = NoPod(spec, self.children, self.truth)
        else:
            self.instances.pop(name, None)

    def freed(self) -> None:
        """Let those that wait for a slot look again."""
        for run in self._runs.values():
            run.wake.set()

    def add_routes(self, app: web.Application) -> None:
        """Serve /describe and /resolve."""
        app.router.add_get("/describe", self._describe)
        app.router.add_get("/resolve/{name}", self._resolve)

    async def _follow_for_ever(self) -> None:
        while True:
            try:
                await self._follow()
            except ApiError:  # away, or our version is too old: everything is listed again
                await asyncio.sleep(_AGAIN_S)

    async def _follow(self) -> None:
        listed = await self.api.get(_PODS, fieldSelector=_BOUND)
        there = {pod["metadata"]["uid"]: pod for pod in listed["items"]}
        for uid, run in list(self._runs.items()):
            if uid not in there:
                run.remove()
        for pod in there.values():
            self._see("MODIFIED", pod)
        async for kind, pod in self.api.watch(_PODS, listed["metadata"]["resourceVersion"], fieldSelector=_BOUND):
            self._see(kind, pod)

    def _see(self, kind: str, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        run = self._runs.get(uid)
        if run is not None:
            run.update(pod)
            if kind == "DELETED":
                run.remove()
        elif kind != "DELETED" and (node := self.nodes.all.get(pod["spec"]["nodeName"])):
            self._begin(pod, node)

    def _begin(self, pod: Object, node: KubeNode) -> None:
        if pod["status"].get("phase") in ("Succeeded", "Failed") and not pod["metadata"].get("deletionTimestamp"):
            return
        run = PodRun(self, pod, node)
        self._runs[run.uid] = run
        task = asyncio.create_task(run.run())
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._over(run.uid, done))

    def _over(self, uid: str, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._runs.pop(uid, None)
        if not task.cancelled() and (error := task.exception()) and not self.failed.done():
            self.failed.set_exception(error)  # a disk that is full, for one: the sandbox goes down

    def _named(self, namespace: str, pod: str) -> PodInstance | None:
        name = f"{namespace}/{pod}"
        return next((run.instance for run in self._runs.values() if run.name == name), None)

    async def _describe(self, _: web.Request) -> web.Response:
        rows = []
        for name, instance in self.instances.items():
            view = instance.view()
            row = {**self.places.rows[name], "zone": view["zone"], "pod": view["pod"], "node": view["node"]}
            rows.append(row)
        return json_answer({"instances": rows, "links": self.places.links})

    async def _resolve(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        found = self.places.by_ip(name)
        names = [found] if found else await self._of_service(name)
        if names is None:
            raise web.HTTPNotFound(text=f"{name!r} is neither a service nor the address of a pod")
        rows = [self.places.rows[one] for one in names]
        return json_answer(
            {
                "name": name,
                "addresses": [row["host"] for row in rows],
                "endpoints": [{key: row[key] for key in ("name", "host", "ports")} for row in rows],
            }
        )

    async def _of_service(self, name: str) -> list[str] | None:
        """The ready instances behind a service: its name, NAME.NAMESPACE…, or its cluster address."""
        services = (await self.api.get("/api/v1/services"))["items"]
        words = [*name.split("."), *self._default_namespace(name)]
        for service in services:
            meta, spec = service["metadata"], service["spec"]
            if name != spec.get("clusterIP") and [meta["name"], meta["namespace"]] != words[:2]:
                continue
            selector = (spec.get("selector") or {}).items()
            ready = [
                run.instance.spec.name
                for run in self._runs.values()
                if run.instance
                and run.name.startswith(f"{meta['namespace']}/")
                and selector <= (run.pod["metadata"].get("labels") or {}).items()
                and (run.instance.view()["ready"] or spec.get("publishNotReadyAddresses"))
            ]
            return sorted(ready)
        return None

    @staticmethod
    def _default_namespace(name: str) -> list[str]:
        return ["exchange"] if "." not in name else []
