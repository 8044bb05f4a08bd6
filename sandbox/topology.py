"""The topology of one sandbox: its pods with their ports, links and files, as state.json keeps it."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.errors import Refused
from sandbox.home import Box
from sandbox.links import HOST, Link, Listens, build, pairs
from sandbox.node.pods import Pod
from sandbox.ports import allocate, is_free

if TYPE_CHECKING:
    from sandbox.netns.plan import Layout

_HTTP_PORTS = ("http", "api")
_AUDITED = "matching-engine"
_ENTRANCE = "gateway"
BUS = "order-bus"
_FIRST_NET = 11


@dataclass(frozen=True)
class Topology:
    """Pods, the address of each, the port of each port name of each, the agent's own port, and the links."""

    pods: tuple[Pod, ...]
    hosts: Mapping[str, str]
    ports: Mapping[str, Mapping[str, int]]
    agent_port: int
    links: tuple[Link, ...]
    netns: "Layout | None" = None

    def of_service(self, service: str) -> list[Pod]:
        """The pods of one service, in order."""
        return [pod for pod in self.pods if pod.service == service]

    def addresses(self, service: str, port: str, region: str | None = None) -> list[str]:
        """ "host:port" of one port of every pod of a service (in `region`) that has it."""
        return [
            f"{self.hosts[pod.name]}:{self.ports[pod.name][port]}"
            for pod in self.of_service(service)
            if port in self.ports[pod.name] and region in (None, pod.region)
        ]

    def regions(self) -> list[str | None]:
        """The regions that have an order bus, in order: the first one holds the original of the order stream."""
        return list(dict.fromkeys(pod.region for pod in self.of_service(BUS)))


def lay_out(pods: Sequence[Pod], netns: "Layout | None" = None) -> Topology:
    """Give every pod and link its ports; raises Refused when a pinned port is in use, BadUse for a dangling dial.

    With `netns` the zones are namespaces that are not there yet: every port of theirs is free.
    """
    hosts = hosts_of(pods) if netns is None else hosts_in(netns, pods)
    pinned = {port: (pod.name, name) for pod in pods for name, port in pod.pinned.items()}
    here = {HOST} if netns is not None else {HOST, *hosts.values()}
    for port, (pod_name, name) in pinned.items():
        if hosts[pod_name] in here and not is_free(port, hosts[pod_name]):
            raise Refused(f"{pod_name}: port {port} ({name}) is in use; free it, or take hostPort out of the manifest")
    wanted = {_shared(pod, hosts[pod.name], name): 0 for pod in pods for name in pod.ports if name not in pod.pinned}
    links = len(pairs(pods))
    given = allocate(1 + len(wanted) + links, tuple(here), frozenset(pinned))
    wanted = dict(zip(wanted, given[1:], strict=False))
    ports = {
        pod.name: {name: pod.pinned.get(name) or wanted[_shared(pod, hosts[pod.name], name)] for name in pod.ports}
        for pod in pods
    }
    listens = _listens(netns, pods, hosts)
    made = tuple(build(pods, hosts, ports, given[1 + len(wanted) :], listens))
    return Topology(tuple(pods), hosts, ports, given[0], made, netns)


def hosts_in(netns: "Layout", pods: Sequence[Pod]) -> dict[str, str]:
    """The address of each pod in the namespace of its zone; one that asks for none, or has no zone, stays outside."""
    hosts: dict[str, str] = {}
    counts: dict[str, int] = {}
    for pod in pods:
        if pod.zone is None or not pod.has_own_host:
            hosts[pod.name] = HOST
            continue
        number = counts[pod.zone] = counts.get(pod.zone, -1) + 1
        hosts[pod.name] = netns.pod(pod.zone, number)
    return hosts


def _listens(netns: "Layout | None", pods: Sequence[Pod], hosts: Mapping[str, str]) -> Listens:
    """Where Toxiproxy listens for a link: on this host, or on what leads from the one zone to the other."""
    inside = {pod.name: pod.zone for pod in pods if pod.zone and hosts[pod.name] != HOST}

    def listens(source: Pod, target: Pod) -> str:
        if netns is None or source.name not in inside:
            return HOST
        here, there = inside[source.name], inside.get(target.name)
        return netns.gate(here) if there is None else netns.pair(here, there)

    return listens


def hosts_of(pods: Sequence[Pod]) -> dict[str, str]:
    """The address of each pod: 127.<region>.<zone>.<pod>, where the machine has them and the pod asks for one."""
    hosts: dict[str, str] = {}
    places: dict[tuple[str | None, str | None], int] = {}
    for pod in pods:
        if sys.platform != "linux" or not pod.has_own_host:  # elsewhere 127.0.0.1 is all there is without root
            hosts[pod.name] = HOST
            continue
        place = (pod.region, pod.zone)
        places[place] = places.get(place, 0) + 1
        regions = list(dict.fromkeys(region for region, _ in places))
        zones = [zone for region, zone in places if region == pod.region]
        numbers = (_FIRST_NET + regions.index(pod.region), 1 + zones.index(pod.zone), places[place])
        hosts[pod.name] = "127." + ".".join(map(str, numbers))
    return hosts


def _shared(pod: Pod, host: str, port: str) -> tuple[str, ...]:
    """What pods must have in common to have one number for a port: their service, each on a host of its own.

    In every region the same: a name that leads elsewhere changes the address, never the port.
    """
    return ("", pod.name, port) if host == HOST else (pod.service, port)


def describe(
    topology: Topology,
    box: Box,
    box_id: str,
    versions: Mapping[str, str],
    planted: bool,
    features: Sequence[str] = (),
) -> dict[str, Any]:
    """The sandbox as `describe` prints it: addresses and names, never a secret, never what was planted."""
    regions: dict[str, dict[str, list[str]]] = {}
    for pod in topology.pods:
        if pod.region and pod.zone:
            zones = regions.setdefault(pod.region, {"zones": []})["zones"]
            if (zone := pod.zone.removeprefix(f"{pod.region}-")) not in zones:
                zones.append(zone)
    toxiproxy = topology.addresses("links", "api")
    described: dict[str, Any] = {
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
        "features": list(features),
        "aws": None,
        "nodes": _nodes(topology.pods),
        "instances": [
            described_instance(pod, topology.hosts[pod.name], topology.ports[pod.name]) for pod in topology.pods
        ],
        "links": [link.described() for link in topology.links],
        "venue": _venue(topology, box),
        "versions": dict(versions),
    }
    if topology.netns is not None:  # others have no such key: what they print stays as it was
        described["netns"] = topology.netns.described()
        described["venue"]["networks"] = [str(topology.netns.network)]
    return described


def _venue(topology: Topology, box: Box) -> dict[str, Any]:
    """Where clients enter: the first region's doors, the record of every engine, and the same by region."""
    regions = topology.regions()
    doors = {region: _doors(topology, region) for region in regions}
    return {
        "type": "sandbox",
        **(doors[regions[0]] if regions else _doors(topology, None)),
        "audit": [f"http://{address}" for address in topology.addresses(_AUDITED, "http")],
        "secret_file": str(box.secret_file),
        "regions": {region: found for region, found in doors.items() if region},
    }


def _doors(topology: Topology, region: str | None) -> dict[str, list[str]]:
    return {
        "rest": [f"http://{address}" for address in topology.addresses(_ENTRANCE, "http", region)],
        "ws": [f"ws://{address}/v5/trade" for address in topology.addresses(_ENTRANCE, "ws", region)],
        "binary": [f"tcp://{address}" for address in topology.addresses(_ENTRANCE, "binary", region)],
        "audit": [f"http://{address}" for address in topology.addresses(_AUDITED, "http", region)],
    }


def _nodes(pods: Sequence[Pod]) -> list[dict[str, str | None]]:
    """A node for each zone that has instances, and its name."""
    zones = {pod.zone: pod.region for pod in pods if pod.zone}
    return [{"name": zone, "zone": zone, "region": region} for zone, region in sorted(zones.items())]


def described_instance(pod: Pod, host: str, ports: Mapping[str, int]) -> dict[str, Any]:
    """One instance as `describe` prints it."""
    http = next((ports[name] for name in _HTTP_PORTS if name in ports), None)
    return {
        "name": pod.name,
        "service": pod.service,
        "zone": pod.zone,
        "region": pod.region,
        "host": host,
        "http": f"http://{host}:{http}" if http else None,
        "ports": dict(ports),
    }
