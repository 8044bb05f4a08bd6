"""Pods: Kubernetes manifests, of which we honour what a process needs.

Read: metadata.name, labels `app`, `topology.kubernetes.io/zone` and `…/region`; annotation `muster/dials`;
spec.restartPolicy, terminationGracePeriodSeconds, volumes (at most one emptyDir), and of the one container:
command, args, env, ports (by name; hostPort pins one), readinessProbe (httpGet or tcpSocket).

`muster/dials: gateway-engine=matching-engine:orders` says that the pod dials port `orders` of every pod of
service matching-engine in its own region; each such pair gets its own link (see sandbox/links.py) of group
gateway-engine. `wan=tyo/order-bus:leaf` dials into another region.

Values of command, args and env may hold references, filled in when the process is started:

    ${NAME} ${ZONE} ${REGION}    of this instance
    ${HOST}           the loopback address of this pod alone; a pod that does not ask for it is on 127.0.0.1
    ${FIRST}          1 for the first pod of its workload, else 0
    ${PYTHON}         the Python that runs the sandbox
    ${PART:name}      path of a part, e.g. ${PART:nats-server}
    ${PORT:name}      the loopback port given to this pod's port of that name
    ${LINKS:group}    "host:port,…" of this pod's links of that group, the one in its own zone first
    ${NAMED:group}    the same as "target=host:port,…"
    ${CONF} ${TRUTH} ${VOLUME}   folders: rendered configurations, truth logs, the pod's emptyDir
    ${SECRET}         path of the venue's secret file
    ${PLANT}          the planted weaknesses, comma-separated, or nothing
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.errors import BadUse
from sandbox.node.reader import Reader

ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"
DIALS = "muster/dials"
HOST_REFERENCE = "${HOST}"
_PART = re.compile(r"\$\{PART:([^}]+)\}")


@dataclass(frozen=True)
class Dial:
    """A pod dials `port` of every pod of `service` in `region` (None: in its own); `group` names such links."""

    group: str
    service: str
    port: str
    region: str | None = None


@dataclass(frozen=True)
class Readiness:
    """How a process shows that it is ready: GET `path` on `port` is 2xx, or `path` None: the port accepts."""

    port: str
    path: str | None
    period_s: float
    timeout_s: float


@dataclass(frozen=True)
class Pod:
    """One instance as its manifest describes it; ports map names to nominal numbers, pinned ones to fixed.

    `ordinal` counts the pods of one workload from 0.
    """

    name: str
    service: str
    zone: str | None
    region: str | None
    command: tuple[str, ...]
    env: Mapping[str, str]
    ports: Mapping[str, int]
    pinned: Mapping[str, int]
    readiness: Readiness | None
    restart_policy: str
    grace_s: float
    dials: tuple[Dial, ...]
    ordinal: int = 0

    @property
    def has_own_host(self) -> bool:
        """Whether it listens on an address of its own, because its manifest asks for one."""
        return any(HOST_REFERENCE in text for text in (*self.command, *self.env.values()))


def parse(document: object, source: str) -> Pod:
    """One pod from a manifest already read from YAML; raises BadUse naming `source`."""
    read = Reader(source)
    top = read.mapping(document, "manifest")
    if top.get("kind") != "Pod":
        read.fail("kind", f"{top.get('kind')!r} is not Pod")
    return read_pod(read, top, read.mapping(top.get("metadata"), "metadata").get("name"))


def read_pod(read: Reader, top: Mapping[str, Any], name: object) -> Pod:
    """The pod called `name` of metadata and spec in `top`: a pod, or the template of a workload."""
    meta = read.mapping(top.get("metadata"), "metadata")
    labels = read.mapping(meta.get("labels"), "metadata.labels")
    spec = read.mapping(top.get("spec"), "spec")
    containers = read.items(spec.get("containers"), "spec.containers")
    if len(containers) != 1:
        read.fail("spec.containers", f"{len(containers)} containers; one process is one pod")
    container = read.mapping(containers[0], "spec.containers[0]")
    policy = spec.get("restartPolicy", "Always")
    if policy not in ("Always", "OnFailure", "Never"):
        read.fail("spec.restartPolicy", f"{policy!r} is not Always, OnFailure or Never")
    ports, pinned = _ports(read, container)
    return Pod(
        name=read.text(name, "metadata.name"),
        service=read.text(labels.get("app"), "metadata.labels.app"),
        zone=labels.get(ZONE),
        region=labels.get(REGION),
        command=_command(read, container),
        env=dict(_env(read, container)),
        ports=ports,
        pinned=pinned,
        readiness=_readiness(read, container, ports),
        restart_policy=policy,
        grace_s=read.number(spec.get("terminationGracePeriodSeconds", 5), "spec.terminationGracePeriodSeconds"),
        dials=tuple(_dials(read, read.mapping(meta.get("annotations"), "metadata.annotations"))),
    )


def _command(read: Reader, container: dict[str, Any]) -> tuple[str, ...]:
    place = "spec.containers[0].command"
    words = [*read.items(container.get("command"), place), *read.items(container.get("args"), place)]
    if not words:
        read.fail(place, "is missing; images are never pulled, the command is what runs")
    return tuple(read.text(word, f"{place}[{index}]") for index, word in enumerate(words))


def _env(read: Reader, container: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for index, item in enumerate(read.items(container.get("env"), "spec.containers[0].env")):
        place = f"spec.containers[0].env[{index}]"
        pair = read.mapping(item, place)
        value = pair.get("value", "")
        if not isinstance(value, str):
            read.fail(f"{place}.value", f"{value!r} is not a string; put it in quotes")
        yield read.text(pair.get("name"), f"{place}.name"), value


def _ports(read: Reader, container: dict[str, Any]) -> tuple[dict[str, int], dict[str, int]]:
    ports: dict[str, int] = {}
    pinned: dict[str, int] = {}
    for index, item in enumerate(read.items(container.get("ports"), "spec.containers[0].ports")):
        place = f"spec.containers[0].ports[{index}]"
        port = read.mapping(item, place)
        name = read.text(port.get("name"), f"{place}.name")
        ports[name] = read.number(port.get("containerPort"), f"{place}.containerPort")
        if "hostPort" in port:
            pinned[name] = read.number(port["hostPort"], f"{place}.hostPort")
    return ports, pinned


def _readiness(read: Reader, container: dict[str, Any], ports: Mapping[str, int]) -> Readiness | None:
    place = "spec.containers[0].readinessProbe"
    probe = read.mapping(container.get("readinessProbe"), place)
    if not probe:
        return None
    http = read.mapping(probe.get("httpGet"), f"{place}.httpGet")
    target = http or read.mapping(probe.get("tcpSocket"), f"{place}.tcpSocket")
    port = target.get("port")
    if not isinstance(port, str) or port not in ports:
        read.fail(f"{place}.port", f"{port!r} is not one of the pod's ports ({', '.join(ports) or 'none'})")
    return Readiness(
        port=port,
        path=read.text(http.get("path", "/"), f"{place}.httpGet.path") if http else None,
        period_s=read.number(probe.get("periodSeconds", 10), f"{place}.periodSeconds"),
        timeout_s=read.number(probe.get("timeoutSeconds", 1), f"{place}.timeoutSeconds"),
    )


def _dials(read: Reader, annotations: dict[str, Any]) -> Iterator[Dial]:
    place = f"metadata.annotations.{DIALS}"
    written = annotations.get(DIALS, "")
    for entry in written.split(",") if written else ():
        group, equals, target = entry.strip().partition("=")
        where, colon, port = target.partition(":")
        region, _, service = where.rpartition("/")
        if not (group and equals and service and colon and port):
            read.fail(place, f"{entry.strip()!r} is not group=service:port or group=region/service:port")
        yield Dial(group, service, port, region or None)


def check_unique(pods: Sequence[Pod]) -> None:
    """Raise BadUse when two pods share a name."""
    names = [pod.name for pod in pods]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadUse(f"manifests: metadata.name: {', '.join(twice)} more than once")


def parts_of(pods: Sequence[Pod]) -> set[str]:
    """The names of the parts that the pods' commands refer to."""
    return {name for pod in pods for word in pod.command for name in _PART.findall(word)}
