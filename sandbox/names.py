"""Names and certificates of one sandbox: what `up` writes for its resolver and its gateways, and how it is described.

Names of the zone, each with the resolver's time to live: `api` leads to the gateways of the first region,
`<region>.api` to those of each, and every instance has one of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.home import Box, write_json

if TYPE_CHECKING:
    from sandbox.node.pods import Pod
    from sandbox.topology import Topology

ZONE = "exchange.test"
_API = f"api.{ZONE}"
_RESOLVER, _GATEWAY = "resolver", "gateway"
_SECURE = ("https", "wss")


def prepare(topology: Topology, box: Box, described: dict[str, Any]) -> None:
    """Write the first records and the certificates of what the manifests hold, and say so in `described`."""
    records = {name: {"type": "A", "values": values} for name, values in first_records(topology)}
    write_json(box.conf / "records.json", records)
    described["dns"] = _resolver(topology)
    described["tls"] = _certificates(topology, box.conf / "tls")
    if described["dns"] and described["tls"]:
        venue = described["venue"]
        venue["named"] = _named(topology, described["dns"]["address"], described["tls"]["ca"])
        if "sgp" in described["features"]:
            # clients of two regions are moved from one to the other by a name
            venue["plain"] = {key: venue[key] for key in ("rest", "ws")}
            venue.update(venue["named"])


def certify(folder: Path, pod: Pod, host: str) -> None:
    """Give a gateway that came later, because its workload grew, the certificate that it needs to start."""
    if _is_secure(pod) and not (folder / f"{pod.name}.pem").exists():
        from sandbox import certs

        certs.add(folder, pod.name, _shown_names(host))


def _is_secure(pod: Pod) -> bool:
    return pod.service == _GATEWAY and bool(set(_SECURE) & pod.ports.keys())


def _shown_names(host: str) -> list[str]:
    return [_API, f"*.{ZONE}", f"*.{_API}", host]


def first_records(topology: Topology) -> Iterator[tuple[str, list[str]]]:
    """(name, addresses) of everything that has a name at the start."""
    regions: dict[str, list[str]] = {}
    for pod in topology.of_service(_GATEWAY):
        regions.setdefault(pod.region or "", []).append(topology.hosts[pod.name])
    for number, (region, hosts) in enumerate(regions.items()):
        if not number:
            yield _API, hosts
        if region:
            yield f"{region}.{_API}", hosts
    for pod in topology.pods:
        yield f"{pod.name}.{ZONE}", [topology.hosts[pod.name]]


def _resolver(topology: Topology) -> dict[str, str] | None:
    asked, admin = topology.addresses(_RESOLVER, "dns"), topology.addresses(_RESOLVER, "http")
    return {"address": asked[0], "admin": f"http://{admin[0]}", "zone": ZONE} if asked and admin else None


def _certificates(topology: Topology, folder: Path) -> dict[str, Any] | None:
    """Where the certificates are: of the authority, its key, and by instance with the ports that show it."""
    servers = {pod.name: _shown_names(topology.hosts[pod.name]) for pod in topology.pods if _is_secure(pod)}
    if not servers:
        return None
    from sandbox import certs  # a tenth of a second, for those who need it

    ca = certs.write(folder, servers)
    shown = {
        name: {"file": str(folder / f"{name}.pem"), "ports": [port for port in _SECURE if port in topology.ports[name]]}
        for name in servers
    }
    return {"ca": str(ca), "ca_key": str(ca.with_suffix(".key")), "certificates": shown}


def _named(topology: Topology, resolver: str, ca: str) -> dict[str, Any]:
    first: Mapping[str, int] = topology.ports[topology.of_service(_GATEWAY)[0].name]
    return {
        "rest": [f"https://{_API}:{first['https']}"] if "https" in first else [],
        "ws": [f"wss://{_API}:{first['wss']}/v5/trade"] if "wss" in first else [],
        "resolver": resolver,
        "ca_file": ca,
    }
