"""One pod from the moment it is bound to a node until the API server may forget it."""

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from sandbox.errors import BadUse, Refused
from sandbox.kube import podstatus
from sandbox.kube.api import CONFLICT, NOT_FOUND, STRATEGIC, Api, ApiError, Object
from sandbox.kube.places import Places
from sandbox.kube.podspec import Liveness, liveness_of, owner_of, to_pod
from sandbox.kube.slots import Slots
from sandbox.names import certify
from sandbox.nats import write_config
from sandbox.node.instance import Children, Instance
from sandbox.node.nodes import Node
from sandbox.node.readiness import is_ready
from sandbox.node.resolve import Resolver, Runnable
from sandbox.node.wan import Wan
from sandbox.topology import BUS
from sandbox.truth.log import TruthLog

HOST_IP = "127.0.0.1"
_BEAT_S = 1.0  # how often a status is looked at without a reason: a process may be stopped by anybody's signal
_RETRY_S = 0.2
_LINKS = "links"
_BUS_PORTS = {"client", "routes", "http"}


class PodInstance(Instance):
    """An instance that is a pod; tells its pod of every change."""

    def __init__(self, spec: Runnable, children: Children, truth: TruthLog, pod: str | None, node: str | None) -> None:
        super().__init__(spec, children, truth)
        self.pod = pod
        self.node = node
        self.tell: Callable[[], None] = _nobody
        self.starts: list[int] = []

    def changed(self) -> None:
        """Wake whoever reports."""
        self.tell()

    async def _start(self) -> bool:
        self.starts.append(_size(self.spec))  # where in the log, which others have written to before, this one begins
        return await super()._start()

    def view(self) -> dict[str, Any]:
        """As every instance's, with pod and node."""
        return {**super().view(), "pod": self.pod, "node": self.node}


class KubeNode(Node):
    """A node of the API server; `power` is set while it is on."""

    def __init__(self, name: str, zone: str | None, region: str | None) -> None:
        super().__init__(name, zone or "", region, [])
        self.here: list[Instance] = []
        self.instances = self.here
        self.power = asyncio.Event()
        self.power.set()
        self.fresh = False

    async def switch(self, on: bool) -> None:
        """Give or take the power; without it nothing of it speaks to the API server either."""
        if on and not self.powered:
            for instance in self.here:
                instance.restarts += 1
        if on:
            self.fresh = True  # a kubelet that starts registers its node, also where somebody has deleted that
            self.power.set()
        else:
            self.power.clear()
        await super().switch(on)


class Keeper(Protocol):
    """What a pod needs of the agent that runs it."""

    api: Api
    slots: Slots
    places: Places
    resolver: Resolver
    children: Children
    truth: TruthLog
    instances: dict[str, Instance]

    def vacate(self, name: str, spec: Runnable) -> None:
        """Show that no pod is at this instance any more."""

    def freed(self) -> None:
        """Tell the pods that wait that a slot is free."""


class PodRun:
    """Places a pod, keeps its process, reports its status, and ends it when it is deleted."""

    def __init__(self, keeper: Keeper, pod: Object, node: KubeNode) -> None:
        meta = pod["metadata"]
        self.uid: str = meta["uid"]
        self.name = f"{meta['namespace']}/{meta['name']}"
        self.path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        self.pod = pod
        self.node = node
        self.instance: PodInstance | None = None
        self.wake = asyncio.Event()
        self._keeper = keeper
        self._gone = False
        self._told = podstatus.Told()
        self._reported: Object | None = None
        self._refusal: tuple[str, str] | None = None

    @property
    def leaving(self) -> bool:
        """Whether it was deleted, gracefully or at once."""
        return self._gone or bool(self.pod["metadata"].get("deletionTimestamp"))

    def update(self, pod: Object) -> None:
        """What the API server knows of it now; where that is not what was reported, it is reported again."""
        self.pod = pod
        if self._reported and not _says(pod, self._reported):
            self._reported = None
        if self.leaving:
            self._keeper.slots.leave(self.uid)
        self.wake.set()

    def remove(self) -> None:
        """The API server has forgotten it: its process ends at once."""
        self._gone = True
        self._keeper.slots.leave(self.uid)
        if self.instance:
            self.instance.end()
        self.wake.set()

    async def run(self) -> None:
        """All of its life; cancelled, it leaves its process to whoever ends the sandbox."""
        slot = await self._slot()
        if slot:
            try:
                await self._live(*slot)
            finally:
                self._keeper.slots.release(self.uid)
                self._keeper.freed()
        if not self._gone:
            await self._forget()

    async def _slot(self) -> tuple[str, int] | None:
        while not self.leaving:
            if slot := self._keeper.slots.take(self.uid, owner_of(self.pod)):
                return slot
            await self._wait()
        return None

    async def _live(self, name: str, ordinal: int) -> None:
        keeper = self._keeper
        try:
            spec = await self._prepare(name, ordinal)
        except (BadUse, Refused) as error:
            self._refusal = ("CreateContainerConfigError", str(error))
            await self._report_until_deleted()
            await keeper.places.close(name)
            return
        pod_name = self.pod["metadata"]["name"]
        self.instance = PodInstance(spec, keeper.children, keeper.truth, pod_name, self.node.name)
        self.instance.tell = self.wake.set
        if spec.service == _LINKS:
            self.instance.make_ready = Wan(keeper.resolver.described).slow_down
        self.instance.set_power(self.node.powered)
        keeper.instances[name] = self.instance
        self.node.here.append(self.instance)
        tasks = [asyncio.create_task(self.instance.run())]
        if liveness := liveness_of(self.pod):
            tasks.append(asyncio.create_task(self._watch_liveness(liveness)))
        try:
            await self._report_until_deleted()
            await self._end()
        finally:
            for task in tasks:
                task.cancel()
        self.node.here.remove(self.instance)
        keeper.vacate(name, spec)
        await keeper.places.close(name)
        if not owner_of(self.pod).keeps:
            shutil.rmtree(spec.cwd, ignore_errors=True)

    async def _prepare(self, name: str, ordinal: int) -> Runnable:
        keeper = self._keeper
        box = keeper.resolver.box
        pod = to_pod(self.pod, name, self.node.zone or None, self.node.region, ordinal)
        await keeper.places.open(pod)
        volume = box.data / name
        if not owner_of(self.pod).keeps:
            shutil.rmtree(volume, ignore_errors=True)
        volume.mkdir(parents=True, exist_ok=True)
        if pod.service == BUS and pod.ports.keys() >= _BUS_PORTS:
            described = {"instances": list(keeper.places.rows.values()), "links": keeper.places.links}
            write_config(described, name, pod.zone, box.conf, box.data)
        certify(box.conf / "tls", pod, keeper.places.rows[name]["host"])
        return keeper.resolver.runnable(pod)

    async def _report_until_deleted(self) -> None:
        while not self.leaving:
            await self._report()
            await self._wait()

    async def _report(self) -> None:
        if not self.node.powered:
            self._reported = None  # what was said before may have been overruled meanwhile
            return
        status = self._status()
        if status == self._reported:
            return
        try:
            await self._keeper.api.patch(
                f"{self.path}/status", {"metadata": {"uid": self.uid}, "status": status}, STRATEGIC
            )
            self._reported = status
        except ApiError as error:
            if error.status not in (NOT_FOUND, CONFLICT):  # else it is gone, and the watch will say so
                await asyncio.sleep(_RETRY_S)
                self.wake.set()

    def _status(self) -> Object:
        if self.instance is None:
            reason, message = self._refusal or ("ContainerCreating", "")
            return podstatus.waiting(self.pod, self._told, reason, message)
        pod_ip = self._keeper.places.address(self.instance.spec.name).pod_ip
        return podstatus.running(self.pod, self._told, self.instance.view(), pod_ip, HOST_IP)

    async def _watch_liveness(self, liveness: Liveness) -> None:
        instance = self.instance
        assert instance is not None
        probe, port = liveness.probe, self._keeper.resolver.ports[instance.spec.name].get(liveness.probe.port)
        failures, pid, began = 0, None, time.monotonic()
        while port is not None:
            await asyncio.sleep(probe.period_s)
            if (now := instance.view()["pid"]) != pid:
                failures, pid, began = 0, now, time.monotonic()
            if pid is None or time.monotonic() - began < liveness.delay_s:
                continue
            alive = await is_ready(instance.spec.host, port, probe.path, probe.timeout_s)
            failures = 0 if alive else failures + 1
            if failures >= liveness.failures:
                failures = 0
                await self._restart(instance)

    async def _restart(self, instance: PodInstance) -> None:
        """End the process as a kubelet does, first asked, then forced; its loop starts it again."""
        proc = instance.view()["pid"]
        await instance.kill(signal.SIGTERM, hold=False)
        deadline = time.monotonic() + instance.spec.grace_s
        while instance.view()["pid"] == proc and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if instance.view()["pid"] == proc:
            await instance.kill(signal.SIGKILL, hold=False)

    async def _end(self) -> None:
        instance = self.instance
        assert instance is not None
        if not self._gone and self.node.powered:
            grace = self.pod["metadata"].get("deletionGracePeriodSeconds")
            instance.spec = replace(instance.spec, grace_s=instance.spec.grace_s if grace is None else float(grace))
        elif instance.alive:
            instance.end()
        await instance.stop()

    async def _forget(self) -> None:
        """Tell the API server that nothing of it is left, as soon as the node has power."""
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self.uid}}
        while not self._gone:
            await self.node.power.wait()
            try:
                await self._keeper.api.delete(self.path, options)
                return
            except ApiError as error:
                if error.status in (NOT_FOUND, CONFLICT):
                    return
                await asyncio.sleep(_RETRY_S)

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.wake.wait(), _BEAT_S)
        self.wake.clear()


def _says(pod: Object, reported: Object) -> bool:
    """Whether the API server still has the readiness that was reported to it."""
    said = {row["type"]: row["status"] for row in pod.get("status", {}).get("conditions") or ()}
    meant = {row["type"]: row["status"] for row in reported["conditions"]}
    return all(said.get(kind) == status for kind, status in meant.items())


def _size(spec: Runnable) -> int:
    try:
        return spec.log.stat().st_size
    except OSError:
        return 0


def _nobody() -> None:
    """Nobody is told."""
