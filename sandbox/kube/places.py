"""Addresses and links of instances: those laid out by `up`, and those that a workload gets when it is scaled up.

Kubernetes refuses loopback addresses of pods. So a pod reports one of 10.244.0.0/16, and whoever wants to reach it
asks the agent for the address of its process (GET /resolve).
"""

import itertools
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout

from sandbox.home import Box
from sandbox.links import HOST, WAN, Link, pairs
from sandbox.node.pods import Pod
from sandbox.node.resolve import Resolver
from sandbox.ports import allocate, is_free
from sandbox.topology import described_instance

type Row = dict[str, Any]

_EXTRA_NET = "127.100"
_POD_NET = "10.244"


@dataclass(frozen=True)
class Address:
    """Where one instance is: the address Kubernetes is told, and the real one."""

    pod_ip: str
    host: str


class Places:
    """All instances with their rows of `describe`, their links and addresses."""

    def __init__(self, box: Box, described: Mapping[str, Any], pods: list[Pod], resolver: Resolver) -> None:
        self.rows: dict[str, Row] = {row["name"]: dict(row) for row in described["instances"]}
        self.links: list[Row] = [dict(link) for link in described["links"]]
        self._box = box
        self._toxiproxy: str | None = described["toxiproxy"]
        self._pods = {pod.name: pod for pod in pods}
        self._resolver = resolver
        self._numbers = itertools.count(1)
        self._extra = itertools.count(1)
        self._ips = {name: self._next_ip() for name in self.rows}

    def laid_out(self, name: str) -> bool:
        """Whether `up` knew this instance, so that it stays known while no pod is there."""
        return name in self._pods

    def address(self, name: str) -> Address:
        """Where an instance is."""
        return Address(self._ips[name], self.rows[name]["host"])

    def by_ip(self, pod_ip: str) -> str | None:
        """The instance that reports this address."""
        return next((name for name, ip in self._ips.items() if ip == pod_ip), None)

    async def open(self, pod: Pod) -> None:
        """Give addresses and links to an instance that has none yet. Raises BadUse for a dial that leads nowhere."""
        if pod.name in self.rows:
            return
        others = [*self._pods.values(), pod]
        asked = [pair for pair in pairs(others) if pod in pair[:2]]
        host, ports = self._give(pod)
        self.rows[pod.name] = described_instance(pod, host, ports)
        self._ips[pod.name] = self._next_ip()
        self._resolver.hosts[pod.name], self._resolver.ports[pod.name] = host, ports
        listen = allocate(len(asked)) if asked else []
        new = [
            Link(
                name=f"{source.name}>{target.name}",
                source=source.name,
                target=target.name,
                group=group,
                listen=f"{HOST}:{number}",
                upstream=f"{self.rows[target.name]['host']}:{self.rows[target.name]['ports'][port]}",
            ).described()
            for (source, target, group, port), number in zip(asked, listen, strict=True)
        ]
        self.links += new
        self._resolver.links[:] = self.links
        await self._tell("POST", new)

    async def close(self, name: str) -> None:
        """Forget an instance that `up` did not lay out, and its links."""
        if self.laid_out(name) or name not in self.rows:
            return
        gone = [link for link in self.links if name in (link["from"], link["to"])]
        self.links = [link for link in self.links if link not in gone]
        self._resolver.links[:] = self.links
        for table in (self.rows, self._ips, self._resolver.hosts, self._resolver.ports):
            table.pop(name, None)
        await self._tell("DELETE", gone)

    def _give(self, pod: Pod) -> tuple[str, dict[str, int]]:
        own = pod.has_own_host and sys.platform == "linux"
        number = next(self._extra)
        host = f"{_EXTRA_NET}.{number >> 8}.{number & 255}" if own else HOST
        alike = next((row for row in self.rows.values() if self._is_alike(row, pod)), None)
        if own and alike and all(is_free(port, host) for port in alike["ports"].values()):
            return host, dict(alike["ports"])  # one number for a port of a service, whichever pod it is
        fresh = [name for name in pod.ports if name not in pod.pinned]
        return host, {**pod.pinned, **dict(zip(fresh, allocate(len(fresh), (host,)), strict=True))}

    @staticmethod
    def _is_alike(row: Row, pod: Pod) -> bool:
        same = row["service"] == pod.service and row["region"] == pod.region and row["host"] != HOST
        return bool(same and set(row["ports"]) == set(pod.ports))

    def _next_ip(self) -> str:
        number = next(self._numbers)
        return f"{_POD_NET}.{number >> 8}.{number & 255}"

    async def _tell(self, method: str, links: list[Row]) -> None:
        """Write the file from which Toxiproxy starts, and tell the one that runs; it may just be away."""
        keys = ("name", "listen", "upstream")
        rows = [{**{key: link[key] for key in keys}, "enabled": link["group"] != WAN} for link in self.links]
        (self._box.conf / "toxiproxy.json").write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        if not (links and self._toxiproxy):
            return
        changed = {link["name"] for link in links}
        async with ClientSession(timeout=ClientTimeout(total=2)) as session:
            for name in sorted(changed):
                path = "/proxies" if method == "POST" else f"/proxies/{name}"
                body = next((row for row in rows if row["name"] == name), None)
                try:
                    async with session.request(method, self._toxiproxy + path, json=body):
                        pass
                except (ClientError, TimeoutError, OSError):
                    return  # when it is back it reads the file
