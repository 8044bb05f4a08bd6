"""Links: every connection between instances that can be cut or slowed runs through its own Toxiproxy proxy.

One proxy per ordered pair "from>to". NATS dials its routes from both ends and keeps one connection a pair:
to cut two order-bus nodes from each other, both directions must be cut.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from sandbox.errors import BadUse
from sandbox.node.pods import Pod

HOST = "127.0.0.1"
WAN = "wan"
WAN_MS = 35
"""The group of links between regions, and what a message takes on them, each way.

On bare loopback an asynchronous mirror is never behind, and the loss of a region would seem to cost nothing. The
latency is the sandbox's own (`wan-latency-…`), no fault: it is there before and after every run.
"""


Listens = Callable[[Pod, Pod], str]
"""The address on which Toxiproxy listens for what a pod sends to another."""


@dataclass(frozen=True)
class Link:
    """One proxy: `source` dials `listen`, Toxiproxy dials `upstream` (both "host:port")."""

    name: str
    source: str
    target: str
    group: str
    listen: str
    upstream: str

    def described(self) -> dict[str, Any]:
        """The link as `describe` prints it; with its latency one way, where it has some by itself."""
        row = asdict(self)
        slow = {"latency_ms": WAN_MS} if self.group == WAN else {}
        return {"name": self.name, "from": row.pop("source"), "to": row.pop("target"), **row, **slow}


def pairs(pods: Sequence[Pod]) -> list[tuple[Pod, Pod, str, str]]:
    """(source, target, group, target's port name) of every link the pods' `muster/dials` ask for, own zone first.

    Raises BadUse when a pod dials a service, or a port of it, that no pod has.
    """
    found = []
    for source in pods:
        for dial in source.dials:
            region = dial.region or source.region
            targets = [p for p in pods if (p.service, p.region) == (dial.service, region) and p is not source]
            targets.sort(key=lambda pod: (pod.zone != source.zone, pod.name))
            if not targets:
                raise BadUse(f"{source.name}: muster/dials: no other pod of service {dial.service!r} in {region}")
            for target in targets:
                if dial.port not in target.ports:
                    raise BadUse(f"{source.name}: muster/dials: {target.name} has no port {dial.port!r}")
                found.append((source, target, dial.group, dial.port))
    return found


def build(
    pods: Sequence[Pod],
    hosts: Mapping[str, str],
    ports: Mapping[str, Mapping[str, int]],
    listen_ports: Sequence[int],
    listens: Listens = lambda _source, _target: HOST,
) -> list[Link]:
    """The links of `pods`, which are on `hosts[instance]:ports[instance][name]`, on `listen_ports` in order."""
    return [
        Link(
            name=f"{source.name}>{target.name}",
            source=source.name,
            target=target.name,
            group=group,
            listen=f"{listens(source, target)}:{listen}",
            upstream=f"{hosts[target.name]}:{ports[target.name][port]}",
        )
        for (source, target, group, port), listen in zip(pairs(pods), listen_ports, strict=True)
    ]


def write_config(links: Sequence[Link], path: Path) -> None:
    """Write the file from which toxiproxy-server makes its proxies, also when it is started again.

    It cannot hold toxics: links between regions are closed until the node agent has given them their latency.
    """
    rows = [
        {"name": link.name, "listen": link.listen, "upstream": link.upstream, "enabled": link.group != WAN}
        for link in links
    ]
    path.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
