"""The topology of one sandbox: its pods with their ports, links and files, as state.json keeps it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.errors import Refused
from sandbox.home import Box
from sandbox.links import HOST, Link, build, pairs
from sandbox.node.pods import Pod
from sandbox.ports import allocate, is_free

_HTTP_PORTS = ("http", "api")
_AUDITED = "matching-engine"
_ENTRANCE = "gateway"


@dataclass(frozen=True)
class Topology:
    """Pods, the loopback port of each port name of each pod, the agent's own port, and the links."""

    pods: tuple[Pod, ...]
    ports: Mapping[str, Mapping[str, int]]
    agent_port: int
    links: tuple[Link, ...]

    def of_service(self, service: str) -> list[Pod]:
        """The pods of one service, in order."""
        return [pod for pod in self.pods if pod.service == service]

    def addresses(self, service: str, port: str) -> list[str]:
        """ "host:port" of one port of every pod of a service that has it."""
        return [
            f"{HOST}:{self.ports[pod.name][port]}" for pod in self.of_service(service) if port in self.ports[pod.name]
        ]

    def links_from(self, name: str) -> list[Link]:
        """The links that one pod dials."""
        return [link for link in self.links if link.source == name]


def lay_out(pods: Sequence[Pod]) -> Topology:
    """Give every pod and link its ports; raises Refused when a pinned port is in use, BadUse for a dangling dial."""
    pinned = {port: (pod.name, name) for pod in pods for name, port in pod.pinned.items()}
    for port, (pod_name, name) in pinned.items():
        if not is_free(port):
            raise Refused(f"{pod_name}: port {port} ({name}) is in use; free it, or take hostPort out of the manifest")
    wanted = [(pod.name, name) for pod in pods for name in pod.ports if name not in pod.pinned]
    links = len(pairs(pods))
    given = allocate(1 + len(wanted) + links, frozenset(pinned))
    ports: dict[str, dict[str, int]] = {pod.name: dict(pod.pinned) for pod in pods}
    for (pod_name, name), port in zip(wanted, given[1:], strict=False):
        ports[pod_name][name] = port
    return Topology(tuple(pods), ports, given[0], tuple(build(pods, ports, given[1 + len(wanted) :])))


def describe(topology: Topology, box: Box, box_id: str, versions: Mapping[str, str], planted: bool) -> dict[str, Any]:
    """The sandbox as `describe` prints it: addresses and names, never a secret, never what was planted."""
    regions: dict[str, dict[str, list[str]]] = {}
    for pod in topology.pods:
        if pod.region and pod.zone:
            zones = regions.setdefault(pod.region, {"zones": []})["zones"]
            if (zone := pod.zone.removeprefix(f"{pod.region}-")) not in zones:
                zones.append(zone)
    toxiproxy = topology.addresses("links", "api")
    return {
        "state": "starting",
        "id": box_id,
        "dir": str(box.root),
        "agent": f"http://{HOST}:{topology.agent_port}",
        "toxiproxy": f"http://{toxiproxy[0]}" if toxiproxy else None,
        "truth_dir": str(box.truth),
        "logs_dir": str(box.logs),
        "secret_file": str(box.secret_file),
        "planted": planted,
        "regions": regions,
        "instances": [_instance(pod, topology.ports[pod.name]) for pod in topology.pods],
        "links": [link.described() for link in topology.links],
        "venue": {
            "type": "sandbox",
            "rest": [f"http://{address}" for address in topology.addresses(_ENTRANCE, "http")],
            "ws": [f"ws://{address}/v5/trade" for address in topology.addresses(_ENTRANCE, "ws")],
            "binary": [f"tcp://{address}" for address in topology.addresses(_ENTRANCE, "binary")],
            "audit": [f"http://{address}" for address in topology.addresses(_AUDITED, "http")],
            "secret_file": str(box.secret_file),
        },
        "versions": dict(versions),
    }


def _instance(pod: Pod, ports: Mapping[str, int]) -> dict[str, Any]:
    http = next((ports[name] for name in _HTTP_PORTS if name in ports), None)
    return {
        "name": pod.name,
        "service": pod.service,
        "zone": pod.zone,
        "region": pod.region,
        "http": f"http://{HOST}:{http}" if http else None,
        "ports": dict(ports),
    }
